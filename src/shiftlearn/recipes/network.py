"""The shape of the network that a recipe describes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import InputError, counted
from ..registry import coded_width

if TYPE_CHECKING:
    from . import Recipe

__all__ = ["map_sides", "network_name"]


def map_sides(recipe: Recipe) -> tuple[int, list[int]]:
    """Channels of the coded image; its side, and that of the maps after each convolution with its pooling.

    Raises:
        InputError: the inputs are no square image, or it is too small for the convolutions.
    """
    channels, width = coded_width(recipe.coding, 1, recipe.coding_cells), recipe.layers[0]
    sides = [math.isqrt(width // channels)]
    if width != channels * sides[0] ** 2:
        raise InputError(f"maps need a square image, got {counted(width // channels, 'value')}")
    for _ in recipe.maps:
        before = sides[-1]
        sides.append((before + 2 * recipe.padding - recipe.kernel + 1) // recipe.pool)
        if sides[-1] < 1:
            raise InputError(
                f"maps of {before} x {before} leave nothing after kernel {recipe.kernel}, padding {recipe.padding} "
                f"and pool {recipe.pool}"
            )
    return channels, sides


def network_name(recipe: Recipe) -> str:
    """Sizes from inputs to outputs: ``784-800-10``, or with maps ``28x28-16c5-p2-32c5-p2-512-10``.

    Here 16 maps of 5 by 5 windows are pooled by 2 by 2, and the 512 values of the last maps are the inputs of the layer
    of 10. A size that only the data tell is ``?``.

    Raises:
        InputError: as :func:`map_sides`.
    """
    sizes = [str(size or "?") for size in recipe.layers]
    if recipe.maps:
        pool = f"-p{recipe.pool}" if recipe.pool > 1 else ""
        maps = [f"{count}c{recipe.kernel}{pool}" for count in recipe.maps]
        image = flat = "?"
        if recipe.layers[0]:
            channels, sides = map_sides(recipe)
            image = f"{channels}x" * (channels > 1) + f"{sides[0]}x{sides[0]}"
            flat = str(recipe.maps[-1] * sides[-1] ** 2)
        sizes = [image, *maps, flat, *sizes[1:]]
    return "-".join(sizes)
