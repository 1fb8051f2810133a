"""Writer of the files of the task of temporal credit assignment; see :mod:`.tca_read` for the format."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..tables.delimited import StrPath
from .tca_read import COLUMNS, PATTERN_COLUMNS
from .trials import Floats, Ints, Synapses, Trials

__all__ = ["write_mat"]

_CELL, _DOUBLE = 1, 6
_INT8, _INT32, _UINT32, _FLOAT64, _MATRIX, _COMPRESSED = 1, 5, 6, 9, 14, 15
_HEADER = b"MATLAB 5.0 MAT-file, written by shiftlearn".ljust(116) + bytes(8) + struct.pack("<H", 0x0100) + b"IM"


@dataclass(frozen=True)
class Cells:
    """A cell array to be written: shape, and elements column by column."""

    shape: tuple[int, int]
    items: Sequence[Cells | Floats]


def write_mat(path: StrPath, trials: Trials) -> None:
    """Write trials such that :func:`read_mat` returns them exactly, and the published scripts can read them.

    Column 1 lists the background that is in the trial. The file is replaced as a whole: after a crash there is the old
    content or the new, never a part of it.

    Raises:
        InputError: the name does not end in ``.mat``, or the file cannot be written.
    """
    from ...files import write  # imports torch

    path = Path(path)
    if path.suffix != ".mat":
        raise InputError(f"{path}: the name must end in .mat.")
    rows = [_trial_cells(trials, k) for k in range(len(trials))]
    templates = trials.templates
    patterns = [
        (
            _spike_cells(*_part(templates.times, templates.synapses, templates.offsets, m), trials.num_synapses),
            _row(templates.rewards[m]),
            _row(m + 1),
        )
        for m in range(len(templates))
    ]
    content = _written(
        {
            "data": Cells((len(rows), COLUMNS), [row[column] for column in range(COLUMNS) for row in rows]),
            "pattern_data": Cells(
                (len(patterns), PATTERN_COLUMNS), [p[column] for column in range(PATTERN_COLUMNS) for p in patterns]
            ),
            "T": _row(trials.lengths.max(initial=0)),
            "T_features": _row(templates.duration),
            "dt": _row(trials.dt),
        }
    )
    try:
        write(path, content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _trial_cells(trials: Trials, k: int) -> list[Cells | Floats]:
    """The eight columns of one trial."""
    times, synapses = _part(trials.times, trials.synapses, trials.offsets, k)
    marks = trials.from_feature[trials.offsets[k] : trials.offsets[k + 1]]
    part = slice(*trials.feature_offsets[k : k + 2])
    target = trials.target[k : k + 1]
    rewards = trials.rewards[part] if len(trials.onsets[part]) else target[target >= 0]
    kinds = (np.ones_like(marks), ~marks, marks)
    spikes: list[Cells | Floats] = [_spike_cells(times[x], synapses[x], trials.num_synapses) for x in kinds]
    scalars = [_row(x) for x in (trials.lengths[k], trials.templates.duration, trials.dt)]
    return [*spikes, trials.onsets[part], rewards.astype(np.float64), *scalars]


def _part(times: Floats, synapses: Synapses, offsets: Ints, k: int) -> tuple[Floats, Synapses]:
    return times[offsets[k] : offsets[k + 1]], synapses[offsets[k] : offsets[k + 1]]


def _spike_cells(times: Floats, synapses: Synapses, num_synapses: int) -> Cells:
    order = np.argsort(synapses, kind="stable")
    ends = np.cumsum(np.bincount(synapses, minlength=num_synapses))
    return Cells((1, num_synapses), np.split(times[order], ends[:-1]))


def _row(x: float | np.integer | np.floating) -> Floats:
    return np.array([x], np.float64)


def _written(variables: dict[str, Cells | Floats]) -> bytes:
    """The content of a file: each variable a cell array or a row of doubles, packed."""
    packed = [zlib.compress(_matrix(value, name), 6) for name, value in variables.items()]
    return _HEADER + b"".join(struct.pack("<II", _COMPRESSED, len(data)) + data for data in packed)


def _matrix(value: Cells | Floats, name: str = "") -> bytes:
    if isinstance(value, Cells):
        number, shape, body = _CELL, value.shape, b"".join(map(_matrix, value.items))
    else:
        number, shape, body = _DOUBLE, (1, value.size), _packed(_FLOAT64, value.astype("<f8").tobytes())
    head = struct.pack("<IIIIIIii", _UINT32, 8, number, 0, _INT32, 8, *shape) + _packed(_INT8, name.encode())
    return struct.pack("<II", _MATRIX, len(head) + len(body)) + head + body


def _packed(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)
