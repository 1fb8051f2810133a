"""Spike trains that a user brings: the published ``.mat`` format, or NumPy arrays in an ``.npz`` file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...files import readable
from ...registry import SPIKE_FILES
from ..npy import read_npy
from ..tables.delimited import StrPath
from .tca_read import read_mat
from .trials import Trials, from_arrays

__all__ = ["read_trials"]

_NEEDED, _OPTIONAL = ("times", "synapses", "trial"), ("target", "length", "num_synapses", "dt")
_LARGEST, _RATIO = 2**29, 20  # bytes of all arrays together: so many, or so many times those of the file


def read_trials(path: StrPath, time_unit: str = "s", num_synapses: int | None = None) -> Trials:
    """Spike trains from a file.

    Args:
        path: ``.mat`` in the published format (:func:`shiftlearn.data.spike_trains.tca_read.read_mat`), or ``.npz``, as
            ``numpy.savez(path, times=…, synapses=…, trial=…, target=…)`` writes it, with the arrays that
            :func:`shiftlearn.data.spike_trains.from_arrays` takes (``length``, ``num_synapses``, ``dt`` optional;
            ``target`` too, where nothing is to be learned or tested).
        time_unit: of all times in the file: "s", "ms" or "us".
        num_synapses: of an ``.npz`` file that does not state it; default: the largest number of a synapse plus 1.

    Raises:
        InputError: the file cannot be read, is damaged or of another kind, or its arrays are not as described.
    """
    path = Path(path)
    if path.suffix.lower() not in SPIKE_FILES:
        raise InputError(f"{path}: is of an unknown kind, expected {' or '.join(SPIKE_FILES)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix.lower() == ".mat":
        return read_mat(path, time_unit)
    arrays = _arrays(path)
    if missing := [name for name in _NEEDED if name not in arrays]:
        raise InputError(f"{path}: lacks {', '.join(missing)}; expected {', '.join(_NEEDED)}")
    if unknown := sorted(arrays.keys() - {*_NEEDED, *_OPTIONAL}):
        raise InputError(f"{path}: holds {unknown[0]!r}; expected {', '.join(_NEEDED)}, or {', '.join(_OPTIONAL)}")
    for name in ("num_synapses", "dt"):
        if name in arrays:
            if arrays[name].size != 1 or arrays[name].dtype.kind not in "iuf":
                raise InputError(f"{path}: {name} must be one number, got {arrays[name]!r}")
            arrays[name] = arrays[name].item()
    try:
        return from_arrays(**{"num_synapses": num_synapses, "time_unit": time_unit} | arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _arrays(path: Path) -> dict[str, Any]:
    with readable(path, "an .npz file"), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > max(_LARGEST, _RATIO * path.stat().st_size):  # before memory is asked for
            raise InputError(f"{path}: unpacks to {size} bytes, more than {_LARGEST} and {_RATIO} times its own size")
        arrays = {}
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name in arrays:
                raise InputError(f"{path}: holds {name!r} twice")
            with archive.open(entry) as file:
                arrays[name] = read_npy(file, entry.file_size, f"{path}: {name}")
        return arrays
