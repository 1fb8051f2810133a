"""The files that commands write."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError


def target(out: str, suffix: str) -> Path:
    """Where to write; refused before the work, not after."""
    path = Path(out)
    if path.suffix.lower() != suffix:
        raise InputError(f"--out must end in {suffix}, got {out!r}")
    if path.is_dir():
        raise InputError(f"--out must be a file, {out!r} is a folder")
    if not path.parent.is_dir():
        raise InputError(f"--out: the folder {str(path.parent)!r} does not exist")
    return path
