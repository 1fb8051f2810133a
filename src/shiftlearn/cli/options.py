"""What the commands' declarations share: arguments and options that several take, and examples in their help."""

from __future__ import annotations

from typing import Annotated

import typer

from ..names import TIME_UNITS
from . import completion

NAME = "shiftlearn"


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {NAME} {line}" for line in lines)


def help_alone(context: typer.Context) -> None:
    """Show the help where no command follows."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


DataDir = Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")]
Epochs = Annotated[int | None, typer.Option(help="Short for --set epochs=...")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Recipe = Annotated[
    str, typer.Argument(help="A recipe of the package, or a .toml file.", autocompletion=completion.recipe_names)
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
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="A run folder.", autocompletion=completion.run_folders)]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting; can be repeated.",
        autocompletion=completion.settings,
    ),
]
