"""The spikes of one sample on their way through the layers, and the race of the output neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import counted
from ..models.model import Model
from .activity import LayerActivity, Sample, activity, spikes
from .figures import new_figure, palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["raster"]

_VECTORS = 5000  # marks; more of them are drawn as pixels, in files of vectors too
_NAMED = 30  # output neurons


def raster(
    model: Model, x: Sample, figure: Figure | SubFigure | None = None, title: str | None = None
) -> Figure | SubFigure:
    """Draw when each input and each neuron fires for one sample: a panel for the inputs and one for each layer.

    The last is the race of the output neurons: whoever fires first is the answer. What is right of the line through
    all panels comes too late to matter.

    Args:
        model: a trained model.
        x: one sample, in the forms that :meth:`shiftlearn.models.model.Model.predict` takes.
        figure: to draw into.
        title: default: the answer.

    Raises:
        InputError: ``x`` is not one sample that the model takes, or matplotlib is not installed.
    """
    layers = activity(model, x)
    classes = layers[-1].neurons
    race = min(max(1.4, 0.2 * classes), 5.5)
    figure = figure or new_figure(7.5, 2.3 + 1.3 * (len(layers) - 1) + race)
    axes = figure.subplots(len(layers) + 1, 1, sharex=True, height_ratios=[1.6] + [1.3] * (len(layers) - 1) + [race])
    colours = palette(figure).categories
    z, channel = spikes(layers[0].heard)
    _dots(axes[0], np.log(z), channel, colours[0])
    axes[0].set_title(f"input: {counted(len(z), 'spike', ',')}", fontsize="medium")
    axes[0].set_ylabel("input")
    for number, (ax, layer) in enumerate(zip(axes[1:-1], layers[:-1], strict=True), start=1):
        z, neuron = spikes(layer.z.reshape(1, -1))
        _dots(ax, np.log(z), neuron, colours[number % len(colours)])
        size = " × ".join(map(str, layer.z.shape))
        kind = "neurons" if layer.z.ndim == 1 else "(maps × rows × columns)"
        ax.set_title(f"layer {number}, {size} {kind}: {len(z):,} fire", fontsize="medium")
        ax.set_ylabel("neuron")
    winners = _race(axes[-1], layers[-1], model.classes)
    axes[-1].set_xlabel("time t / τ")
    if winners:
        first = float(layers[-1].z.min().log())
        for ax in axes:
            ax.axvline(first, color=palette(ax).ink, linewidth=0.8, linestyle=":")
    answer = f"{model.classes[winners[0]]} fires first" if winners else "no output neuron fires"
    figure.suptitle(f"One sample through the network: {answer}" if title is None else title, x=0.01, ha="left")
    return figure


def _dots(ax: Axes, t: np.ndarray, neuron: np.ndarray, colour: str) -> None:
    size = float(np.clip(4e3 / max(len(t), 1), 1, 25))
    ax.scatter(t, neuron, s=size, color=colour, linewidths=0, rasterized=len(t) > _VECTORS)
    ax.margins(y=0.04)


def _race(ax: Axes, layer: LayerActivity, classes: tuple[str, ...]) -> list[int]:
    """Bars from the left to each output neuron's spike, who fires first on its own colour; returns those."""
    colours = palette(ax)
    t = layer.z.double().log().numpy()
    heard = np.isfinite(t)
    winners = np.flatnonzero(heard & (t == t.min()))
    places = np.arange(len(t))
    left = ax.get_xlim()[0]
    start = min(left, t[heard].min()) if heard.any() else left
    for among, colour in ((heard, colours.faint), (np.isin(places, winners), colours.excitatory)):
        ax.hlines(places[among], start, t[among], color=colour, linewidth=1)
        ax.plot(t[among], places[among], "o", color=colour, markersize=4.5)
    ranks = {int(k): rank for rank, k in enumerate(np.argsort(t, kind="stable"), start=1)}
    for k in range(len(t)) if len(t) <= _NAMED else map(int, winners):
        if not heard[k]:
            text, at = "silent", start
        else:
            text, at = f"{t[k]:.3f}  first" if k in winners else f"{t[k]:.3f}  ({ranks[k]})", t[k]
        weight = "bold" if k in winners else "normal"
        ax.annotate(text, (at, k), (6, 0), textcoords="offset points", va="center", fontsize="small", weight=weight)
    ax.set_xlim(left=start)
    ax.margins(x=0.08)
    ax.set_ylim(len(t) - 0.4, -0.6)
    if len(t) <= _NAMED:
        ax.set_yticks(places, classes)
    ax.set_title("the race of the output neurons", fontsize="medium")
    ax.set_ylabel("class")
    return [int(k) for k in winners]
