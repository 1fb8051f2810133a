"""``shiftlearn export``: a trained network for other programs."""

from __future__ import annotations

import typer

from .. import export
from ..models.model import load
from ..recipes.network import network_name


def write(run: str, format: str, out: str, tau: float | None) -> None:
    """Write the network of a run folder to the file ``out``.

    Raises:
        InputError: no model there, or what :func:`shiftlearn.export.write` refuses.
    """
    model = load(run)
    export.write(model, out, format, tau)
    typer.echo(f"{out}: {network_name(model.recipe)} neurons, format {format}")
