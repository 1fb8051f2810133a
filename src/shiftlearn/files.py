"""Files: written whole or not at all, read with one kind of error, and CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import InputError

__all__ = ["CONFIG", "as_csv", "csv_lines", "readable", "write", "write_json"]

# Of a run folder: written once data and device were found; before that there is no run to resume.
CONFIG = "config.json"


def write(path: Path, content: bytes, previous: Path | None = None) -> None:
    """Replace a file as a whole: after a crash there is the old content or the new, never a part of it.

    The old content is kept as ``previous``; a crash may leave that alone.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        _sync(path.parent)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


def _sync(folder: Path) -> None:
    """Names in a folder outlive a loss of power, too, where the system lets folders be opened (Windows does not)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """:func:`write` of indented JSON."""
    write(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Whatever goes wrong is an InputError that names the file: on damaged ones, decoders raise nearly anything."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)[:200] or type(error).__name__
        raise InputError(f"{path}: cannot be read as {kind} ({reason})") from error


def csv_lines(lines: Iterable[Iterable[Any]]) -> bytes:
    """Cells, line by line, as CSV; floats keep every digit, None is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows, all with the keys of the first, as CSV (:func:`csv_lines`) with a header."""
    return csv_lines([rows[0], *([row[key] for key in rows[0]] for row in rows)]) if rows else b""
