"""How the commands print."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    """Print a table: fitted to a terminal, elsewhere plain and as wide as it is."""
    if sys.stdout.isatty():
        Console().print(table)
    else:
        Console(width=2**16, force_terminal=False, color_system=None).print(table)
