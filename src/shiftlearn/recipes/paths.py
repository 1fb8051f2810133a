"""Settings that are paths: which they are, and how they come to mean the same file from anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..registry import DATASET_NAMES

if TYPE_CHECKING:
    from . import Recipe

__all__ = ["SETTINGS", "absolute", "require_files"]

SETTINGS = ("dataset", "test_file", "templates")


def absolute(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The settings, with paths made absolute: relative ones begin in ``folder``, and ``~`` is the home folder.

    A ``dataset`` is a path if it has a suffix or a separator, which no name of a dataset has, or if it is a file in
    ``folder`` that is not called like a dataset.
    """
    return {key: _absolute(key, value, folder) if key in SETTINGS else value for key, value in settings.items()}


def require_files(recipe: Recipe) -> None:
    """InputError for a relative path that leads nowhere, as one does that an older run has stored."""
    for key in SETTINGS:
        value = getattr(recipe, key)
        if _looks_like_path(value) and not Path(value).is_absolute() and not Path(value).exists():
            raise InputError(
                f"{value}: no such file in {Path.cwd()}; name yours with --set {key}=PATH (a run that has stored this "
                "relative path is evaluated and resumed in the folder where it was started)"
            )


def _absolute(key: str, value: Any, folder: Path) -> Any:
    if not isinstance(value, str) or not value:
        return value
    path = folder / os.path.expanduser(value)
    if key == "dataset" and not _looks_like_path(value) and (not path.is_file() or value in DATASET_NAMES):
        return value
    return str(path.absolute())


def _looks_like_path(value: str) -> bool:
    return bool(Path(value).suffix) or "/" in value or os.sep in value
