"""``shiftlearn compare``."""

from __future__ import annotations

from pathlib import Path

from .. import recipes
from ..errors import InputError, counted
from ..experiments import comparison
from ..files import write
from ..plots.comparison import draw
from ..plots.figures import picture, style
from .printing import Voice
from .sweep import sweep
from .train import read_settings


def compare(
    name: str,
    settings: list[str],
    rules: str,
    feedback: str,
    modulators: str,
    seeds: int,
    epochs: int | None,
    jobs: int,
    data_dir: str | None,
    out: str | None,
    voice: Voice,
) -> None:
    from rich.table import Table

    recipe = recipes.override(recipes.read(name), read_settings(settings, epochs))
    folder = Path(out) if out else Path("runs") / f"compare-{Path(name).stem}"
    cells = comparison.grid(recipe, _names(rules), _names(feedback), _names(modulators), seeds)
    found = sweep(cells, folder, jobs, data_dir, voice)
    rows = comparison.summarise(found, folder)
    table = Table("rule", "feedback pathway", "modulator", "test accuracy", "sd", "seeds", "seconds a run")
    for row in rows:
        sd = "-" if row["accuracy_sd"] is None else f"{row['accuracy_sd']:.2%}"
        figures = f"{row['accuracy_mean']:.2%}", sd, str(row["seeds"])
        table.add_row(row["rule"], row["feedback"], row["modulator"], *figures, f"{row['train_seconds']:.0f}")
    voice.table(table)
    voice.result(rows)
    voice.say(f"as CSV: {folder / 'comparison.csv'}")
    try:
        with style():
            content = picture(draw(rows, f"{Path(name).stem}, {counted(recipe.epochs, 'epoch')}"), ".png")
    except InputError as error:  # the runs are whole without a picture
        voice.say(f"not drawn: {error}")
        return
    write(folder / "comparison.png", content)
    voice.say(f"drawn: {folder / 'comparison.png'}")


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
