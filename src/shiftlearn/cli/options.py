"""What the commands' declarations share: arguments and options that several take, and examples in their help."""

from __future__ import annotations

from typing import Annotated, Any

import typer

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
DataDir = Annotated[str | None, typer.Option(help="Folder that holds mnist/, fashion-mnist/.")]
Epochs = Annotated[int | None, typer.Option(help="Short for --set epochs=...")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Recipe = Annotated[
    str, typer.Argument(help="A recipe of the package, or a .toml file.", autocompletion=completion.recipe_names)
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
