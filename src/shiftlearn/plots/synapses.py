"""What a network has learned: its shifts and delays, and the images that its first neurons wait for."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .. import data
from ..errors import InputError
from ..models.model import Model
from ..nn import ShiftConv2d, shift_layers
from ..registry import coded_width
from .figures import new_figure, palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["fields", "receptive_fields", "weights"]

_MOST, _CHOSEN, _ACROSS = 400, 40, 10
_PIXEL = re.compile(r"pixel_(\d+)_(\d+)")


def weights(model: Model, figure: Figure | SubFigure | None = None, title: str | None = None) -> Figure | SubFigure:
    """Draw histograms of the shifts (in units of the threshold θ) and of the delays (log d, in units of τ) by layer.

    Args:
        model: a trained model.
        figure: to draw into.
        title: above it.

    Raises:
        InputError: matplotlib is not installed.
    """
    layers = shift_layers(model.network)
    figure = figure or new_figure(8.5, 0.8 + 2 * len(layers))
    axes = figure.subplots(len(layers), 2, squeeze=False)
    colours = palette(figure)
    for number, (layer, (left, right)) in enumerate(zip(layers, axes, strict=True), start=1):
        shift, delay = (p.detach().double().cpu().numpy().ravel() for p in (layer.shift, layer.delay))
        passing = np.log(delay)
        width = (shift.max() - shift.min()) / _bins(shift) or 1.0
        edges = width * np.arange(np.floor(shift.min() / width), np.ceil(shift.max() / width) + 1)  # one of them is 0
        for among, colour in ((shift < 0, colours.inhibitory), (shift >= 0, colours.excitatory)):
            counts, *_ = left.hist(shift[among], edges, color=colour)
            if max(counts) > 100:  # the few strong synapses do most, and would not be seen
                left.set_yscale("log")
        kind = "convolution, " if isinstance(layer, ShiftConv2d) else ""
        size = f"layer {number}: {kind}{layer.in_features} × {layer.out_features}"
        left.set_title(f"{size} shifts, {np.mean(shift < 0):.0%} inhibitory", fontsize="medium")
        left.axvline(0, color=colours.faint, linewidth=0.8)
        left.set_ylabel("synapses")
        left.locator_params(axis="x", nbins=6)
        right.hist(passing, _bins(passing), color=colours.categories[2])
        right.set_title(f"{layer.out_features} delays, median {np.median(passing):.3g} τ", fontsize="medium")
        right.set_ylabel("neurons")
        right.locator_params(axis="x", nbins=5)
        right.yaxis.get_major_locator().set_params(integer=True)
    axes[-1, 0].set_xlabel("shift (weight) / θ")
    axes[-1, 1].set_xlabel("delay, log d, / τ")
    figure.suptitle("Shifts and delays" if title is None else title, x=0.01, ha="left")
    return figure


def _bins(values: npt.NDArray[np.float64]) -> int:
    return int(np.clip(3 * math.sqrt(len(values)), 10, 80))


def receptive_fields(model: Model) -> npt.NDArray[np.float64]:
    """The shifts of the first layer as images, (neurons, rows, columns); of a convolution, its kernels.

    With on/off coding it is the shift of the input that fires early where a pixel is bright less that of the other.
    NaN stands where a pixel is no input, since it never varied in training.

    Raises:
        InputError: the inputs are not the pixels of an image.
    """
    recipe = model.recipe
    names = [] if model.features is None else model.features.names
    pixels = [match and (int(match[1]), int(match[2])) for match in map(_PIXEL.fullmatch, names)]
    if not (recipe.dataset in data.DATASETS or (pixels and all(pixels))):
        raise InputError(f"fields are for networks of images, this one is of {recipe.dataset}")
    channels = coded_width(recipe.coding, 1, recipe.coding_cells)
    if channels > 2:
        raise InputError(f"fields need one input per pixel or an on/off pair, got coding {recipe.coding!r}")
    layer = shift_layers(model.network)[0]
    shift = layer.shift.detach().double().cpu().numpy().T.reshape(layer.out_features, channels, -1)
    values = shift[:, 0] - shift[:, 1] if channels == 2 else shift[:, 0]
    if model.features is None:
        side = math.isqrt(values.shape[1])
        result: npt.NDArray[np.float64] = values.reshape(-1, side, side)
        return result
    rows, columns = np.transpose([pixel for pixel in pixels if pixel])
    images = np.full((len(values), rows.max() + 1, columns.max() + 1), np.nan)
    kept = np.array([part.width > 0 for part in model.features.parts])
    images[:, rows[kept], columns[kept]] = values
    return images


def fields(
    model: Model, neurons: Sequence[int] | None = None, ax: Axes | None = None, title: str | None = None
) -> Figure | SubFigure:
    """Draw the receptive fields of neurons of the first layer, each on a scale of its own.

    Args:
        model: a trained model of images.
        neurons: up to 400 of them (maps, of a convolution), from 0; default: the first 40.
        ax: to draw into.
        title: above it.

    Raises:
        InputError: the model is not of images, no such neuron, or matplotlib is not installed.
    """
    images = receptive_fields(model)
    chosen = list(range(min(_CHOSEN, len(images)))) if neurons is None else list(neurons)
    if not 1 <= len(chosen) <= _MOST:
        raise InputError(f"neurons must be 1 to {_MOST} of them, got {len(chosen)}")
    if outside := [k for k in chosen if not 0 <= k < len(images)]:
        raise InputError(f"neurons must lie in 0 to {len(images) - 1}, got {outside[0]}")
    across = min(max(_ACROSS, math.ceil(math.sqrt(len(chosen)))), len(chosen))
    down = math.ceil(len(chosen) / across)
    _, height, width = images.shape
    gap = max(1, width // 9)
    sheet = np.full((down * (height + gap) - gap, across * (width + gap) - gap), np.nan)
    if ax is None:
        ax = new_figure(0.8 * max(across, 4) + 1.2, max(0.76 * down + 0.7, 2.2)).subplots()
    colours = palette(ax)
    for place, neuron in enumerate(chosen):
        top, left = (place // across) * (height + gap), (place % across) * (width + gap)
        # A few strong shifts would leave the others pale.
        limit = float(np.nanquantile(np.abs(images[neuron]), 0.99)) or 1.0
        sheet[top : top + height, left : left + width] = images[neuron] / limit
        ax.text(left, top - 0.6, str(neuron), fontsize="xx-small", color=colours.ink, va="bottom")
    image = ax.imshow(sheet, cmap=colours.signed, vmin=-1, vmax=1, interpolation="nearest")
    difference = ", on less off," if model.recipe.coding == "on-off" else ""
    label = f"shift{difference} / the neuron's\n99 % quantile of |shift|"
    ax.figure.colorbar(image, ax=ax, label=label, extend="both", ticks=[-1, 0, 1], shrink=0.85)
    ax.set_axis_off()
    kind = "kernels" if isinstance(shift_layers(model.network)[0], ShiftConv2d) else "neurons"
    default = f"Receptive fields of {len(chosen)} of the {len(images)} {kind} of layer 1"
    ax.set_title(default if title is None else title, pad=12)
    return ax.figure
