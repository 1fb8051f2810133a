"""One training step: forward, loss, local rules, optimizer, homeostasis, projection of the delays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..errors import InputError
from ..nn import (
    Constraints,
    FirstSpikeCrossEntropy,
    Homeostasis,
    RewardLoss,
    SoftmaxTargetError,
    SpikeNoise,
    shift_layers,
)
from ..nn.shard import Shard
from ..ops.events import SpikeEvents
from ..recipes import Recipe
from .distributed import World
from .health import require_finite

__all__ = ["Learner", "random_state"]

T = TypeVar("T")


class Learner:
    """Trains a network by a recipe's loss, rates and constraints. The network may be an ensemble.

    Attributes:
        optimizer: Adam over the weights (one group, or one for each layer) and, as the last group, the delays.
        constraints: what follows its steps: homeostasis, projection of the delays, alignment of feedback.
        average: the exponential average of the network, None if the recipe has none.
        frozen: () or (members,) bool: whether a delay has fallen to 0 or below, where the recipe does not project them:
            the neuron would fire before the beginning of time. What such a network has learned is kept, and it learns
            no more.
        state: what a checkpoint holds beside the optimizer: the network, and the average if there is one.
    """

    def __init__(self, network: nn.Sequential, recipe: Recipe) -> None:
        self.network, self.recipe = network, recipe
        self.forward: nn.Module = network
        self.loss: nn.Module
        if recipe.modulator == "reward":
            self.loss = RewardLoss(
                recipe.beta,
                recipe.horizon,
                "sum",
                readout=recipe.readout,
                baseline=recipe.baseline,
                exploration=recipe.exploration,
            )
        elif recipe.loss == "published":
            self.loss = SoftmaxTargetError()
        else:
            self.loss = FirstSpikeCrossEntropy(
                recipe.beta,
                recipe.label_smoothing,
                recipe.horizon,
                reduction="sum",
                ordinal=recipe.ordinal,
                readout=recipe.readout,
            )
        homeostasis: Homeostasis | None = None
        if any(recipe.homeostasis):
            homeostasis = Homeostasis(self._each(recipe.homeostasis), recipe.homeostasis_every)
        layers = shift_layers(network)
        self.frozen = torch.zeros(layers[-1].delay.shape[:-1], dtype=torch.bool)
        # A single network ends with that step, and only its delays have to come back; a member is stepped on.
        self._restored = [*network.parameters()] if self.frozen.ndim else [layer.delay for layer in layers]
        self.noise = []
        for layer, jitter, deletion in zip(layers, *map(self._each, (recipe.jitter, recipe.deletion)), strict=True):
            if jitter or deletion:
                self.noise.append(SpikeNoise(jitter, deletion))
                layer.register_forward_pre_hook(self.noise[-1])
        shifts: list[dict[str, Any]] = [{"params": [layer.shift for layer in layers], "scale": recipe.lr_scale[0]}]
        if len(recipe.lr_scale) > 1:
            shifts = [{"params": [x.shift], "scale": scale} for x, scale in zip(layers, recipe.lr_scale, strict=True)]
        self.optimizer = torch.optim.Adam(
            [*shifts, {"params": [layer.delay for layer in layers], "weight_decay": 0.0}],
            betas=(recipe.beta1, recipe.beta2),
            weight_decay=recipe.weight_decay,
            decoupled_weight_decay=True,
            fused=True,
        )
        # Nothing is sent to the inputs of the network, so the first layer's matrix is of no use.
        aligning = [layer for layer in layers[1:] if layer.feedback == "aligning"]
        # Called here and not by hooks, which a pickled optimizer loses.
        self.constraints = Constraints(self.optimizer, network, homeostasis, recipe.project_delays, aligning)
        self.average: AveragedModel | None = None
        self.state: nn.Module = network
        if recipe.averaging:
            mean = get_ema_multi_avg_fn(recipe.averaging)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(network, multi_avg_fn=mean)
            self.state = nn.ModuleList([network, self.average])

    def _each(self, values: Sequence[T]) -> Sequence[T]:
        """One for every layer."""
        return [*values] * len(shift_layers(self.network)) if len(values) == 1 else values

    def join(self, world: World) -> None:
        """Learn together with the other processes of a world, from the state of its first on."""
        self.forward = world.parallel(self.network, unused=self.recipe.feedback == "none")
        if world.size > 1:
            self.optimizer.load_state_dict(world.first(self.optimizer.state_dict))
            self.state.load_state_dict(world.first(self.state.state_dict))

    def set_rates(self, share: float) -> None:
        """The learning rates after ``share`` of the run."""
        r = self.recipe
        *shifts, delay = self.optimizer.param_groups
        for group in shifts:
            group["lr"] = group["scale"] * self._rate(r.lr, r.lr_final, share)
        delay["lr"] = self._rate(r.delay_lr, r.delay_lr_final, share)

    def _rate(self, first: float, last: float, share: float) -> float:
        if self.recipe.schedule == "cosine":
            return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
        return first * math.pow(last / first, share)

    def begin(self, generator: torch.Generator) -> None:
        """Begin an epoch, whose noise and guesses (of the modulator "reward") come from ``generator``."""
        for noise in self.noise:
            noise.generator = generator
        if self.constraints.homeostasis:
            self.constraints.homeostasis.calls = 0
        if isinstance(self.loss, RewardLoss):
            self.loss.generator = generator

    def step(
        self,
        inputs: Tensor | SpikeEvents,
        target: Tensor,
        weight: Tensor | None = None,
        shard: Shard | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Learn from one batch.

        Args:
            inputs: what the first layer takes.
            target: (batch,) class indices, or (members, batch).
            weight: of each sample, in the shape of ``target``; None: 1.
            shard: which part of the batch that is, where other processes learn from the rest; None: all of it.

        Returns:
            The sum of the samples' losses over the size of the batch, so in one process their mean (summed over the
            members of an ensemble), and the spike times before the step, (batch, classes) or (members, batch, classes).

        Raises:
            InputError: inputs that do not fit, or weights that a step made NaN or infinite.
        """
        before = [] if self.recipe.project_delays else [p.detach().clone() for p in self._restored]
        for noise in self.noise:
            noise.shard = shard
        try:
            z = self.forward(inputs)
        except InputError:  # such as a delay that is NaN
            require_finite(self.network, self.recipe)
            raise
        samples = z.flatten(0, -2), target.flatten(), None if weight is None else weight.flatten()
        loss = self.loss(*samples, shard) if isinstance(self.loss, RewardLoss) else self.loss(*samples)
        shard = shard or Shard(target.shape[-1])
        size = max(shard.total, 1)
        self.optimizer.zero_grad()
        # World.parallel averages over the processes what here is to be summed.
        (loss * shard.size if self.recipe.loss == "published" else loss / (size / shard.size)).backward()
        self.constraints.before_step()
        self.optimizer.step()
        self.constraints.after_step()
        if self.average:
            self.average.update_parameters(self.network)
        if not self.recipe.project_delays:
            self._freeze(before)
        return loss.detach() / size, z.detach()

    @torch.no_grad()
    def _freeze(self, before: list[Tensor]) -> None:
        """Put back what a step has changed of frozen networks."""
        for layer in shift_layers(self.network):
            self.frozen = self.frozen | ~(layer.delay > 0).all(-1).cpu()
        if not self.frozen.any():
            return
        if not self.frozen.ndim:
            require_finite(self.network, self.recipe)  # NaN is not above 0 either
        for parameter, old in zip(self._restored, before, strict=True):
            parameter[self.frozen] = old[self.frozen]


def random_state(seed: int, epoch: int) -> torch.Generator:
    """Randomness of an epoch (0: the initial weights), a function of (seed, epoch) alone."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 32 | int(state[1]))
