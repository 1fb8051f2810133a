"""One kind of error for files that cannot be read, whatever their decoder raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError

__all__ = ["readable"]


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
