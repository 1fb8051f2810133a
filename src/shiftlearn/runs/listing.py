"""Run folders side by side: what each was trained with, how far it is, and how well it does."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from .. import recipes
from ..errors import InputError, unknown_name
from ..models.stored import CONFIG, WEIGHTS, read_config
from .results import FIGURES, LOG, read_log, read_metrics

__all__ = ["SORTS", "arrange", "find", "read"]

Row = dict[str, Any]


def find(root: Path) -> Iterator[Path]:
    """The run folders at any depth below a folder, itself included; none is looked for within another.

    Raises:
        InputError: there is no such folder.
    """
    if not root.is_dir():
        raise InputError(f"no folder {str(root)!r}; name one that holds run folders")
    for place, folders, files in os.walk(root):
        if CONFIG in files:
            folders.clear()
            yield Path(place)


def read(folder: Path) -> Row:
    """What is known of a run.

    Returns:
        ``recipe`` is the name of the package's recipe it began with, None for another one, and ``changed`` what was set
        otherwise. ``epochs_done`` are those in its log, ``finished`` says whether there is a summary. The accuracies
        of training and validation are those of the last epoch; ``test_accuracy`` is a mean over folds in a
        cross-validation, and of repeated runs the share that was solved (``kind`` tells which). None: not known.
        ``seconds`` is the time of training, ``date`` when the folder was last written to (ISO 8601, local time).

    Raises:
        InputError: a file is damaged, or missing though the run is finished.
    """
    config, metrics, log = read_config(folder), read_metrics(folder), read_log(folder)
    kind = "cross-validation" if config.folds else "repeats" if config.repeats else "training"
    if metrics is not None and kind != "repeats" and not (folder / WEIGHTS).is_file():
        raise InputError(f"{str(folder)!r} is finished, but holds no {WEIGHTS}")
    last = log[-1] if log else {}
    for key in ("train_accuracy", "validation_accuracy", "seconds"):
        if not isinstance(last.get(key, 0.0), int | float):
            raise InputError(f"{folder / LOG} is damaged: {key} must be a number, got {last[key]!r}")
    recipe = config.recipe
    name, changed = _origin(recipe)
    figures = [metrics[key] for key in FIGURES if key in metrics] if metrics else []
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    written = max(path.stat().st_mtime for path in files)
    return {
        "run": str(folder),
        "kind": kind,
        "recipe": name,
        "dataset": recipe.dataset,
        "changed": changed,
        "seed": config.seed,
        "rule": recipe.rule,
        "feedback": recipe.feedback,
        "modulator": recipe.modulator,
        "epochs_done": last.get("epoch", recipe.epochs if metrics else 0),
        "epochs": recipe.epochs,
        "finished": metrics is not None,
        "train_accuracy": last.get("train_accuracy"),
        "validation_accuracy": last.get("validation_accuracy"),
        "test_accuracy": figures[0] if figures else None,
        "seconds": metrics["train_seconds"] if metrics else sum(record.get("seconds", 0) for record in log),
        "date": datetime.fromtimestamp(written).isoformat(timespec="seconds"),
    }


@cache
def _package() -> dict[str, tuple[str, recipes.Recipe]]:
    return {recipe.description: (name, recipe) for name in recipes.names() for recipe in [recipes.read(name)]}


def _origin(recipe: recipes.Recipe) -> tuple[str | None, Row]:
    """The package's recipe of the same description, and the settings that differ from it; or one of equal settings."""
    if recipe.description in _package():
        name, original = _package()[recipe.description]
        own, theirs = recipe.as_dict(), original.sized(recipe.layers).as_dict()
        return name, {key: value for key, value in own.items() if value != theirs[key]}
    same = (name for name, original in _package().values() if recipe == _like(original, recipe))
    return next(same, None), {}


def _like(original: recipes.Recipe, recipe: recipes.Recipe) -> recipes.Recipe:
    return dataclasses.replace(original.sized(recipe.layers), description=recipe.description)


def _natural(row: Row) -> list[Any]:
    """seed2 before seed10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", row["run"])]


def _accuracy(row: Row) -> tuple[bool, float]:
    """The best first; what is not tested yet comes last, by its validation."""
    tested = row["test_accuracy"] is not None
    return not tested, -(row["test_accuracy"] if tested else row["validation_accuracy"] or 0)


SORTS: dict[str, Callable[[list[Row]], list[Row]]] = {
    "name": lambda rows: rows,
    "date": lambda rows: sorted(rows, key=lambda row: row["date"], reverse=True),
    "accuracy": lambda rows: sorted(rows, key=_accuracy),
    "time": lambda rows: sorted(rows, key=lambda row: row["seconds"]),
}
"""The ways to sort: by name, the latest first, the best first, the fastest first."""


def arrange(rows: Sequence[Row], sort: str) -> list[Row]:
    """Rows of :func:`read`, sorted; equal ones by name.

    Raises:
        InputError: ``sort`` is no key of :data:`SORTS`.
    """
    if sort not in SORTS:
        raise unknown_name("sort", sort, SORTS)
    return SORTS[sort](sorted(rows, key=_natural))
