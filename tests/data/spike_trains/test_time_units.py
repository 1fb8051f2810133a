"""Spike times against τ: units, spikes too late, spikes too early."""

from __future__ import annotations

import re

import pytest
import torch

from shiftlearn.data.spike_trains.time_units import squeezed
from shiftlearn.data.spike_trains.trials import from_arrays, to_events
from shiftlearn.errors import InputError


@pytest.mark.parametrize(
    ("time", "unit", "tau", "message"),
    [
        (3000.0, "s", 1.0, "at 3,000 s, 3,000 tau (tau = 1 s), but dtype torch.float32 carries 80 tau: if times are in "
         "ms, read them with --time-unit ms (time_unit='ms'); otherwise raise tau to about 600 s"),
        (2.5e5, "ms", 0.1, "at 250,000 ms, 2,500 tau (tau = 0.1 s), but dtype torch.float32 carries 80 tau: if times "
         "are in us, read them with --time-unit us (time_unit='us'); otherwise raise tau to about 50 s"),
        (3e5, "s", 1.0, "if times are in us, read"),
        (9e7, "us", 1.0, "carries 80 tau: raise tau to about 18 s"),
        (81.0, "s", 1.0, "at 81 s, 81 tau (tau = 1 s)"),
    ],
)  # fmt: skip
def test_spikes_too_late_for_tau(time: float, unit: str, tau: float, message: str) -> None:
    trials = from_arrays([time, 0.0], [0, 0], [0, 0], [0], time_unit=unit)
    with pytest.raises(InputError, match=f"^trials: the latest spike is .*{re.escape(message)}"):
        to_events(trials, tau=tau)


def test_the_range_of_the_other_dtype_and_of_the_cue() -> None:
    trials = from_arrays([60.0], [0], [0], [0], length=90.0)
    assert to_events(trials).batch == 1
    with pytest.raises(InputError, match="the cue at the end of the longest trial is at 90 s, 90 tau"):
        to_events(trials, cue=True)
    assert to_events(trials, dtype=torch.float64, cue=True).batch == 1
    with pytest.raises(InputError, match=r"at 60 s, 750 tau .* dtype torch.float64 carries 710 tau"):
        to_events(trials, dtype=torch.float64, tau=0.08)


def test_spikes_within_a_small_part_of_tau() -> None:
    short, long = from_arrays([0.3], [0], [0], [0]), from_arrays([0.5], [0], [0], [0])
    assert squeezed(short, 1.0, "mine.npz") == (
        "mine.npz: the latest spike is at 0.3 s, 0.3 tau (tau = 1 s), so early that times hardly matter: lower tau to "
        "about 0.06 s"
    )
    assert squeezed(long, 1.0) is None
    assert squeezed(from_arrays([0.0], [0], [0], [0]), 1.0) is None
    in_us = squeezed(from_arrays([9.0], [0], [0], [0], time_unit="us"), 1.0)
    assert in_us is not None
    assert "at 9 us, 9e-06 tau" in in_us
    assert "if times are in s, read them with --time-unit s" in in_us
