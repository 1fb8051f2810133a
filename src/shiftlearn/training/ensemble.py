"""Many small networks of one recipe, trained side by side as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .. import ops
from ..errors import InputError
from ..models.build import build
from ..nn import shift_layers
from ..ops.events import SpikeEvents
from ..recipes import Recipe
from .loop import Loop
from .step import Learner, random_state

__all__ = ["Ensemble", "require_ensemble"]


class Ensemble:
    """Networks that share a recipe but neither weights nor data.

    A member is what the network with its seed would be alone, up to rounding in the optimizer.

    Args:
        recipe: with the sizes of all layers.
        seeds: of the members; initial weights and order of the data follow from them.

    Attributes:
        network: layers whose parameters have the members as first dimension.
        learner: what trains them; its ``frozen`` tells which members learn no more.
    """

    def __init__(self, recipe: Recipe, seeds: Sequence[int]) -> None:
        require_ensemble(recipe)
        self.seeds = seeds
        self.network = build(recipe, [random_state(seed, 0) for seed in seeds], len(seeds))
        self.learner = Learner(self.network, recipe)

    def loop(self, z: Tensor, labels: Tensor, rows: Sequence[Tensor], steps: int) -> Loop:
        """Its epochs on coded samples.

        Args:
            z: (members, n, in) spike times of all samples, inf for none.
            labels: (n,) class indices.
            rows, steps: the numbers of each member's samples, and that of batches, as for :class:`Loop`.
        """
        member = torch.arange(len(rows))[:, None]
        return Loop(self.learner, lambda batch: z[member, batch.rows], labels, self.seeds, rows, steps)

    @torch.no_grad()
    def fire(self, member: int, z: Tensor | SpikeEvents) -> Tensor:
        """(n, classes) spike times of one member for (n, in) inputs."""
        for layer in shift_layers(self.network):
            z = ops.fire(z, layer.shift[member], layer.delay[member])
        assert isinstance(z, Tensor)
        return z


def require_ensemble(recipe: Recipe) -> None:
    """InputError if a setting of the recipe is for single networks alone."""
    if recipe.modulator == "reward":
        raise InputError("modulator 'reward' is for single networks: the guesses of an ensemble would be entangled")
    for name in ("translate", "jitter", "deletion", "averaging"):
        if np.any(given := getattr(recipe, name)):
            raise InputError(f"{name} is for single networks, not for those that train side by side, got {given}")
    if recipe.init != "uniform":
        raise InputError(f"init {recipe.init!r} is for single networks, not for those that train side by side")
