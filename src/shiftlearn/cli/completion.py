"""What the shell offers when a user presses Tab, and messages list: names and run folders, found without torch."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer
from typer.exceptions import TyperException

_MOST = 40  # choices in a message


def explained(error: TyperException, app: typer.Typer) -> str:
    """What is wrong on the command line; where an argument or an option's value is missing, with what it may be."""
    message = str(error.format_message())
    if message.startswith("Missing"):
        parameter = getattr(error, "param", None)
    elif message.endswith("requires an argument."):
        parameter = _option(app, getattr(error, "option_name", ""))
    else:
        return message
    if parameter is None:
        return message
    choices = [item.value for item in parameter.shell_complete(None, "")]
    more = ", ..." if len(choices) > _MOST else ""
    return f"{message} Valid: {', '.join(choices[:_MOST])}{more}." if choices else message


def _option(app: typer.Typer, name: str) -> Any:
    """The option of the command that was typed, which is not known from the error that it lacks its value."""
    command: Any = typer.main.get_command(app)
    for word in sys.argv[1:]:
        command = getattr(command, "commands", {}).get(word, command)
    return next((x for x in command.params if name in x.opts), None)


def recipe_names(incomplete: str) -> list[str]:
    """Recipes of the package."""
    from .. import recipes

    return _starting(recipes.names(), incomplete)


def settings(incomplete: str) -> list[str]:
    """``KEY=``; after it the names that some keys take."""
    from .. import recipes, registry

    choices: dict[str, Iterable[str]] = {
        "rule": registry.RULES,
        "feedback": (*registry.FEEDBACK, "direct"),
        "modulator": registry.MODULATORS,
        "baseline": registry.BASELINES,
        "coding": registry.CODINGS,
        "loss": registry.LOSSES,
        "readout": registry.READOUTS,
        "schedule": registry.SCHEDULES,
        "init": registry.INITIALISATIONS,
        "preprocess": registry.PREPROCESSING,
        "scaling": registry.SCALINGS,
        "time_unit": registry.TIME_UNITS,
        "header": registry.HEADERS,
        "separator": ("", "tab", "space"),
        "encoding": ("utf-8", "utf-16", "cp1252", "latin-1"),
        "decimal": registry.DECIMALS,
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
    from ..registry import RULES

    return RULES


def pathways() -> Iterable[str]:
    """Feedback pathways of a network."""
    from ..registry import FEEDBACK

    return (*FEEDBACK, "direct")


def modulators() -> Iterable[str]:
    """Neuromodulators."""
    from ..registry import MODULATORS

    return MODULATORS


def disturbances() -> Iterable[str]:
    """What :func:`shiftlearn.analysis.robustness.robustness` does to a network."""
    from ..registry import DISTURBANCES

    return DISTURBANCES


def _starting(valid: Iterable[str], start: str) -> list[str]:
    return [name for name in valid if name.startswith(start)]
