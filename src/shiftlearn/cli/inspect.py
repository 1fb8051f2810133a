"""``shiftlearn inspect``: what happens inside a trained network."""

from __future__ import annotations

from typing import Any

from ..analysis.layers import layer_report
from ..errors import InputError, counted
from ..files import as_csv, write
from ..models.evaluation import task_of
from ..models.model import load
from ..plots.figures import picture, require_matplotlib, style
from ..plots.layers import draw
from .printing import print_table
from .target import target

_SHARES = ("silent", "always_silent", "causal_share", "imprecise")


def inspect(run: str, samples: int, data_dir: str | None, out: str | None) -> None:
    """Print :func:`layer_report` of a run for the first of its training samples, and write it as CSV or picture.

    Raises:
        InputError: no model there, data that do not serve, fewer than one sample, or a file of another kind.
    """
    from rich.table import Table

    if samples < 1:
        raise InputError(f"--samples must be 1 or more, got {samples}")
    path = None if out is None else target(out, ".csv", ".png")
    if path is not None and path.suffix.lower() == ".png":
        require_matplotlib()
    model = load(run)
    task = task_of(model, data_dir, ["train"])
    chosen = task.train[:samples]
    rows = layer_report(model.network, model.encode(model.values(task.take(chosen))))
    table = Table(*(name.replace("_", " ") for name in rows[0]))
    for row in rows:
        table.add_row(*(_text(name, value) for name, value in row.items()))
    print_table(table)
    print(f"{counted(len(chosen), 'training sample')} of {model.recipe.dataset}; times t = log z in units of tau")
    if path is None:
        return
    content = as_csv(rows)
    if path.suffix.lower() == ".png":
        with style():
            content = picture(draw(rows, str(run)), ".png")
    write(path, content)
    print(f"written: {path}")


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in _SHARES:
        return f"{value:.2%}"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
