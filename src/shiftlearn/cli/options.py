"""What the commands' declarations share: arguments and options that several take, and examples in their help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ..registry import TIME_UNITS
from . import completion

NAME = "shiftlearn"


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {NAME} {line}" for line in lines)


def reading(**options: Any) -> dict[str, Any]:
    """The options given on how a CSV file is read, as settings of a recipe, each by its name on the command line."""
    words = {True: "yes", False: "no"}
    given = {name: value for name, value in options.items() if value is not None}
    return {name: words[value] if isinstance(value, bool) else value for name, value in given.items()}


def help_alone(context: typer.Context) -> None:
    """Show the help where no command follows."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


Decimal = Annotated[
    str | None,
    typer.Option(metavar="MARK", help="CSV: of decimals, a point or a comma; default: what the columns show."),
]
Encoding = Annotated[str | None, typer.Option(help="CSV: such as cp1252 or utf-16; default: utf-8.")]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="CSV: the first line holds names, or data; default: guessed."),
]
Separator = Annotated[
    str | None, typer.Option(metavar="MARK", help="CSV: between the columns; also tab, space; default: guessed.")
]


def at_home(path: str | list[str] | None) -> str | list[str] | None:
    """A path, or several, with ``~`` for the home folder, which shells leave alone in ``--out=~/x``."""
    if isinstance(path, list):
        return [os.path.expanduser(one) for one in path]
    return None if path is None else os.path.expanduser(path)


def path_option(*names: str, **settings: Any) -> Any:
    """An option that takes a path."""
    return typer.Option(*names, callback=at_home, **settings)


def run_folder(name: str | None) -> str | None:
    """A run folder as it was typed, or the one of that name in ``runs/``."""
    if name is None:
        return None
    typed = os.path.expanduser(name)
    known = Path("runs") / typed
    plain = not (os.path.isabs(typed) or typed.startswith(".") or ".." in known.parts)
    return str(known) if plain and not os.path.exists(typed) and known.is_dir() else typed


DataDir = Annotated[str | None, path_option(help="Folder that holds mnist/, fashion-mnist/.")]
Epochs = Annotated[int | None, typer.Option(help="Short for --set epochs=...")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Recipe = Annotated[
    str,
    typer.Argument(
        callback=at_home, help="A recipe of the package, or a .toml file.", autocompletion=completion.recipe_names
    ),
]
RunFolder = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run folder, or the name of one in runs/.",
        callback=run_folder,
        autocompletion=completion.run_folders,
    ),
]
TimeUnit = Annotated[
    str | None,
    typer.Option(
        metavar="UNIT",
        help="Spike trains: times in the files are in s, ms or us; default: s, or that of the run.",
        autocompletion=completion.one_of(*TIME_UNITS),
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting; can be repeated.",
        autocompletion=completion.settings,
    ),
]
