"""Units in which spike times are given, and whether the times suit a synaptic time constant."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from ...errors import InputError
from ...ops.events import LATEST
from ...registry import TIME_UNITS

__all__ = ["per_second", "require_range", "squeezed"]

_LEAST = 0.5  # tau; images take 1 (published) or 2 (the recipes), trials of the recipe "tca" 5
_USUAL = 5.0  # tau


class Timed(Protocol):
    """What :class:`shiftlearn.data.spike_trains.Trials` tell of their times, in seconds."""

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """(spikes,)"""

    @property
    def lengths(self) -> npt.NDArray[np.float64]:
        """(trials,)"""

    @property
    def time_unit(self) -> str:
        """The unit they were given in."""


def per_second(unit: str) -> int:
    """How many of a unit of time make a second.

    Raises:
        InputError: another unit than s, ms or us.
    """
    if unit not in TIME_UNITS:
        raise InputError(f"time_unit must be one of {', '.join(TIME_UNITS)}, got {unit!r}")
    return TIME_UNITS[unit]


def require_range(
    trials: Timed, tau: float, cue: bool = False, dtype: torch.dtype = torch.float32, source: str = "trials"
) -> None:
    """InputError if a spike, or the cue at the end of a trial, comes so late that ``dtype`` cannot carry exp(t / tau).

    The message names ``source``, the latest time in the unit it was given in, and the unit it is likely in.
    """
    latest, what = float(trials.times.max(initial=0)), "latest spike"
    if cue and (end := float(trials.lengths.max(initial=0))) > latest:
        latest, what = end, "cue at the end of the longest trial"
    limit = LATEST[dtype]
    if latest > limit * tau:
        raise InputError(
            f"{source}: the {what} is at {_place(trials, latest, tau)}, but dtype {dtype} carries {limit:.0f} tau: "
            f"{_other_unit(trials, latest, tau, 0)}raise tau to about {_short(latest / _USUAL)} s"
        )


def squeezed(trials: Timed, tau: float, source: str = "trials") -> str | None:
    """What to tell a user whose spikes all come within a small part of tau; None if they do not."""
    latest = float(trials.times.max(initial=0))
    if not 0 < latest < _LEAST * tau:
        return None
    return (
        f"{source}: the latest spike is at {_place(trials, latest, tau)}, so early that times hardly matter: "
        f"{_other_unit(trials, latest, tau, _LEAST)}lower tau to about {_short(latest / _USUAL)} s"
    )


def _place(trials: Timed, latest: float, tau: float) -> str:
    """A time in the unit it was given in, and in tau."""
    given = latest * per_second(trials.time_unit)
    return f"{_short(given)} {trials.time_unit}, {_short(latest / tau)} tau (tau = {tau:g} s)"


def _short(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _other_unit(trials: Timed, latest: float, tau: float, least: float) -> str:
    """Advice to read the times in the first unit in which they last from ``least`` to 80 tau, if there is one."""
    given = latest * per_second(trials.time_unit)
    for unit, per in TIME_UNITS.items():
        if least * tau <= given / per <= LATEST[torch.float32] * tau:
            return f"if times are in {unit}, read them with --time-unit {unit} (time_unit={unit!r}); otherwise "
    return ""
