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
from .health import require_finite
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
        alive: (members,) bool. A member dies when one of its delays falls to 0 or below (where the recipe does not
            project them): its neuron would fire before the beginning of time. It keeps the weights it had.
    """

    def __init__(self, recipe: Recipe, seeds: Sequence[int]) -> None:
        require_ensemble(recipe)
        self.recipe, self.seeds = recipe, seeds
        self.network = build(recipe, [random_state(seed, 0) for seed in seeds], len(seeds))
        self.learner = Learner(self.network, recipe)
        self.alive = torch.ones(len(seeds), dtype=torch.bool)
        self._layers = shift_layers(self.network)
        self._kept: list[Tensor] = []
        self._batches: list[tuple[Tensor, Tensor | None]] = []

    def epoch(self, epoch: int, z: Tensor, labels: Tensor, samples: Sequence[Tensor], steps: int) -> Tensor:
        """Let every member learn once from each of its samples, in an order of its own; epochs count from 1.

        Args:
            z: (members, n, in) spike times of all samples, inf for none.
            labels: (n,) class indices.
            samples: for each member, the numbers of its training samples.
            steps: the number of batches; each member cuts its samples into so many, of nearly equal size. (It is the
                same for all, and so not taken from any of them: a member must not depend on the others.)

        Returns:
            (members, steps · batch, classes): the answers, each from before the step that learned from it. With one
            step they are in the order of ``samples``.

        Raises:
            InputError: a weight has become NaN or infinite.
        """
        if steps > 1 or not self._batches:
            self._batches = self._cut(epoch, samples, steps)
        member = torch.arange(len(samples))[:, None]
        answers = []
        for step, (part, weight) in enumerate(self._batches):
            self.learner.set_rates((epoch - 1 + step / steps) / self.recipe.epochs)
            if not self.recipe.project_delays:
                self._kept = [p.detach().clone() for p in self.network.parameters()]
            answers.append(self.learner.step(z[member, part], labels[part], weight)[1])
            if not self.recipe.project_delays:
                self._bury()
        require_finite(self.network, self.recipe)
        return torch.cat(answers, 1)

    def _cut(self, epoch: int, samples: Sequence[Tensor], steps: int) -> list[tuple[Tensor, Tensor | None]]:
        """Numbers of the samples of each batch, (members, batch), and weights, with which padding counts nothing."""
        parts = []
        for seed, own in zip(self.seeds, samples, strict=True):
            order = torch.arange(len(own))
            if steps > 1:
                order = torch.randperm(len(own), generator=random_state(seed, epoch))
            parts.append(own[order].tensor_split(steps))
        batches: list[tuple[Tensor, Tensor | None]] = []
        for several in zip(*parts, strict=True):
            size = max(len(part) for part in several)
            chosen, weight = torch.zeros(len(parts), size, dtype=torch.int64), torch.zeros(len(parts), size)
            for m, part in enumerate(several):
                chosen[m, : len(part)] = part
                weight[m, : len(part)] = 1 if self.recipe.loss == "published" else size / max(len(part), 1)
            batches.append((chosen, None if (weight == 1).all() else weight))
        return batches

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


def require_ensemble(recipe: Recipe) -> None:
    """InputError if a setting of the recipe is for single networks alone."""
    if recipe.modulator == "reward":
        raise InputError("modulator 'reward' is for single networks: the guesses of an ensemble would be entangled")
    for name in ("translate", "jitter", "deletion", "averaging"):
        if np.any(given := getattr(recipe, name)):
            raise InputError(f"{name} is for single networks, not for those that train side by side, got {given}")
    if recipe.init != "uniform":
        raise InputError(f"init {recipe.init!r} is for single networks, not for those that train side by side")
