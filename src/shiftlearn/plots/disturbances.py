"""How accuracy falls under what hardware does to a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..analysis.robustness import DISTURBANCES
from ..errors import InputError
from .figures import new_figure, palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

__all__ = ["disturbances"]


def disturbances(
    rows: Sequence[Mapping[str, Any]], figure: Figure | SubFigure | None = None, title: str = "Robustness"
) -> Figure | SubFigure:
    """Draw accuracy against the level of each disturbance, one panel each.

    Args:
        rows: of :func:`shiftlearn.analysis.robustness.robustness`.
        figure: to draw into.
        title: above it.

    Raises:
        InputError: no rows, or matplotlib is not installed.
    """
    kinds = list(dict.fromkeys(row["disturbance"] for row in rows))
    if not kinds:
        raise InputError("rows must hold one disturbance or more, got none")
    figure = figure or new_figure(0.6 + 2.2 * len(kinds), 2.9)
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for ax, kind in zip(panels, kinds, strict=True):
        own = [row for row in rows if row["disturbance"] == kind]
        colours = palette(ax)
        places = range(len(own))
        shares = [100 * row["accuracy"] for row in own]
        ax.plot(places, shares, "o-", color=colours.categories[0])
        worst = min(places, key=lambda k: shares[k])
        below = -14 if shares[worst] > 15 else 7  # beside the line, which comes from above
        ax.annotate(f"{shares[worst]:.1f}", (worst, shares[worst]), (0, below), textcoords="offset points", ha="center")
        ax.set_xticks(places, [f"{row['level']:g}" for row in own])
        ax.set_xlabel(DISTURBANCES[kind][0])
        ax.set_title(kind)
        ax.grid(axis="y", color=colours.faint, alpha=0.25)
        ax.set_ylim(0, 103)
    panels[0].set_ylabel("accuracy / %")
    figure.suptitle(title, x=0.01, ha="left")
    return figure
