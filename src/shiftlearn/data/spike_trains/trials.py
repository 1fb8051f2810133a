"""Labelled spike trains: trials in which synapses spike any number of times, and their way into a network.

The fields follow the task of temporal credit assignment (Rapp, Nawrot & Stern 2018): in a trial some features occur,
each a fixed pattern of spikes over all synapses, and what is to be learned is the sum of the features' rewards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data._utils.collate import default_collate_fn_map

from ...errors import IndexInputError, InputError
from ...ops.events import SpikeEvents, to_z
from .time_units import per_second, require_range

__all__ = ["Templates", "Trials", "from_arrays", "joined", "to_events"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Synapses = npt.NDArray[np.int32]
_MOST = 2**22  # trials that are known by the largest number alone; each takes 32 bytes
Index = int | slice | Sequence[int] | npt.NDArray[np.integer] | npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Templates:
    """The features that may occur, m of them.

    Attributes:
        times: (spikes,) in s after the feature's onset; feature by feature, in each by time, then by synapse.
        synapses: (spikes,) of each spike.
        offsets: (m + 1,) where features begin and end in ``times``.
        rewards: (m,) integers of 0 or more.
        duration: of a feature, in s.
    """

    times: Floats
    synapses: Synapses
    offsets: Ints
    rewards: Ints
    duration: float = 1.0

    def __len__(self) -> int:
        return len(self.rewards)


def _no_templates() -> Templates:
    return Templates(np.zeros(0), np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class Trials:
    """Spike trains of n trials.

    Iteration gives trials one by one, and so does an integer as index. A :class:`torch.utils.data.DataLoader` over
    them, or over pairs of them and labels, gives batches.

    Attributes:
        times: (spikes,) in s, 0 … length; trial by trial, in each by time, then by synapse.
        synapses: (spikes,) of each spike, 0 … num_synapses - 1.
        from_feature: (spikes,) whether a spike is part of a feature, and not of the background.
        offsets: (n + 1,) where trials begin and end in ``times``.
        onsets: (occurrences,) of the features that occurred, in s; trial by trial.
        features: (occurrences,) which one it was, an index into ``templates``; -1: not known.
        rewards: (occurrences,) integers of 0 or more.
        feature_offsets: (n + 1,) where trials begin and end in ``onsets``.
        target: (n,) what is to be learned, integers of 0 or more (the sum of a trial's rewards if it has any); -1: not
            known, for all trials.
        lengths: (n,) of the trials, in s.
        num_synapses: how many there are.
        dt: resolution of the background's spike times, in s.
        templates: the features; none if they are not known.
        time_unit: in which the times were given, for messages. All times here are in s.
    """

    times: Floats
    synapses: Synapses
    from_feature: npt.NDArray[np.bool_]
    offsets: Ints
    onsets: Floats
    features: Synapses
    rewards: Ints
    feature_offsets: Ints
    target: Ints
    lengths: Floats
    num_synapses: int
    dt: float = 0.001
    templates: Templates = field(default_factory=_no_templates)
    time_unit: str = "s"

    def __len__(self) -> int:
        return len(self.target)

    def __iter__(self) -> Iterator[Trials]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, index: Index) -> Trials:
        """Some of the trials; ``index`` as in :func:`to_events`.

        Raises:
            IndexInputError: no such trial, or another kind of index.
        """
        rows = _numbers(len(self), index)
        counts, occurred = (np.diff(x)[rows] for x in (self.offsets, self.feature_offsets))
        spikes, features = ranges(self.offsets[rows], counts), ranges(self.feature_offsets[rows], occurred)
        return replace(
            self,
            times=self.times[spikes],
            synapses=self.synapses[spikes],
            from_feature=self.from_feature[spikes],
            offsets=bounds(counts),
            onsets=self.onsets[features],
            features=self.features[features],
            rewards=self.rewards[features],
            feature_offsets=bounds(occurred),
            target=self.target[rows],
            lengths=self.lengths[rows],
        )


def from_arrays(
    times: npt.ArrayLike,
    synapses: npt.ArrayLike,
    trial: npt.ArrayLike,
    target: npt.ArrayLike | None = None,
    *,
    num_synapses: int | None = None,
    length: npt.ArrayLike | None = None,
    dt: float | None = None,
    time_unit: str = "s",
) -> Trials:
    """Anyone's spike trains, in any order.

    Args:
        times: (spikes,) in ``time_unit``, 0 or later.
        synapses: (spikes,) integers from 0.
        trial: (spikes,) which trial a spike belongs to, 0 … n - 1; trials may be without spikes.
        target: (n,) integers of 0 or more; None: not known, as of trials to predict on. There are then as many trials
            as ``length`` has entries, or else up to the largest number in ``trial``.
        num_synapses: default: the largest number in ``synapses`` plus 1.
        length: of the trials in ``time_unit``, one number or (n,); default: the latest spike's time
            (1 s if there is none).
        dt: resolution of the spike times in ``time_unit``; only noted; default: 1 ms.
        time_unit: of all times given: "s", "ms" or "us".

    Raises:
        InputError: an argument is not as above; the message names it.
    """
    per = per_second(time_unit)
    t = _vector("times", times, None, np.float64)
    synapse, row = (_vector(*pair, len(t), np.int64) for pair in (("synapses", synapses), ("trial", trial)))
    if target is None:
        n = int(row.max(initial=-1)) + 1
        if length is not None and np.ndim(length):
            n = len(np.ravel(length))
        elif n > _MOST:
            raise InputError(f"trial must be below {_MOST} where neither target nor length has shape (n,), got {n - 1}")
        targets = np.full(n, -1, np.int64)
    else:
        targets = _vector("target", target, None, np.int64)
        n = len(targets)
    if n == 0:
        raise InputError(f"{'trial' if target is None else 'target'} is empty: there must be one trial or more")
    latest = t.max(initial=0.0)
    lengths = np.broadcast_to(np.float64(latest if latest > 0 else per), n).copy()
    if length is not None:
        lengths = _vector("length", np.full(n, length) if np.ndim(length) == 0 else length, n, np.float64)
    if not (lengths > 0).all():
        raise InputError(f"length must be positive, got {lengths.min():g}")
    _within("trial", row, n)
    if num_synapses is None:
        num_synapses = int(synapse.max(initial=0)) + 1
    if not 1 <= num_synapses < 2**31 or num_synapses != int(num_synapses):
        raise InputError(f"num_synapses must be a whole number of 1 or more, below 2**31, got {num_synapses}")
    _within("synapses", synapse, num_synapses, f": num_synapses is {num_synapses}")
    if (late := t > lengths[row]).any():
        end = f"{lengths[row][late][0]:g} {time_unit}"
        raise InputError(f"times must lie within the trial's length, {end}, got {t[late][0]:g}")
    if dt is None:
        dt = per / 1000
    if not 0 < dt < np.inf:
        raise InputError(f"dt must be positive, got {dt}")
    order = np.lexsort((synapse, t, row))
    none = np.zeros(0)
    return Trials(
        times=t[order] / per,
        synapses=synapse[order].astype(np.int32),
        from_feature=np.zeros(len(t), np.bool_),
        offsets=bounds(np.bincount(row, minlength=n)),
        onsets=none,
        features=none.astype(np.int32),
        rewards=none.astype(np.int64),
        feature_offsets=np.zeros(n + 1, np.int64),
        target=targets,
        lengths=lengths / per,
        num_synapses=int(num_synapses),
        dt=float(dt / per),
        time_unit=time_unit,
    )


def to_events(
    trials: Trials, index: Index = slice(None), dtype: torch.dtype | None = None, tau: float = 1.0, cue: bool = False
) -> SpikeEvents:
    """The spikes of some trials as a batch, with z = exp(t / tau).

    Args:
        trials: of any length; with tau = 1 s the z of 10 s is 22026.
        index: number of a trial, numbers, a slice or a mask of shape (n,); default: all.
        dtype: torch.float32 (default) or torch.float64.
        tau: synaptic time constant in s, > 0.
        cue: whether one more channel, the last, spikes once, at the end of the trial.

    Returns:
        One row per trial, in the order of ``index``, one channel per synapse; ``rest`` is inf.

    Raises:
        InputError: no such trial, another dtype, or times so late that the dtype cannot hold their z.
    """
    dtype = torch.float32 if dtype is None else dtype
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
    some = trials[index]
    if tau > 0:  # or else to_z says so
        require_range(some, tau, cue, dtype)
    times, synapses, offsets = some.times, some.synapses, some.offsets
    if cue:
        ends = offsets[1:]
        times, synapses = np.insert(times, ends, some.lengths), np.insert(synapses, ends, trials.num_synapses)
        offsets = offsets + np.arange(len(offsets))
    # The exponential before the conversion: exp of a rounded time would be further off than the rounded exp.
    z = to_z(torch.from_numpy(times), tau)
    channels = trials.num_synapses + cue
    return SpikeEvents(z, torch.from_numpy(synapses), torch.from_numpy(offsets), channels).to(dtype=dtype)


def _numbers(count: int, index: Index) -> Ints:
    where = index if isinstance(index, slice) else np.asarray(index)
    if not isinstance(where, slice) and where.size == 0:
        where = np.zeros(0, np.int64)  # NumPy makes floats of an empty list
    try:
        rows = np.atleast_1d(np.arange(count)[where])
    except IndexError as error:
        raise IndexInputError(f"index must tell some of {count} trials ({error})") from error
    if rows.ndim != 1:
        raise InputError(f"index must have one dimension, got {rows.ndim}")
    return rows


def joined(several: Sequence[Trials]) -> Trials:
    """Trials of the same synapses and features, one after the other; dt and features are those of the first.

    Raises:
        InputError: their numbers of synapses differ, or the target of some is not known.
    """
    first = several[0]
    if len(several) == 1:
        return first
    if len(synapses := {trials.num_synapses for trials in several}) > 1:
        raise InputError(f"several must be trials of one number of synapses (num_synapses), got {sorted(synapses)}")
    known = np.concatenate([trials.target >= 0 for trials in several])
    if known.any() != known.all():
        raise InputError("several must all have a target, or none")
    together: dict[str, Any] = {
        f.name: np.concatenate([getattr(trials, f.name) for trials in several])
        for f in fields(Trials)
        if f.name not in ("offsets", "feature_offsets", "num_synapses", "dt", "templates", "time_unit")
    }
    counts, occurred = (
        np.concatenate([np.diff(getattr(trials, name)) for trials in several])
        for name in ("offsets", "feature_offsets")
    )
    return replace(first, **together, offsets=bounds(counts), feature_offsets=bounds(occurred))


def _collated(batch: Sequence[Trials], *, collate_fn_map: Any = None) -> Trials:
    return joined(batch)


default_collate_fn_map[Trials] = _collated  # torch's extension point for samples of a DataLoader


def bounds(counts: npt.NDArray[np.integer]) -> Ints:
    """Where pieces of these lengths, laid end to end, begin and end: (n + 1,)."""
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def ranges(starts: Ints, counts: Ints) -> Ints:
    """The numbers start … start + count - 1 of every pair, one after the other."""
    total = int(counts.sum())
    return np.arange(total) + np.repeat(starts - bounds(counts)[:-1], counts)


def _vector(name: str, given: npt.ArrayLike, size: int | None, dtype: type[Any]) -> npt.NDArray[Any]:
    """A copy of shape (size,) that holds finite numbers of 0 or more, whole ones if ``dtype`` is an integer."""
    try:
        x = np.asarray(given)
    except ValueError as error:
        raise InputError(f"{name} must be an array of numbers ({error})") from error
    if x.size and x.dtype.kind not in "iuf":
        raise InputError(f"{name} must hold real numbers, got {x.dtype}")
    if x.ndim != 1 or (size is not None and len(x) != size):
        raise InputError(f"{name} must have shape ({'n' if size is None else size},), got {x.shape}")
    x = x.astype(np.float64) if x.dtype.kind not in "iu" or dtype is np.float64 else x
    bad = ~((x >= 0) & (x < (np.inf if dtype is np.float64 else 2**31)))
    if dtype is not np.float64:
        bad |= x != np.floor(x)
    if bad.any():
        kind = "finite and 0 or more" if dtype is np.float64 else "integers of 0 or more, below 2**31"
        raise InputError(f"{name} must be {kind}, got {x[bad][0]:g}")
    return x.astype(dtype)


def _within(name: str, x: Ints, end: int, why: str = "") -> None:
    if end < 1 or (x >= end).any():
        raise InputError(f"{name} must lie in 0 … {end - 1}, got {x.max(initial=0)}{why}")
