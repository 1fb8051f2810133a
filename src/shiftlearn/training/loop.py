"""The epoch loop, for one network and for many side by side: order of the samples, batches, rates, steps, figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..nn import first_to_fire
from ..nn.shard import Shard
from ..ops.events import SpikeEvents
from .distributed import ALONE, World
from .health import require_finite
from .step import Learner, random_state

__all__ = ["Batch", "Loop", "Tally", "cut"]


def cut(orders: Sequence[Tensor], size: int, steps: int | None = None) -> list[tuple[Tensor, Tensor | None]]:
    """Cut the samples of every member of an ensemble into batches; a single network is one member.

    Args:
        orders: for each member, the numbers of its samples, in order.
        size: of a batch; the last one has what is left.
        steps: in place of ``size``, the number of batches, of nearly equal size. Members may then have different
            numbers of samples.

    Returns:
        For each batch, numbers of samples (members, batch), and where members have fewer than others, a mask of the
        same shape that is False for padding; None: there is no padding.
    """
    parts = [torch.split(order, size) if steps is None else order.tensor_split(steps) for order in orders]
    batches: list[tuple[Tensor, Tensor | None]] = []
    for several in zip(*parts, strict=True):
        rows = pad_sequence(list(several), batch_first=True)
        lengths = torch.tensor([len(part) for part in several])
        present = torch.arange(rows.shape[1]) < lengths[:, None]
        batches.append((rows, None if present.all() else present.to(rows.device)))
    return batches


@dataclass(frozen=True)
class Batch:
    """What inputs are asked for.

    Attributes:
        rows: (batch,) numbers of samples, or (members, batch); where processes share a batch, those of this one.
        shard: which part of the batch that is.
        generator: randomness of the epoch.
    """

    rows: Tensor
    shard: Shard
    generator: torch.Generator


class Tally:
    """What an epoch has come to after some of its batches.

    Attributes:
        epoch: its number, from 1 on.
        done, batches: number of batches that are done, and of all.
        z: (batch, classes) or (members, batch, classes), spike times for the last batch, before its step.
        began: when the epoch began, in seconds of ``time.perf_counter``.
    """

    z: Tensor

    def __init__(self, epoch: int, world: World, device: torch.device) -> None:
        self.epoch, self.done, self.batches, self.began = epoch, 0, 0, time.perf_counter()
        self._world, self._samples = world, 0
        self._loss, self._right = torch.zeros((), device=device), torch.zeros((), device=device)

    def add(self, z: Tensor, loss: Tensor, right: Tensor, samples: int) -> None:
        """Count a batch: sums of this process, ``samples`` of all."""
        self.z, self.done = z, self.done + 1
        self._loss += loss
        self._right += right
        self._samples += samples

    def means(self) -> tuple[float, float]:
        """Loss and accuracy per sample, each from before the step that learned from it; all processes must ask."""
        loss, right = self._world.sum(torch.stack((self._loss, self._right))).tolist()
        return loss / self._samples, right / self._samples

    @property
    def samples_per_second(self) -> float:
        """Of all members and processes."""
        return self._samples / (time.perf_counter() - self.began)


class Loop:
    """The epochs of one network, or of an ensemble; each follows from seeds and its number alone.

    Args:
        learner: makes the steps.
        inputs: gives what the first layer takes for a batch.
        labels: (n,) class indices.
        seeds: that of a network, which learns from all samples, or those of the members of an ensemble.
        rows: of an ensemble, the numbers of each member's samples.
        steps: of an ensemble, the number of batches, see :func:`cut`. (It is the same for all, and so not taken from
            any of them: a member must not depend on the others.) A network takes batches of the size in its recipe.
        weight: (n,) of the samples; None: 1.
        scheduled: whether learning rates follow the share of the recipe's epochs; else they stay those of its start.
        world: the processes that share each batch.
    """

    def __init__(
        self,
        learner: Learner,
        inputs: Callable[[Batch], Tensor | SpikeEvents],
        labels: Tensor,
        seeds: int | Sequence[int],
        rows: Sequence[Tensor] = (),
        steps: int | None = None,
        weight: Tensor | None = None,
        scheduled: bool = True,
        world: World = ALONE,
    ) -> None:
        self.learner, self.inputs, self.labels, self.weight = learner, inputs, labels, weight
        self.single = isinstance(seeds, int)
        self.seeds = [seeds] if isinstance(seeds, int) else seeds
        self.rows = [own.to(labels.device) for own in ([torch.arange(len(labels))] if self.single else rows)]
        self.steps, self.scheduled, self.world = steps, scheduled, world
        # Batches that hold all samples of a member need no order.
        self.shuffled = learner.recipe.shuffle and steps != 1
        self._same = None if self.shuffled else cut(self.rows, learner.recipe.batch, steps)

    def epoch(self, number: int, watch: Callable[[Tally], None] = lambda _: None) -> Tally:
        """Learn once from each sample; epochs count from 1. It ends early where all networks are frozen.

        ``watch`` is called after each step.

        Raises:
            InputError: a weight has become NaN or infinite, or inputs do not fit.
        """
        learner, recipe = self.learner, self.learner.recipe
        tally = Tally(number, self.world, self.labels.device)
        generators = [random_state(seed, number) for seed in (self.seeds if self.shuffled else self.seeds[:1])]
        batches = self._same or cut(self._orders(generators), recipe.batch, self.steps)
        tally.batches = len(batches)
        learner.begin(generators[0])
        for rows, present in batches:
            share = (number - 1 + tally.done / len(batches)) / recipe.epochs
            learner.set_rates(share if self.scheduled else 0.0)
            shard = self.world.shard(rows.shape[-1])
            own = rows[0, shard.rows] if self.single else rows
            target, inputs = self.labels[own], self.inputs(Batch(own, shard, generators[0]))
            loss, z = learner.step(inputs, target, weight=self._weight(own, present), shard=shard)
            right = first_to_fire(z) == target
            if present is not None:
                right &= present
            samples = rows.numel() if present is None else int(present.sum())
            tally.add(z, loss * shard.total, right.sum(), samples)
            watch(tally)
            if learner.frozen.all():
                break
        self.world.first(lambda: require_finite(learner.network, recipe))
        return tally

    def _orders(self, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """The samples of each member in the order of the epoch."""
        orders = [torch.randperm(len(own), generator=g) for own, g in zip(self.rows, generators, strict=True)]
        return [own[order.to(own.device)] for own, order in zip(self.rows, orders, strict=True)]

    def _weight(self, rows: Tensor, present: Tensor | None) -> Tensor | None:
        """Of each sample of a batch: 0 for padding; a member's few samples count as much as a whole batch."""
        weight = None if self.weight is None else self.weight[rows]
        if present is None:
            return weight
        lacking = present.shape[1] / present.sum(1, keepdim=True).clamp_min(1)
        own = present * (1.0 if self.learner.recipe.loss == "published" else lacking)  # that loss is a sum
        return own if weight is None else own * weight
