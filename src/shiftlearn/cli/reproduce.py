"""``shiftlearn reproduce``."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..experiments import reproduction
from ..files import write
from .printing import Voice
from .sweep import sweep


def reproduce(
    names: list[str], seeds: int, jobs: int, data_dir: str | None, out: str, document: str | None, voice: Voice
) -> None:
    from rich.table import Table

    folder = Path(out)
    page = Path(document) if document else None
    if page:
        if not page.is_file():
            raise InputError(f"--into must be a file that is there, got {document!r}")
        reproduction.into(page.read_text(encoding="utf-8"), "")  # before hours of training
    cells = reproduction.cells(names or reproduction.default_names(), seeds)
    found = sweep(cells, folder, jobs, data_dir, voice)
    rows = reproduction.summarise(found, folder, data_dir)
    table = Table("recipe", "rule, feedback, modulator", "test accuracy", "seconds", "spikes", "operations", "dense")
    for row in rows:
        spread = "" if row["accuracy_sd"] is None else f" ± {row['accuracy_sd']:.2%}"
        table.add_row(
            row["recipe"],
            f"{row['rule']}, {row['feedback']}, {row['modulator']}",
            f"{row['accuracy_mean']:.2%}{spread}",
            *(f"{row[key]:,.0f}" for key in ("train_seconds", "spikes", "operations", "dense_operations")),
        )
    voice.table(table)
    voice.result(rows)
    text = reproduction.markdown(rows)
    write(folder / "results.md", text.encode())
    voice.say(f"as CSV and Markdown: {folder / 'results.csv'}, {folder / 'results.md'}")
    if page:
        write(page, reproduction.into(page.read_text(encoding="utf-8"), text).encode())
        voice.say(f"written into {page}")
