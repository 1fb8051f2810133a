"""Figures of every layer, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .figures import new_figure, palette

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]


def draw(rows: list[dict[str, Any]], title: str) -> Figure:
    """Rows of :func:`layer_report`: spike times (median, 5 to 95 %), spread, and silent and causal shares by layer.

    Raises:
        InputError: matplotlib is not installed.
    """
    figure = new_figure(9, 3)
    times, spreads, shares = figure.subplots(1, 3)
    layers = [row["layer"] for row in rows]
    blue, orange = palette(figure).categories[:2]

    def of(name: str) -> list[float]:
        return [np.nan if row[name] is None else row[name] for row in rows]

    times.fill_between(layers, of("t_5"), of("t_95"), color=blue, alpha=0.25, label="5 to 95 %")
    times.plot(layers, of("t_50"), "o-", color=blue, label="median")
    times.set_ylabel("spike time / τ")
    spreads.plot(layers, of("neuron_sd"), "o-", color=blue, label="sd over samples")
    spreads.plot(layers, of("spread"), "s--", color=orange, label="spread: tells samples apart")
    spreads.set_ylabel("spread of spike times / τ")
    shares.plot(layers, of("causal_share"), "o-", color=blue, label="inputs in the causal set")
    shares.plot(layers, of("silent"), "s--", color=orange, label="silent")
    shares.set_ylabel("share")
    for axes in (times, spreads, shares):
        axes.set_xlabel("layer")
        axes.set_xticks(layers)
        axes.set_ylim(bottom=0 if axes is not times else None)
        axes.legend(frameon=False, fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left")
    return figure
