"""Where a command writes."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError


def target(out: str, *suffixes: str) -> Path:
    """The file that --out names; refused before the work, not after."""
    path = Path(out)
    if path.suffix.lower() not in suffixes:
        *others, last = suffixes
        raise InputError(f"--out must end in {', '.join(others) + ' or ' if others else ''}{last}, got {out!r}")
    if path.is_dir():
        raise InputError(f"--out must be a file, {out!r} is a folder")
    if not path.parent.is_dir():
        raise InputError(f"--out: the folder {str(path.parent)!r} does not exist")
    return path
