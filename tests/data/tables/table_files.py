"""What the tests of tables share: files of a given content, and columns as lists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shiftlearn.data.tables.table import Column, Table, read_csv
from shiftlearn.errors import InputError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, content: str | bytes, **options: object) -> Table:
    return read_csv(write(path, content), **options)


def fails(path: Path, content: str | bytes, reason: str, **options: object) -> None:
    with pytest.raises(InputError, match=f"{re.escape(path.name)}: {reason}"):
        read(path, content, **options)


def lists(columns: tuple[Column, ...]) -> list[list[object]]:
    """The columns with NaN as None, to be compared by ==."""
    return [[None if value != value else value for value in column.tolist()] for column in columns]
