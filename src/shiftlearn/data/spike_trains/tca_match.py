"""Which features occurred: the published files tell a feature's reward and spikes, yet not its number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .trials import Floats, Ints, Synapses, Templates, ranges

__all__ = ["Marked", "contained", "recognised"]

Marked = tuple[Floats, Synapses, npt.NDArray[np.bool_], Floats, Ints, float]
"""Times, synapses, marks of feature spikes, onsets, rewards and length of one trial."""

_MATCH = 0.5  # of a template's spikes must be found; in the published file all are
_MANY_PAIRS = 10**7  # beyond, no matching: it would take a hostile file


def contained(
    times: Floats, synapses: Synapses, inner_times: Floats, inner_synapses: Synapses
) -> npt.NDArray[np.bool_] | None:
    """Which of the spikes are the inner ones, or None if some of these are not there."""
    # Complex numbers sort by real part, then by imaginary part.
    key, inner = synapses + 1j * times, np.sort(inner_synapses + 1j * inner_times)
    order = np.argsort(key)
    nth_of_equal = np.arange(len(inner)) - np.searchsorted(inner, inner)
    place = np.searchsorted(key, inner, sorter=order) + nth_of_equal
    if (place >= len(key)).any() or (key[order[place]] != inner).any():
        return None
    marks = np.zeros(len(key), np.bool_)
    marks[order[place]] = True
    return marks


def recognised(trials: Sequence[Marked], templates: Templates, dt: float) -> tuple[Synapses, Templates]:
    """Which feature each occurrence is, and the templates moved to begin at 0."""
    shifts: dict[int, float] = {}
    found: list[int] = []
    for times, synapses, marks, onsets, rewards, _ in trials:
        times, synapses = times[marks], synapses[marks]
        for onset, reward in zip(onsets, rewards, strict=False):
            part = slice(*np.searchsorted(times, (onset - dt, onset + templates.duration + dt)))
            match = -1
            for m in map(int, np.flatnonzero(templates.rewards == reward)):
                shift = _shift(times[part] - onset, synapses[part], templates, m, dt)
                if shift is not None:
                    match = m
                    shifts.setdefault(m, shift)
                    break
            found.append(match)
    moved = templates.times.copy()
    for m in range(len(templates)):
        part = slice(*templates.offsets[m : m + 2])
        t = moved[part]
        # Of a feature that never occurs the beginning is not known; its first spike cannot be far from it.
        lost = np.floor(t.min() / dt) * dt if t.max(initial=0) > templates.duration + dt else 0.0
        moved[part] = t - shifts.get(m, lost)
    result = Templates(moved, templates.synapses, templates.offsets, templates.rewards, templates.duration)
    return np.array(found, np.int32), result


def _shift(times: Floats, synapses: Synapses, templates: Templates, m: int, dt: float) -> float | None:
    """How much later a template is than spikes that fit it, in s; None if they do not."""
    part = slice(*templates.offsets[m : m + 2])
    order = np.argsort(templates.synapses[part], kind="stable")
    t, s = templates.times[part][order], templates.synapses[part][order]
    first = np.searchsorted(s, synapses)
    counts = np.searchsorted(s, synapses, "right") - first
    if not 0 < counts.sum() <= _MANY_PAIRS:
        return None
    steps = np.round((t[ranges(first, counts)] - np.repeat(times, counts)) / dt)
    values, votes = np.unique(steps, return_counts=True)
    best = votes.argmax()
    return float(values[best] * dt) if votes[best] >= _MATCH * len(t) else None
