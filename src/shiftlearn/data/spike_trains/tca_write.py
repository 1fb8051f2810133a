"""Writer of the files of the task of temporal credit assignment; see :mod:`.tca_read` for the format."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ..tables.delimited import StrPath
from .tca_read import COLUMNS, PATTERN_COLUMNS
from .trials import Floats, Ints, Synapses, Trials

__all__ = ["write_mat"]

_Cell = npt.NDArray[Any]


def write_mat(path: StrPath, trials: Trials) -> None:
    """Write trials such that :func:`read_mat` returns them exactly, and the published scripts can read them.

    Column 1 lists the background that is in the trial. The file is replaced as a whole: after a crash there is the old
    content or the new, never a part of it.

    Raises:
        InputError: the name does not end in ``.mat``, or the file cannot be written.
    """
    from scipy.io import savemat

    from ...files import write

    path = Path(path)
    if path.suffix != ".mat":
        raise InputError(f"{path}: the name must end in .mat.")
    templates = trials.templates
    patterns = [
        [
            _spike_cells(*_part(templates.times, templates.synapses, templates.offsets, m), trials.num_synapses),
            _row(templates.rewards[m]),
            _row(m + 1),
        ]
        for m in range(len(templates))
    ]
    variables = {
        "data": _cells([_trial_cells(trials, k) for k in range(len(trials))], COLUMNS),
        "pattern_data": _cells(patterns, PATTERN_COLUMNS),
        "T": _row(trials.lengths.max(initial=0)),
        "T_features": _row(templates.duration),
        "dt": _row(trials.dt),
    }
    content = BytesIO()
    savemat(content, variables, do_compression=True)
    try:
        write(path, content.getvalue())
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _trial_cells(trials: Trials, k: int) -> list[_Cell]:
    """The eight columns of one trial."""
    times, synapses = _part(trials.times, trials.synapses, trials.offsets, k)
    marks = trials.from_feature[trials.offsets[k] : trials.offsets[k + 1]]
    part = slice(*trials.feature_offsets[k : k + 2])
    target = trials.target[k : k + 1]
    rewards = trials.rewards[part] if len(trials.onsets[part]) else target[target >= 0]
    kinds = (np.ones_like(marks), ~marks, marks)
    spikes: list[_Cell] = [_spike_cells(times[x], synapses[x], trials.num_synapses) for x in kinds]
    scalars = [_row(x) for x in (trials.lengths[k], trials.templates.duration, trials.dt)]
    return [*spikes, _row(trials.onsets[part]), _row(rewards), *scalars]


def _part(times: Floats, synapses: Synapses, offsets: Ints, k: int) -> tuple[Floats, Synapses]:
    return times[offsets[k] : offsets[k + 1]], synapses[offsets[k] : offsets[k + 1]]


def _spike_cells(times: Floats, synapses: Synapses, num_synapses: int) -> _Cell:
    order = np.argsort(synapses, kind="stable")
    ends = np.cumsum(np.bincount(synapses, minlength=num_synapses))
    return _cells([list(map(_row, np.split(times[order], ends[:-1])))], num_synapses)


def _cells(rows: Sequence[Sequence[_Cell]], columns: int) -> _Cell:
    """A cell array."""
    cells = np.empty((len(rows), columns), dtype=object)
    for k, row in enumerate(rows):
        cells[k, :] = row
    return cells


def _row(x: npt.ArrayLike) -> Floats:
    return np.asarray(x, np.float64).reshape(1, -1)
