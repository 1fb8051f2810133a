"""The accuracies of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .figures import new_figure, palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]


def draw(rows: Sequence[dict[str, Any]], title: str) -> Figure:
    """The accuracies with their standard deviations; the axis begins where they do.

    Raises:
        InputError: matplotlib is not installed.
    """
    figure = new_figure(7, 1.4 + 0.35 * len(rows))
    axes = figure.subplots()
    names = [f"{row['rule']}, {row['feedback']}, {row['modulator']}" for row in rows]
    means = [100 * row["accuracy_mean"] for row in rows]
    sds = [None if row["accuracy_sd"] is None else 100 * row["accuracy_sd"] for row in rows]
    places = range(len(rows))
    axes.errorbar(means, places, xerr=[sd or 0 for sd in sds], fmt="o", color=palette(axes).categories[0], capsize=3)
    for place, mean, sd in zip(places, means, sds, strict=True):
        text = f"{mean:.2f}" if sd is None else f"{mean:.2f} ± {sd:.2f}"
        axes.annotate(text, (1.02, place), xycoords=("axes fraction", "data"), va="center")
    axes.set_yticks(places, names)
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the best on top
    axes.grid(axis="x", color=palette(axes).faint, alpha=0.25)
    axes.set_axisbelow(True)
    axes.set_xlabel("test accuracy / %" if None in sds else "test accuracy / %, mean ± sd over seeds")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
