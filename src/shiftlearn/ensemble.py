"""Many small networks of one recipe, trained side by side as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import ops
from .events import SpikeEvents
from .learner import Learner, random_state
from .model import build
from .nn import ShiftLinear
from .recipes import Recipe

__all__ = ["Ensemble"]


class Ensemble:
    """Networks that share a recipe but neither weights nor data.

    Args:
        recipe: with the sizes of all layers.
        seeds: of the members; initial weights and order of the data follow from them.

    Attributes:
        network: layers whose parameters have the members as first dimension.
        alive: (members,) bool. A member dies when one of its delays falls to 0 or below (where the recipe does not
            project them): its neuron would fire before the beginning of time. It keeps the weights it had.
    """

    def __init__(self, recipe: Recipe, seeds: Sequence[int]) -> None:
        self.recipe, self.seeds = recipe, seeds
        self.network = build(recipe, [random_state(seed, 0) for seed in seeds], len(seeds))
        self.learner = Learner(self.network, recipe)
        self.alive = torch.ones(len(seeds), dtype=torch.bool)
        self._layers = [layer for layer in self.network if isinstance(layer, ShiftLinear)]
        self._kept: list[Tensor] = []

    def epoch(self, epoch: int, z: Tensor, labels: Tensor, samples: Sequence[Tensor]) -> Tensor:
        """Let every member learn from its samples once, as many as fill whole batches; epochs count from 1.

        Args:
            z: (members, n, in) spike times of all samples, inf for none.
            labels: (n,) class indices.
            samples: for each member, the numbers of its training samples.

        Returns:
            (members, seen, classes): the answers, each from before the step that learned from it. Where the batch
            holds all samples of a member, they are in the order of ``samples``.
        """
        fewest = min(len(s) for s in samples)
        batch = min(self.recipe.batch, fewest)
        steps = fewest // batch
        chosen = torch.stack([self._order(m, s, epoch)[: steps * batch] for m, s in enumerate(samples)])
        member = torch.arange(len(samples))[:, None]
        answers = []
        for step, part in enumerate(torch.split(chosen, batch, dim=1)):
            self.learner.set_rates((epoch - 1 + step / steps) / self.recipe.epochs)
            if not self.recipe.project_delays:
                self._kept = [p.detach().clone() for p in self.network.parameters()]
            answers.append(self.learner.step(z[member, part], labels[part])[1])
            if not self.recipe.project_delays:
                self._bury()
        return torch.cat(answers, 1)

    def _order(self, member: int, samples: Tensor, epoch: int) -> Tensor:
        if self.recipe.batch >= len(samples):
            return samples
        return samples[torch.randperm(len(samples), generator=random_state(self.seeds[member], epoch))]

    @torch.no_grad()
    def _bury(self) -> None:
        for layer in self._layers:
            self.alive &= (layer.delay > 0).all(-1)
        if not self.alive.all():
            for parameter, kept in zip(self.network.parameters(), self._kept, strict=True):
                parameter[~self.alive] = kept[~self.alive]

    @torch.no_grad()
    def fire(self, member: int, z: Tensor | SpikeEvents) -> Tensor:
        """(n, classes) spike times of one member for (n, in) inputs."""
        for layer in self._layers:
            z = ops.fire(z, layer.shift[member], layer.delay[member])
        assert isinstance(z, Tensor)
        return z
