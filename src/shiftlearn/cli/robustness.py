"""``shiftlearn robustness``: how a trained network bears what hardware does to it."""

from __future__ import annotations

from ..analysis.robustness import DISTURBANCES, robustness
from ..errors import InputError, counted, unknown_name
from ..files import as_csv, write
from ..models.evaluation import task_of
from ..models.model import load
from ..plots.figures import PICTURES, picture, require_matplotlib, style
from .printing import Voice
from .target import target


def show(run: str, kinds: str, seed: int, data_dir: str | None, out: str | None, voice: Voice) -> None:
    """Print accuracy on the test samples under each disturbance, and write it as CSV or picture.

    Raises:
        InputError: no model there, an unknown disturbance, data that do not serve, or a file of another kind.
    """
    from rich.table import Table

    chosen = [name.strip() for name in kinds.split(",") if name.strip()]
    for name in chosen:
        if name not in DISTURBANCES:
            raise unknown_name("disturbance", name, DISTURBANCES)
    if not chosen:
        raise InputError(f"--kinds must name one or more of {', '.join(DISTURBANCES)}, got {kinds!r}")
    path = None if out is None else target(out, ".csv", *PICTURES)
    if path is not None and path.suffix.lower() != ".csv":
        require_matplotlib()
    model = load(run)
    task = task_of(model, data_dir, ["test"])
    rows = robustness(model, model.values(task.take(task.test)), task.labels[task.test], chosen, seed)
    table = Table("disturbance", "level", "accuracy", "silent", "tied")
    for row in rows:
        shares = (f"{row[key]:.2%}" for key in ("accuracy", "silent", "tied"))
        table.add_row(f"{row['disturbance']}: {DISTURBANCES[row['disturbance']][0]}", f"{row['level']:g}", *shares)
    voice.table(table)
    voice.say(f"{counted(len(task.test), 'test sample')} of {model.recipe.dataset}; randomness of seed {seed}")
    voice.result(rows)
    if path is None:
        return
    content = as_csv(rows)
    if (suffix := path.suffix.lower()) != ".csv":
        from ..plots import disturbances

        with style():
            content = picture(disturbances(rows, title=f"{run}: {counted(len(task.test), 'test sample', ',')}"), suffix)
    write(path, content)
    voice.say(f"written: {path}")
