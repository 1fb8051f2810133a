"""Arrays in NumPy's format, whose header is not believed before it is checked."""

from __future__ import annotations

import math
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError

__all__ = ["read_header", "read_npy", "require_whole"]

_format: Any = np.lib.format  # without types before NumPy 2.4
_LONGEST = 10_000  # bytes of a header, as in NumPy


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype that a file declares; of the file no more than the header is read.

    Raises:
        ValueError: and others of NumPy's: it is no such file.
    """
    version = _format.read_magic(file)
    start = file.tell()
    length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
    if length > _LONGEST:  # NumPy refuses it too, but asks for the memory first
        raise ValueError(f"a header of {length} bytes")
    file.seek(start)
    header = _format.read_array_header_1_0 if version == (1, 0) else _format.read_array_header_2_0
    shape, _, dtype = header(file)
    return shape, dtype


def require_whole(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], size: int, where: str) -> None:
    """InputError unless a file of ``size`` bytes, of which the header is read, holds what that declares."""
    declared = file.tell() + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or declared != size:
        raise InputError(f"{where}: is cut off or damaged: has {size} bytes, {declared} by its header")


def read_npy(file: IO[bytes], size: int, where: str) -> npt.NDArray[Any]:
    """The array in a file of ``size`` bytes; memory is asked for once the header is known to be true.

    Raises:
        InputError: it holds Python objects, or more or less than it declares.
        ValueError: and others of NumPy's: it is no such file, or is damaged.
    """
    shape, dtype = read_header(file)
    if dtype.hasobject:
        raise InputError(f"{where}: holds Python objects, expected numbers")
    require_whole(file, shape, dtype, size, where)
    file.seek(0)
    array: npt.NDArray[Any] = _format.read_array(file, allow_pickle=False)
    if file.read(1):  # the last byte read, zip compares its checksum
        raise InputError(f"{where}: holds more than its header declares")
    return array
