"""Membrane potentials over time: exact, from spike to spike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, counted
from ..models.model import Model
from .activity import LayerActivity, MembranePotential, Sample, activity, membrane_potential
from .figures import new_figure, palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["potential"]

_MOST = 8
_CHOSEN = 3
_POINTS = 800
_TOP = 1.35  # of the axis; threshold is at 1


def potential(
    model: Model,
    x: Sample,
    layer: int | None = None,
    neurons: Sequence[int] | None = None,
    figure: Figure | SubFigure | None = None,
    title: str | None = None,
) -> Figure | SubFigure:
    """Draw how the membrane potential of some neurons reaches threshold for one sample.

    Below each potential are the inputs at their times, as high as their weights: those in the causal set in colour,
    those that come too late in grey. After its spike the potential is what it would be without (dotted).

    Args:
        model: a trained model.
        x: one sample, in the forms that :meth:`shiftlearn.models.model.Model.predict` takes.
        layer: its number from 1; default: the read-out.
        neurons: 1 to 8 of them, from 0; of convolutions counted map by map, row by row. Default: the first 3 to fire.
        figure: to draw into.
        title: default: the layer.

    Raises:
        InputError: no such layer or neuron, ``x`` is not one sample that the model takes, or matplotlib is not
            installed.
    """
    layers = activity(model, x)
    number = len(layers) if layer is None else layer
    if not 1 <= number <= len(layers):
        raise InputError(f"layer must lie in 1 to {len(layers)}, got {number}")
    chosen = layers[number - 1]
    if neurons is None:
        neurons = chosen.first(_CHOSEN) or range(min(_CHOSEN, chosen.neurons))
    if not 1 <= len(neurons) <= _MOST:
        raise InputError(f"neurons must be 1 to {_MOST} of them, got {len(neurons)}")
    found = [membrane_potential(chosen, neuron) for neuron in neurons]
    figure = figure or new_figure(7.5, 0.9 + 2.3 * len(found))
    axes = figure.subplots(2 * len(found), 1, sharex=True, height_ratios=[2.2, 1] * len(found), squeeze=False)[:, 0]
    first, last = _span(found)
    for one, neuron, above, below in zip(found, neurons, axes[::2], axes[1::2], strict=True):
        name = f"class {model.classes[neuron]}" if number == len(layers) else _name(chosen, neuron)
        _potential(above, one, first, last, name)
        _inputs(below, one)
    axes[0].set_xlim(first, last)
    axes[-1].set_xlabel("time t / τ")
    figure.align_ylabels(axes)
    handles = {text: handle for ax in axes for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3)
    where = f"Membrane potentials in layer {number}" + (", the read-out" if number == len(layers) else "")
    figure.suptitle(where if title is None else title, x=0.01, ha="left")
    return figure


def _name(layer: LayerActivity, neuron: int) -> str:
    if layer.z.ndim == 1:
        return f"neuron {neuron}"
    of_map, row, column = np.unravel_index(neuron, layer.z.shape)
    return f"map {of_map}, row {row}, column {column}"


def _span(found: Sequence[MembranePotential]) -> tuple[float, float]:
    """From before the first input to a while after the last spike; to the last input where a neuron is silent."""
    ends = [one.u * max(one.delay, 1) if math.isfinite(one.u) else one.z.max(initial=1.0) for one in found]
    first, last = math.log(min(one.z.min(initial=1.0) for one in found)), math.log(max(ends))
    length = max(last - first, 0.1)
    return first - 0.03 * length, last + 0.3 * length


def _potential(ax: Axes, one: MembranePotential, first: float, last: float, name: str) -> None:
    colours = palette(ax)
    t = np.linspace(first, last, _POINTS)
    t = np.unique(np.concatenate([t, np.log(one.z), [math.log(one.u)] if math.isfinite(one.u) else []]))
    t = t[(t >= first) & (t <= last)]
    v = one.at(np.exp(t))
    before = np.exp(t) <= one.u * (1 + 1e-12)
    ax.plot(t[before], v[before], color=colours.ink, linewidth=1.6, label="membrane potential")
    ax.axhline(1, color=colours.faint, linewidth=1, linestyle="--", label="threshold")
    text = f"{name}: silent"
    if math.isfinite(one.u):
        after = t >= math.log(one.u)
        ax.plot(t[after], v[after], color=colours.faint, linewidth=1, linestyle=":", label="if it had not fired")
        at = math.log(one.u)
        ax.plot([at], [1], "o", color=colours.excitatory, markersize=6, label="crossing", zorder=3)
        causal = int(one.causal.sum())
        text = f"{name}: crosses at {at:.3f} τ; causal set: {causal:,} of {counted(len(one.z), 'input', ',')}"
        if abs(one.delay - 1) > 1e-6:
            sent = at + math.log(one.delay)
            ax.plot([sent], [1], "|", color=colours.excitatory, markersize=12, label="spike after the delay", zorder=3)
            text += f"; spike at {sent:.3f} τ"
    ax.set_title(text, fontsize="medium")
    ax.set_ylim(min(v[before].min(initial=0.0), 0) - 0.08, _TOP)
    ax.set_ylabel("potential / θ")


def _inputs(ax: Axes, one: MembranePotential) -> None:
    colours = palette(ax)
    t = np.log(one.z)
    excites = one.weight >= 0
    width = float(np.clip(60 / max(len(t), 1), 1, 2.5))
    for among, colour, text in (
        (~one.causal, colours.faint, "input, too late"),
        (one.causal & excites, colours.excitatory, "excitatory input in the causal set"),
        (one.causal & ~excites, colours.inhibitory, "inhibitory input in the causal set"),
    ):
        if among.any():
            ax.vlines(t[among], 0, one.weight[among], color=colour, linewidth=width, label=text)
    ax.axhline(0, color=colours.faint, linewidth=0.6)
    ax.set_ylabel("weight / θ")
