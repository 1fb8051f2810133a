"""The IDX reader: what it returns, and that every bad file ends in an InputError that names it."""

from __future__ import annotations

import gzip
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shiftlearn.data.images.idx import MAX_BYTES, Kind, header, read_idx
from shiftlearn.errors import InputError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


def idx(array: np.ndarray) -> bytes:
    return header(array.shape) + array.tobytes()


def fails(path: Path, content: bytes, expect: Kind, reason: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{re.escape(path.name)}.*{reason}"):
        read_idx(path, expect)


@pytest.mark.parametrize(("array", "kind"), [(IMAGES, "images"), (LABELS, "labels")])
def test_reads_plain_and_gzipped(tmp_path: Path, array: np.ndarray, kind: Kind) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed.gz"
    plain.write_bytes(idx(array))
    packed.write_bytes(gzip.compress(idx(array)))
    for path in (plain, packed):
        found = read_idx(path, kind)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, array)


def test_header_is_the_published_one() -> None:
    assert header((60000, 28, 28)) == struct.pack(">4I", 2051, 60000, 28, 28)
    assert header((10000,)) == struct.pack(">2I", 2049, 10000)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.gz: cannot be read \(No such file"):
        read_idx(tmp_path / "nothing.gz", "images")
    with pytest.raises(InputError, match=r": cannot be read \("):
        read_idx(tmp_path, "images")


def test_bad_gzip(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    packed = gzip.compress(idx(IMAGES))
    fails(path, idx(IMAGES), "images", "is not a gzip file")
    fails(path, b"", "images", "is not a gzip file")
    for length in range(2, len(packed)):
        fails(path, packed[:length], "images", "gzip file is truncated")
    wrong_crc = bytearray(packed)
    wrong_crc[-8] ^= 1
    fails(path, bytes(wrong_crc), "images", "gzip file is damaged .CRC check failed")
    fails(path, packed[:10] + b"\xff" * 20, "images", "gzip file is damaged")
    fails(path, packed + b"garbage", "images", "gzip file is damaged")


def test_wrong_magic(tmp_path: Path) -> None:
    path = tmp_path / "file"
    fails(
        path,
        idx(LABELS),
        "images",
        r"holds labels \(magic 2049\) where images \(magic 2051\) are expected",
    )
    fails(
        path,
        idx(IMAGES),
        "labels",
        r"holds images \(magic 2051\) where labels \(magic 2049\) are expected",
    )
    fails(path, b"<html></html>", "images", r"starts with magic 1013478509 \(0x3C68746D\) where images")
    fails(path, idx(IMAGES[0]), "images", "starts with magic 2050")
    fails(path, gzip.compress(idx(IMAGES)), "images", r"it is a gzip file, whose name must end in \.gz")


def test_wrong_element_type(tmp_path: Path) -> None:
    content = bytearray(idx(IMAGES))
    content[2] = 0x0D
    fails(tmp_path / "file", bytes(content), "images", r"type float32 \(code 0x0D\), only uint8")


def test_wrong_length(tmp_path: Path) -> None:
    path = tmp_path / "file"
    fails(path, b"\0\0", "images", "an IDX header starts with 4 bytes, the file holds 2")
    fails(path, idx(IMAGES)[:15], "images", "its header takes 16 bytes, the file holds 15")
    fails(path, idx(IMAGES)[:-1], "images", "truncated: declares 2 x 3 x 4 = 24 bytes, holds 23")
    fails(path, idx(IMAGES) + b"\0", "images", "trailing bytes: declares 2 x 3 x 4 = 24 bytes, holds more")
    fails(path, header((0, 2**32 - 1, 2**32 - 1)), "images", "it holds no images")

    packed = tmp_path / "file.gz"
    fails(packed, gzip.compress(idx(LABELS)[:-1]), "labels", "truncated: declares 5 = 5 bytes, holds 4")
    fails(packed, gzip.compress(idx(LABELS) + b"\0"), "labels", "trailing bytes: declares 5 = 5 bytes")


def test_memory_follows_the_content_not_the_claim(tmp_path: Path) -> None:
    claims_most = header((MAX_BYTES,)) + b"\0"
    bomb = gzip.compress(header((5,)) + bytes(2**26), compresslevel=1)
    tracemalloc.start()
    try:
        fails(tmp_path / "a", header((2**32 - 1, 28, 28)), "images", "more than the 1073741824 this reader")
        fails(tmp_path / "b", header((MAX_BYTES + 1,)), "labels", "more than the 1073741824 this reader")
        fails(tmp_path / "c", claims_most, "labels", "holds 1")
        fails(tmp_path / "d.gz", bomb, "labels", "trailing bytes")
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def returns_declared_shape_or_fails(path: Path, content: bytes, unpacked: bytes | None) -> None:
    path.write_bytes(content)
    try:
        array = read_idx(path, "images")
    except InputError as error:
        message = str(error)
    else:
        assert array.dtype == np.uint8
        if unpacked is not None:
            assert header(array.shape) + array.tobytes() == unpacked
        return
    assert path.name in message


one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@one_folder
@given(content=st.binary(max_size=64), start=st.sampled_from([b"", header((1, 1, 1))[:4], b"\x1f\x8b\x08"]))
def test_random_bytes(tmp_path: Path, content: bytes, start: bytes) -> None:
    returns_declared_shape_or_fails(tmp_path / "file", start + content, start + content)
    returns_declared_shape_or_fails(tmp_path / "file.gz", start + content, None)
    packed = gzip.compress(start + content)
    returns_declared_shape_or_fails(tmp_path / "file.gz", packed, start + content)


@one_folder
@given(data=st.data())
def test_random_mutations(tmp_path: Path, data: st.DataObject) -> None:
    def mutate(valid: bytes) -> bytes:
        content = bytearray(valid)
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        return bytes(content[: data.draw(st.integers(0, len(content)))]) + data.draw(st.binary(max_size=3))

    content = mutate(idx(IMAGES))
    returns_declared_shape_or_fails(tmp_path / "file", content, content)
    returns_declared_shape_or_fails(tmp_path / "file.gz", gzip.compress(content), content)
    returns_declared_shape_or_fails(tmp_path / "file.gz", mutate(gzip.compress(idx(IMAGES))), None)
