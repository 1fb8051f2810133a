"""What the shell offers when a user presses Tab: names and run folders, found without importing torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path


def recipe_names(incomplete: str) -> list[str]:
    """Recipes of the package."""
    from .. import recipes

    return _starting(recipes.names(), incomplete)


def settings(incomplete: str) -> list[str]:
    """``KEY=``; after it the names that some keys take."""
    from .. import names, recipes

    choices: dict[str, Iterable[str]] = {
        "rule": names.RULES,
        "feedback": (*names.FEEDBACK, "direct"),
        "modulator": names.MODULATORS,
        "baseline": names.BASELINES,
        "coding": names.CODINGS,
        "loss": names.LOSSES,
        "readout": names.READOUTS,
        "schedule": names.SCHEDULES,
        "init": names.INITIALISATIONS,
        "preprocess": names.PREPROCESSING,
        "scaling": names.SCALINGS,
        "header": names.HEADERS,
        "decimal": names.DECIMALS,
        "shuffle": ("true", "false"),
        "project_delays": ("true", "false"),
        "row_numbers": ("true", "false"),
    }
    key, equals, value = incomplete.partition("=")
    if not equals:
        return _starting((f"{field.name}=" for field in dataclasses.fields(recipes.Recipe)), incomplete)
    return [f"{key}={name}" for name in _starting(choices.get(key, ()), value)]


def run_folders(incomplete: str) -> list[str]:
    """Run folders that begin so, up to three levels below the last slash."""
    head = incomplete[: incomplete.rfind("/") + 1]
    found = (path.parent for depth in range(1, 4) for path in Path(head).glob("*/" * depth + "config.json"))
    return _starting(sorted(f"{head}{folder.relative_to(head).as_posix()}" for folder in found), incomplete)


def listed(valid: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """For options that take several names between commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in _starting(valid(), last) if name not in before.split(",")]

    return complete


def one_of(*valid: str) -> Callable[[str], list[str]]:
    """For options that take one of some names."""
    return lambda incomplete: _starting(valid, incomplete)


def rules() -> Iterable[str]:
    """Local rules."""
    from ..names import RULES

    return RULES


def pathways() -> Iterable[str]:
    """Feedback pathways of a network."""
    from ..names import FEEDBACK

    return (*FEEDBACK, "direct")


def modulators() -> Iterable[str]:
    """Neuromodulators."""
    from ..names import MODULATORS

    return MODULATORS


def disturbances() -> Iterable[str]:
    """What :func:`shiftlearn.robustness.robustness` does to a network."""
    from ..names import DISTURBANCES

    return DISTURBANCES


def _starting(valid: Iterable[str], start: str) -> list[str]:
    return [name for name in valid if name.startswith(start)]
