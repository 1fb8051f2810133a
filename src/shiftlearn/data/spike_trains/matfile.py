"""MATLAB files of version 5 to 7, as far as spike trains need them: cell arrays and real numbers.

Written against "MAT-File Format" (MathWorks). ``scipy.io.loadmat`` reads more kinds, but recurses in C without a limit:
a small file of cells within cells ends the process (scipy 1.17). Here a cell's content is decoded when it is asked for,
so memory and depth follow what the caller expects.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...errors import InputError

__all__ = ["MAX_BYTES", "Fault", "Node", "read_variables"]

MAX_BYTES = 2**29
"""Largest size of a file in bytes, packed or unpacked; one trial of 500 synapses takes 150 kB."""

_CELL, _DOUBLE, _NUMERIC = 1, 6, range(6, 16)
_COMPLEX = 0x0800
_CLASSES = {2: "struct", 3: "object", 4: "text", 5: "sparse matrix"}
_INT32, _UINT32, _MATRIX, _COMPRESSED = 5, 6, 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_HEADER_SIZE = 128


class Fault(ValueError):
    """What is wrong with a piece of a file; who knows the place turns it into an InputError."""


@dataclass(frozen=True)
class Node:
    """One array of a file, not yet decoded. ``order`` is the file's byte order, ``<`` or ``>``."""

    payload: memoryview
    order: str

    def cells(self) -> tuple[tuple[int, ...], list[Node]]:
        """Shape and elements (column by column) of a cell array.

        Raises:
            Fault: it is something else, or it is damaged.
        """
        number, shape, at = self._start()
        if number != _CELL:
            raise Fault(f"is {_named(number)}, expected a cell array")
        # An element takes 8 bytes at least: memory follows what the file holds and not what it declares.
        if math.prod(shape) * 8 > len(self.payload) - at:
            raise Fault(f"declares {_by(shape)} cells, more than it can hold")
        nodes = []
        for _ in range(math.prod(shape)):
            kind, data, at = _element(self.payload, at, self.order)
            if kind != _MATRIX:
                raise Fault(f"is damaged (type {kind} where an array is expected)")
            nodes.append(Node(data, self.order))
        return shape, nodes

    def numbers(self) -> npt.NDArray[np.float64]:
        """Elements (column by column) of an array of real numbers, of any shape, as float64.

        Raises:
            Fault: it is something else, or it is damaged.
        """
        if len(self.payload) == 0:
            return np.zeros(0)
        number, shape, at = self._start()
        if number not in _NUMERIC:
            raise Fault(f"is {_named(number)}, expected numbers")
        kind, data, _ = _element(self.payload, at, self.order)
        if kind not in _TYPES:
            raise Fault(f"is damaged (type {kind} where numbers are expected)")
        dtype = np.dtype(self.order + _TYPES[kind])
        if math.prod(shape) * dtype.itemsize != len(data):
            raise Fault(f"is damaged ({len(data)} bytes where {_by(shape)} numbers are expected)")
        return np.frombuffer(data, dtype).astype(np.float64)

    def _start(self) -> tuple[int, tuple[int, ...], int]:
        """Class and shape, and where the content begins."""
        if len(self.payload) == 0:
            return _DOUBLE, (0, 0), 0
        kind, flags, at = _element(self.payload, 0, self.order)
        if kind != _UINT32 or len(flags) != 8:
            raise Fault("is damaged (no array flags)")
        word = struct.unpack_from(f"{self.order}I", flags)[0]
        kind, sizes, at = _element(self.payload, at, self.order)
        if kind != _INT32 or len(sizes) < 8 or len(sizes) % 4:
            raise Fault("is damaged or of an unknown kind (no dimensions)")
        shape = struct.unpack(f"{self.order}{len(sizes) // 4}i", sizes)
        if min(shape) < 0:
            raise Fault(f"is damaged (dimensions {_by(shape)})")
        if word & _COMPLEX:
            raise Fault("holds complex numbers")
        return word & 0xFF, shape, _element(self.payload, at, self.order)[2]

    def name(self) -> str:
        """The variable's name; of an element of a cell array it is empty."""
        at = _element(self.payload, 0, self.order)[2]
        # The dimensions are passed over unread: a variable of a kind unknown here may lack them.
        _, name, _ = _element(self.payload, _element(self.payload, at, self.order)[2], self.order)
        return bytes(name).decode("latin-1")


def read_variables(path: Path, names: Sequence[str]) -> dict[str, Node]:
    """The variables of these names, not yet decoded; others are passed over.

    Raises:
        InputError: the file cannot be read, is larger than :data:`MAX_BYTES`, is no MATLAB file of version 5 to 7,
            is truncated or damaged, or lacks a variable.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    try:
        found = {}
        for node in _variables(content):
            if node.payload and (name := node.name()) in names:
                found[name] = node
    except Fault as fault:
        raise InputError(f"{path}: {fault}.") from fault
    for name in names:
        if name not in found:
            raise InputError(f"{path}: lacks the variable {name!r}.")
    return found


def _variables(content: bytes) -> Iterator[Node]:
    if len(content) > MAX_BYTES:
        raise Fault(f"is larger than the {MAX_BYTES} bytes this reader accepts")
    if content.startswith(b"\x89HDF") or content.startswith(b"MATLAB 7.3"):
        raise Fault("is a MATLAB file of version 7.3 (HDF5); save it with '-v7'")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or struct.unpack_from(f"{order}H", content, 124)[0] != 0x0100:
        raise Fault("is empty" if not content else "is not a MATLAB file of version 5 to 7")
    view, at, budget = memoryview(content), _HEADER_SIZE, MAX_BYTES
    while at < len(view):
        kind, data, at = _element(view, at, order)
        if kind == _COMPRESSED:
            unpacked = _unpacked(data, budget)
            budget -= len(unpacked)
            kind, data, _ = _element(memoryview(unpacked), 0, order)
        if kind != _MATRIX:
            raise Fault(f"is damaged (type {kind} where a variable is expected)")
        yield Node(data, order)


def _unpacked(data: memoryview, budget: int) -> bytes:
    unpack = zlib.decompressobj()
    try:
        content = unpack.decompress(data, budget + 1)
    except zlib.error as error:
        raise Fault(f"is damaged ({error})") from error
    if len(content) > budget:
        raise Fault(f"unpacks to more than the {MAX_BYTES} bytes this reader accepts")
    if not unpack.eof:
        raise Fault("is damaged (a variable is truncated)")
    return content


def _element(view: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """Type and data of the element at a place, and where the next one begins."""
    if len(view) - at < 8:
        raise Fault("is truncated or damaged")
    word, size = struct.unpack_from(f"{order}II", view, at)
    if word >> 16:  # up to 4 bytes lie within the tag itself
        return word & 0xFFFF, view[at + 4 : at + 4 + min(word >> 16, 4)], at + 8
    end = at + 8 + size
    if end > len(view):
        raise Fault("is truncated or damaged")
    padded = end if word == _COMPRESSED else end + -end % 8
    return word, view[at + 8 : end], min(padded, len(view))


def _named(number: int) -> str:
    if number == _CELL:
        return "a cell array"
    return "an array of numbers" if number in _NUMERIC else f"a {_CLASSES.get(number, 'function or object')}"


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
