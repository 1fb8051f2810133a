"""How the commands print."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ASCII = {"…": "...", "–": "-", "×": "x", "±": "+-", "τ": "tau", "█": "#", "°": " degrees"}


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_ASCII.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


def adapt_streams() -> None:
    """Let nothing fail for letters that standard output or error cannot write (``LC_ALL=C``, names of files)."""
    codecs.register_error("shiftlearn", _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="shiftlearn")


@dataclass(frozen=True)
class Voice:
    """How much a command says on standard output: all, its results as JSON alone, or nothing."""

    quiet: bool = False
    json: bool = False

    def say(self, text: str) -> None:
        """A line for people."""
        if self.talks:
            print(text, flush=True)

    def table(self, table: Table) -> None:
        """A table for people."""
        if self.talks:
            print_table(table)

    @property
    def talks(self) -> bool:
        """Whether there are lines for people."""
        return not (self.quiet or self.json)

    def result(self, value: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> None:
        """JSON, if that is wanted: an object, or a list with a line for each of its objects."""
        if not self.json:
            return
        if isinstance(value, Mapping):
            print(json.dumps(value, indent=2, allow_nan=False), flush=True)
        else:
            print("[\n" + ",\n".join(json.dumps(row, allow_nan=False) for row in value) + "\n]", flush=True)


def table_console() -> Console:
    """For tables: as wide as a terminal, elsewhere without limit and plain."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=2**16, force_terminal=False, color_system=None)


def print_table(table: Table) -> None:
    """Print a table: fitted to a terminal, elsewhere plain and as wide as it is."""
    table_console().print(table)


def printable(text: str) -> str:
    """A file's name may hold anything but a slash, line breaks and bytes that are no text included."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
