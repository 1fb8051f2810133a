"""Spike trains that a user brings as a file."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shiftlearn.data.spike_trains.files import read_trials
from shiftlearn.data.spike_trains.tca import generate, new_templates
from shiftlearn.data.spike_trains.tca_write import write_mat
from shiftlearn.errors import InputError

ARRAYS = {"times": [0.5, 0.1, 2.0], "synapses": [1, 0, 1], "trial": [0, 0, 1], "target": [3, 0]}


def saved(path: Path, **changes: Any) -> Path:
    np.savez(path, **{name: x for name, x in (ARRAYS | changes).items() if x is not None})
    return path


def test_arrays(tmp_path: Path) -> None:
    trials = read_trials(saved(tmp_path / "x.npz", length=[2.5, 4.0], num_synapses=7, dt=0.01))
    assert trials.times.tolist() == [0.1, 0.5, 2.0]
    assert trials.synapses.tolist() == [0, 1, 1]
    assert trials.offsets.tolist() == [0, 2, 3]
    assert trials.target.tolist() == [3, 0]
    assert trials.lengths.tolist() == [2.5, 4.0]
    assert (trials.num_synapses, trials.dt) == (7, 0.01)
    assert read_trials(saved(tmp_path / "y.NPZ".lower())).num_synapses == 2


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1_000), ("us", 1_000_000)])
def test_times_in_another_unit(tmp_path: Path, unit: str, factor: int) -> None:
    in_seconds = read_trials(saved(tmp_path / "s.npz", length=[2.5, 4.0], dt=0.002))
    times = np.array(ARRAYS["times"]) * factor
    path = saved(tmp_path / "x.npz", times=times, length=np.array([2.5, 4.0]) * factor, dt=0.002 * factor)
    trials = read_trials(path, time_unit=unit)
    np.testing.assert_allclose(trials.times, in_seconds.times, rtol=1e-15)
    assert (trials.lengths.tolist(), trials.dt, trials.time_unit) == ([2.5, 4.0], 0.002, unit)
    assert read_trials(saved(tmp_path / "y.npz"), time_unit=unit).dt == 0.001  # where nothing is said: 1 ms
    saved(path, times=times, length=np.array([0.2, 4.0]) * factor)
    with pytest.raises(InputError, match=rf"within the trial's length, {0.2 * factor:g} {unit}, got {0.5 * factor:g}"):
        read_trials(path, time_unit=unit)
    with pytest.raises(InputError, match=r"x\.npz: time_unit must be one of s, ms, us, got 'min'"):
        read_trials(path, time_unit="min")


def test_the_number_of_synapses_that_a_file_does_not_state(tmp_path: Path) -> None:
    assert read_trials(saved(tmp_path / "x.npz"), num_synapses=5).num_synapses == 5
    assert read_trials(saved(tmp_path / "y.npz", num_synapses=3), num_synapses=5).num_synapses == 3
    with pytest.raises(InputError, match=r"x\.npz: synapses must lie in 0 … 0, got 1: num_synapses is 1"):
        read_trials(tmp_path / "x.npz", num_synapses=1)


def test_trials_without_a_target(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npz", target=None)
    assert read_trials(path).target.tolist() == [-1, -1]
    assert len(read_trials(saved(path, target=None, length=[2.5, 4.0, 1.0]))) == 3  # the last without a spike
    write_mat(tmp_path / "x.mat", read_trials(path))
    trials = read_trials(tmp_path / "x.mat")
    assert trials.target.tolist() == [-1, -1, -1]
    assert trials.times.tolist() == [0.1, 0.5, 2.0]
    empty = {name: [] for name in ("times", "synapses", "trial")}
    with pytest.raises(InputError, match=r"trial is empty: there must be one trial or more"):
        read_trials(saved(path, target=None, **empty))


def test_the_published_format(tmp_path: Path) -> None:
    made = generate(2, 0, new_templates(0, num_synapses=9), num_synapses=9)
    write_mat(tmp_path / "x.mat", made)
    found = read_trials(tmp_path / "x.mat")
    assert found.target.tolist() == made.target.tolist()
    in_ms = read_trials(tmp_path / "x.mat", time_unit="ms")
    for name in ("times", "onsets", "lengths", "dt"):
        np.testing.assert_allclose(getattr(in_ms, name), getattr(found, name) / 1000)
    np.testing.assert_allclose(in_ms.templates.times, found.templates.times / 1000)
    assert in_ms.templates.duration == found.templates.duration / 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trial": None}, "lacks trial; expected times, synapses, trial"),
        ({"target": None, "trial": [0, 0, 2**30]}, "trial must be below 4194304 where neither target nor length has"),
        ({"spikes": [1]}, "holds 'spikes'; expected"),
        ({"synapses": [0, 1, -1]}, "synapses must be integers of 0 or more"),
        ({"num_synapses": [1, 2]}, "num_synapses must be one number"),
        ({"dt": "a"}, "dt must be one number"),
        ({"length": 0.2}, "times must lie within the trial's length"),
        ({"times": np.array([None, 1, 2])}, "times: holds Python objects, expected numbers"),
    ],
)
def test_arrays_that_do_not_serve(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = saved(tmp_path / "x.npz", **changes)
    with pytest.raises(InputError, match=f"x.npz: {re.escape(message)}"):
        read_trials(path)


def test_files_that_do_not_serve(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.csv: is of an unknown kind, expected \.mat or \.npz"):
        read_trials(tmp_path / "x.csv")
    with pytest.raises(InputError, match=r"x\.npz: no such file"):
        read_trials(tmp_path / "x.npz")


def test_every_truncated_or_damaged_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npz")
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(InputError, match=r"x\.npz"):
            read_trials(path)
    for place in range(0, len(content), 3):  # what zip does not cover by a checksum may go unseen, but nothing else
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        with contextlib.suppress(InputError):
            assert read_trials(path).num_synapses <= 2
