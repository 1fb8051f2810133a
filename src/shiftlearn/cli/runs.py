"""``shiftlearn runs``: run folders side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ..errors import InputError
from ..runs.listing import arrange, find, read
from .printing import Voice, printable, table_console

# Left out in this order where a terminal is too narrow for all.
_LESS = ("changed", "date", "modulator", "time", "feedback", "training", "recipe", "rule", "seed", "validation")


def runs(folder: str, sort: str, voice: Voice) -> None:
    """Print a table of the run folders below ``folder``; of broken ones, what is wrong with them, on standard error.

    Raises:
        InputError: no such folder, no run folder in it, or no such way to sort.
    """
    rows, broken = [], []
    arrange([], sort)  # a mistake is told before the work
    for path in find(Path(folder)):
        try:
            rows.append(read(path))
        except (InputError, OSError) as error:
            broken.append({"run": str(path), "error": str(error)})
    if not (rows or broken):
        raise InputError(f"{folder!r} holds no run folders")
    rows = arrange(rows, sort)
    voice.result([*rows, *broken])
    if not voice.talks:
        return
    shown = [_cells(row, Path(folder)) for row in rows]
    left_out = _print(shown) if shown else []
    if left_out:
        voice.say(f"no room for: {', '.join(left_out)} (a wider terminal or --json shows all)")
    for row in broken:
        print(f"broken: {row['run']}: {row['error']}", file=sys.stderr)


def _cells(row: dict[str, Any], folder: Path) -> dict[str, str]:
    name = Path(row["run"]).relative_to(folder).as_posix()
    changed = ", ".join(f"{key}={_toml(value)}" for key, value in row["changed"].items())
    return {
        "run": printable(row["run"] if name == "." else name),
        "recipe": row["recipe"] or printable(Path(row["dataset"]).name),
        "changed": printable(changed),
        "rule": row["rule"],
        "feedback": row["feedback"],
        "modulator": row["modulator"],
        "seed": str(row["seed"]),
        "epochs": f"{row['epochs_done']}/{row['epochs']}" + ("" if row["finished"] else "..."),
        "training": _share(row["train_accuracy"]),
        "validation": _share(row["validation_accuracy"]),
        "test": _share(row["test_accuracy"]) + {"cross-validation": " cv", "repeats": " solved"}.get(row["kind"], ""),
        "time": f"{row['seconds']:.0f} s",
        "date": row["date"][:16].replace("T", " "),
    }


def _toml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _print(rows: list[dict[str, str]]) -> list[str]:
    """Print a table of all columns that fit; those that do not are returned."""
    console = table_console()
    wanted, less = list(rows[0]), list(_LESS)
    table = _table(rows, wanted)
    unbounded = console.options.update(width=2**16)
    while less and Measurement.get(console, unbounded, table).maximum > console.width:
        wanted.remove(less.pop(0))
        table = _table(rows, wanted)
    console.print(table)
    return [name for name in rows[0] if name not in wanted]


def _table(rows: list[dict[str, str]], wanted: list[str]) -> Table:
    table = Table()
    for name in wanted:
        right = name not in ("run", "recipe", "changed", "rule", "feedback", "modulator", "date")
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        table.add_row(*(Text(row[name]) for name in wanted))
    return table
