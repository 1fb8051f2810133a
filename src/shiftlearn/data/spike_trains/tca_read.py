"""Reader of the files of the task of temporal credit assignment (Rapp, Nawrot & Stern 2018).

``data`` is a cell array, trials x 8: spike times of every synapse (all; background alone; features alone), onsets of
the features, their rewards, length of the trial, duration of a feature, resolution. ``pattern_data``, features x 3:
spike times of every synapse, reward, number. The published times are in s. In the published file templates begin at
the time of some trial (such as 6.279 s) and not at 0; which of several features with one reward occurred is told by
its spikes alone; and the spikes of a synapse are not in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import InputError, counted
from ..tables.delimited import StrPath
from .matfile import Fault, Node, read_variables
from .tca_match import Marked, contained, recognised
from .time_units import per_second
from .trials import Floats, Ints, Synapses, Templates, Trials, bounds

__all__ = ["COLUMNS", "PATTERN_COLUMNS", "read_mat"]

COLUMNS, PATTERN_COLUMNS = 8, 3
_FINEST, _LATEST = 1e-9, 1e9  # in the file's unit; their ratio is far from overflow


def read_mat(path: StrPath, time_unit: str = "s") -> Trials:
    """Read a file of version 5 to 7.

    Of the background only what is in the trial is kept: column 1 also lists spikes that the trial lacks (of several in
    one feature and synapse all but one). Templates are moved to begin at 0. ``features`` tells for each occurrence the
    first template of its reward half of whose spikes occur, to within dt / 2, at one and the same delay. Where no trial
    has an onset or a reward, no target is known (-1).

    Args:
        path: the file.
        time_unit: of all times in it: "s" (as published), "ms" or "us".

    Raises:
        InputError: the file cannot be read, is no such file, or its content is not as described; the message names the
            file, and trial, column and synapse (counted from 0).
    """
    path, per = Path(path), per_second(time_unit)
    variables = read_variables(path, ("data", "pattern_data"))
    rows = _table(variables["data"], COLUMNS, f"{path}: data")
    patterns = _table(variables["pattern_data"], PATTERN_COLUMNS, f"{path}: pattern_data")
    if not rows:
        raise InputError(f"{path}: data: holds no trials.")
    where = f"{path}: data: trial 0"
    num_synapses = len(_cells(rows[0][0], f"{where}, column 0"))
    if num_synapses == 0:
        raise InputError(f"{where}, column 0: holds no synapses.")
    duration, dt = (_scalar(rows[0][column], f"{where}, column {column}") for column in (6, 7))
    if dt < _FINEST:
        raise InputError(f"{where}, column 7: a resolution of {dt:g} {time_unit} is below {_FINEST:g} {time_unit}.")
    templates = _read_templates(patterns, num_synapses, duration, path, time_unit)
    trials = [
        _read_trial(row, num_synapses, duration, dt, f"{path}: data: trial {k}", time_unit)
        for k, row in enumerate(rows)
    ]
    times, synapses, marks, onsets, rewards, lengths = zip(*trials, strict=True)
    counts, occurrences = (bounds(np.array([len(x) for x in parts])) for parts in (times, onsets))
    features, templates = recognised(trials, templates, dt)
    labelled = any(map(len, rewards))
    return Trials(
        times=np.concatenate(times) / per,
        synapses=np.concatenate(synapses),
        from_feature=np.concatenate(marks),
        offsets=counts,
        onsets=np.concatenate(onsets) / per,
        features=features,
        rewards=np.concatenate([r[: len(o)] for r, o in zip(rewards, onsets, strict=True)]),
        feature_offsets=occurrences,
        target=np.array([r.sum() if labelled else -1 for r in rewards], np.int64),
        lengths=np.array(lengths) / per,
        num_synapses=num_synapses,
        dt=dt / per,
        templates=replace(templates, times=templates.times / per, duration=templates.duration / per),
        time_unit=time_unit,
    )


def _read_trial(row: Sequence[Node], num_synapses: int, duration: float, dt: float, where: str, unit: str) -> Marked:
    """Times, synapses, marks of feature spikes, onsets, rewards and length of one trial."""
    times, synapses = _read_spikes(row[0], num_synapses, f"{where}, column 0", unit)
    inner_times, inner_synapses = _read_spikes(row[2], num_synapses, f"{where}, column 2", unit)
    onsets, rewards = _read_numbers(row[3], f"{where}, column 3"), _read_rewards(row[4], f"{where}, column 4")
    length = _scalar(row[5], f"{where}, column 5")
    for column, first in ((6, duration), (7, dt)):
        if (here := _scalar(row[column], f"{where}, column {column}")) != first:
            raise InputError(f"{where}, column {column}: is {here:g}, in trial 0 it is {first:g}.")
    # A target without features, as from_arrays makes it, is written as one reward without an onset.
    if len(onsets) != len(rewards) and not (len(onsets) == 0 and len(rewards) == 1):
        raise InputError(f"{where}: has {len(onsets)} onsets (column 3) and {len(rewards)} rewards (column 4).")
    if (np.diff(onsets) < 0).any():
        raise InputError(f"{where}, column 3: the onsets do not ascend.")
    if (latest := max(times.max(initial=0), onsets.max(initial=0))) > length:
        raise InputError(f"{where}: a time of {latest:g} {unit} is beyond its length, {length:g} {unit} (column 5).")
    marks = contained(times, synapses, inner_times, inner_synapses)
    if marks is None:
        raise InputError(f"{where}: some feature spikes (column 2) are not among its spikes (column 0).")
    order = np.lexsort((marks, synapses, times))
    return times[order], synapses[order], marks[order], onsets, rewards, length


def _read_templates(
    patterns: Sequence[Sequence[Node]], num_synapses: int, duration: float, path: Path, unit: str
) -> Templates:
    times, synapses, rewards = [np.zeros(0)], [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for m, (spikes, reward, _) in enumerate(patterns):
        where = f"{path}: pattern_data: feature {m}"
        t, s = _read_spikes(spikes, num_synapses, f"{where}, column 0", unit)
        order = np.lexsort((s, t))
        times.append(t[order])
        synapses.append(s[order])
        rewards.append(_read_rewards(reward, f"{where}, column 1"))
        if len(rewards[-1]) != 1:
            raise InputError(f"{where}, column 1: holds {len(rewards[-1])} numbers, expected one.")
    offsets = bounds(np.array([len(t) for t in times[1:]], np.int64))
    return Templates(np.concatenate(times), np.concatenate(synapses), offsets, np.concatenate(rewards), duration)


def _table(node: Node, columns: int, where: str) -> list[list[Node]]:
    """The rows of a cell array of so many columns."""
    try:
        shape, nodes = node.cells()
    except Fault as fault:
        raise InputError(f"{where}: {fault}.") from fault
    if len(shape) != 2 or shape[1] != columns:
        raise InputError(f"{where}: has shape {' x '.join(map(str, shape))}, expected n x {columns}.")
    return [nodes[row :: shape[0]] for row in range(shape[0])]


def _cells(node: Node, where: str) -> list[Node]:
    try:
        return node.cells()[1]
    except Fault as fault:
        raise InputError(f"{where}: {fault}.") from fault


def _read_spikes(node: Node, num_synapses: int, where: str, unit: str) -> tuple[Floats, Synapses]:
    """Times and synapses, synapse by synapse."""
    cells = _cells(node, where)
    if len(cells) != num_synapses:
        raise InputError(f"{where}: has {counted(len(cells), 'synapse')}, expected {num_synapses}.")
    parts = [np.zeros(0)]
    for synapse, cell in enumerate(cells):
        try:
            parts.append(cell.numbers())
        except Fault as fault:
            raise InputError(f"{where}, synapse {synapse}: {fault}.") from fault
    times = np.concatenate(parts)
    synapses = np.repeat(np.arange(num_synapses, dtype=np.int32), [len(part) for part in parts[1:]])
    if (bad := ~((times >= 0) & (times <= _LATEST))).any():
        where = f"{where}, synapse {synapses[bad][0]}"
        raise InputError(f"{where}: holds {times[bad][0]:g}, times are 0 … {_LATEST:g} {unit}.")
    return times, synapses


def _read_numbers(node: Node, where: str) -> Floats:
    try:
        x = node.numbers()
    except Fault as fault:
        raise InputError(f"{where}: {fault}.") from fault
    if (bad := ~(np.isfinite(x) & (x >= 0))).any():
        raise InputError(f"{where}: holds {x[bad][0]:g}, expected finite numbers of 0 or more.")
    return x


def _read_rewards(node: Node, where: str) -> Ints:
    x = _read_numbers(node, where)
    if (bad := (x != np.floor(x)) | (x >= 2**31)).any():
        raise InputError(f"{where}: holds {x[bad][0]:g}, rewards are integers below 2**31.")
    return x.astype(np.int64)


def _scalar(node: Node, where: str) -> float:
    x = _read_numbers(node, where)
    if len(x) != 1 or x[0] == 0:
        raise InputError(f"{where}: expected one positive number, got {x[:4].tolist()}.")
    return float(x[0])
