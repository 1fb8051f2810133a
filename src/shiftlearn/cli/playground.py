"""``shiftlearn playground``."""

from __future__ import annotations

import typer

from ..files import write
from ..models.evaluation import task_of
from ..models.model import load
from .target import target


def playground(run: str, data_dir: str | None, out: str) -> None:
    """Write the page of a run.

    Raises:
        InputError: no model there, one that the playground cannot show, data that do not serve, or no place to write.
    """
    path = target(out, ".html")
    from ..playground import check, page, require_images

    model = load(run)
    require_images(model)
    task = task_of(model, data_dir, ["test"])
    found = check(model, task)
    content = page(model, task, found).encode()
    write(path, content)
    typer.echo(
        f"{path}: {len(content) / 1e6:.1f} MB, test accuracy with weights of 8 bits {found.accuracy:.2%} "
        f"({found.changed} of {found.samples} test samples change their class)"
    )
