"""From a recipe to its network and its coding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..coding.encoders import encoder
from ..errors import InputError
from ..nn import DirectFeedback, EarliestSpikePool2d, ShiftConv2d, ShiftLinear, shift_layers
from ..ops.events import SpikeEvents
from ..recipes import Recipe
from ..recipes.network import map_sides


def build(
    recipe: Recipe,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    members: int | None = None,
) -> nn.Sequential:
    """The network that a recipe describes, with fresh weights; ``members`` of them as one ensemble."""
    if recipe.maps and members is not None:
        raise InputError(f"maps are for single networks, not for an ensemble, got {list(recipe.maps)}")
    options: dict[str, Any] = {
        "rule": recipe.rule,
        "feedback": "none" if recipe.feedback == "direct" else recipe.feedback,
        "min_drive": recipe.min_drive,
        "generator": generator,
        "published_delays": not recipe.project_delays,
    }
    scales = iter(recipe.init_scale * recipe.synapses if len(recipe.init_scale) == 1 else recipe.init_scale)
    modules: list[nn.Module] = []
    width = recipe.layers[0]
    if recipe.maps:
        channels, sides = map_sides(recipe)
        modules.append(nn.Unflatten(1, (channels, sides[0], sides[0])))
        for maps in recipe.maps:
            convolution = ShiftConv2d(channels, maps, recipe.kernel, recipe.padding, init_scale=next(scales), **options)
            modules += [convolution, EarliestSpikePool2d(recipe.pool)] if recipe.pool > 1 else [convolution]
            channels = maps
        modules.append(nn.Flatten())
        width = channels * sides[-1] ** 2
    for outputs in recipe.layers[1:]:
        modules.append(ShiftLinear(width, outputs, init_scale=next(scales), members=members, **options))
        width = outputs
    network = (
        DirectFeedback(*modules, input_shape=recipe.layers[:1], generator=generator)
        if recipe.feedback == "direct"
        else nn.Sequential(*modules)
    )
    if recipe.cue:
        with torch.no_grad():
            shift_layers(network)[0].shift[..., -1, :] = recipe.cue
    return network


def of_recipe(recipe: Recipe, dense: bool = False) -> Callable[[Tensor], Tensor | SpikeEvents]:
    """The :func:`encoder` of a recipe."""
    return encoder(recipe.coding, recipe.coding_exponent, recipe.coding_cells, dense, recipe.coding_levels)
