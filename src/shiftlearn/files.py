"""Files: written whole or not at all, read with one kind of error, and CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import InputError

__all__ = ["as_csv", "readable", "write", "write_json"]


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


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows, all with the keys of the first, as CSV with a header; floats keep every digit, None is an empty cell."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode()
