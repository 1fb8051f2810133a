"""Reader of IDX files, the format MNIST is published in.

An IDX file is a big-endian header (two zero bytes, a code for the element type, the number of
dimensions, then each dimension as 32 bits) followed by the elements in C order.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from ...errors import InputError

__all__ = ["MAX_BYTES", "Kind", "header", "read_idx"]

Kind = Literal["images", "labels"]

MAX_BYTES = 2**30
"""Largest size of the elements, in bytes, that a header may declare; MNIST's training images take 47 MB."""

_DIMENSIONS: dict[Kind, int] = {"images": 3, "labels": 1}
_TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
_UINT8 = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**20


def header(shape: tuple[int, ...]) -> bytes:
    """The header of an IDX file that holds uint8 elements of this shape."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, _UINT8, len(shape), *shape)


def read_idx(path: Path, expect: Kind) -> npt.NDArray[np.uint8]:
    """Read an IDX file of uint8 images or labels, gzipped if its name ends in ``.gz``.

    The file is read whole and checked to its last byte, yet never further than one byte beyond the
    size its header declares, which may be at most :data:`MAX_BYTES`.

    Args:
        path: the file.
        expect: ``"images"`` (magic 2051) or ``"labels"`` (magic 2049).

    Returns:
        Pixel intensities 0..255 of shape (n, rows, columns), or class numbers of shape (n,).

    Raises:
        InputError: the file cannot be read, is not intact gzip, is not an IDX file of the expected
            kind, or holds fewer or more bytes than its header declares.
    """
    try:
        with open(path, "rb") as raw:
            if path.suffix != ".gz":
                return _parse(raw, path, expect)
            if raw.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
                raise InputError(f"{path}: is not a gzip file, though its name ends in .gz.")
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _parse(unpacked, path, expect)
    except EOFError as error:
        raise InputError(f"{path}: the gzip file is truncated.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: the gzip file is damaged ({error}).") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _parse(stream: BinaryIO | gzip.GzipFile, path: Path, expect: Kind) -> npt.NDArray[np.uint8]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise InputError(f"{path}: truncated: an IDX header starts with 4 bytes, the file holds {len(magic)}.")
    _check_magic(magic, path, expect)

    length = 4 * _DIMENSIONS[expect]
    sizes = stream.read(length)
    if len(sizes) < length:
        raise InputError(f"{path}: truncated: its header takes {4 + length} bytes, the file holds {4 + len(sizes)}.")
    shape = struct.unpack(f">{_DIMENSIONS[expect]}I", sizes)
    size = math.prod(shape)
    declared = f"declares {' x '.join(map(str, shape))} = {size} bytes"
    if size == 0:
        raise InputError(f"{path}: {declared}: it holds no {expect}.")
    if size > MAX_BYTES:
        raise InputError(f"{path}: {declared}, more than the {MAX_BYTES} this reader accepts.")

    # In chunks, so that memory follows what the file holds and not what it declares. The byte beyond
    # the last shows whether the file ends there, and lets gzip compare its own checksum.
    content = bytearray()
    while len(content) <= size:
        chunk = stream.read(min(_CHUNK, size + 1 - len(content)))
        if not chunk:
            break
        content += chunk
    if len(content) < size:
        raise InputError(f"{path}: truncated: {declared}, holds {len(content)}.")
    if len(content) > size:
        raise InputError(f"{path}: trailing bytes: {declared}, holds more.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _check_magic(magic: bytes, path: Path, expect: Kind) -> None:
    if magic == _magic(expect):
        return
    number = int.from_bytes(magic)
    wanted = f"where {expect} (magic {int.from_bytes(_magic(expect))}) are expected"
    for kind in _DIMENSIONS:
        if magic == _magic(kind):
            raise InputError(f"{path}: holds {kind} (magic {number}) {wanted}.")
    if magic[:2] == b"\0\0" and magic[2] in _TYPES and magic[2] != _UINT8:
        raise InputError(
            f"{path}: holds elements of type {_TYPES[magic[2]]} (code 0x{magic[2]:02X}), "
            f"only uint8 (code 0x{_UINT8:02X}) is read."
        )
    hint = "; it is a gzip file, whose name must end in .gz" if magic[:2] == _GZIP_MAGIC else ""
    raise InputError(f"{path}: starts with magic {number} (0x{number:08X}) {wanted}{hint}.")


def _magic(kind: Kind) -> bytes:
    return bytes((0, 0, _UINT8, _DIMENSIONS[kind]))
