"""Whether a run is well: silence, NaN and chance, each told once with its likely cause and the setting to change.

A run is looked at where progress is reported anyway, so that no step waits for a device, and never changed.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..data.spike_trains.time_units import squeezed
from ..data.spike_trains.trials import Trials
from ..errors import InputError, RunWarning
from ..models.stored import not_finite
from ..nn import ShiftLinear
from ..ops.events import SpikeEvents
from ..recipes import Recipe

__all__ = ["Health", "explained_memory", "require_finite", "require_room", "warn_if_squeezed"]

_SILENT = 0.5  # of the samples without an answer, or of a layer's neurons that no sample makes fire
_STEPS = 50  # before there is more to be expected than chance
_SIGMAS = 3.0
_GROWTH = 1.05  # of the loss
_SYNAPSE, _NEURON = 16, 40  # bytes: weight, adjustment and Adam's two means; what a layer keeps of a neuron and sample
_ASKED = re.compile(r"allocate ([\d.]+) ?(bytes|[KMGT]i?B)")


class Health:
    """Looks after one run, and warns (:class:`shiftlearn.errors.RunWarning`).

    Args:
        recipe: its settings.
        network: what it trains.
        labels: (n,) those it learns from; what always answering their most frequent class gives is chance.
    """

    def __init__(self, recipe: Recipe, network: nn.Sequential, labels: Tensor) -> None:
        self.recipe, self.network = recipe, network
        self.samples = len(labels)
        self.chance = labels.cpu().bincount().max().item() / self.samples
        self.first_loss: float | None = None
        self.said: set[str] = set()

    def batch(self, epoch: int, loss: float, z: Tensor) -> None:
        """Look at the mean loss so far, and at the output (batch, classes) for the last batch."""
        if self.first_loss is None:
            self.first_loss = loss
        if not math.isfinite(loss):
            cause = f"the adjustments are too large; {_smaller(self.recipe)}"
            self._say("loss", f"the loss is {loss:g} in epoch {epoch}: {cause}")
        elif (silent := z.isinf().all(-1).double().mean().item()) > _SILENT:
            self._say(
                "silent",
                f"in epoch {epoch} no output neuron fires for {silent:.0%} of the samples, whose answer then is the "
                f"first class: the weights have become too small; {_louder(self.recipe)}",
            )

    def layers(self, inputs: Tensor | SpikeEvents) -> None:
        """Look at every layer, for some coded inputs."""
        for number, silent in enumerate(silent_shares(self.network, inputs), start=1):
            if silent > _SILENT:
                message = f"{silent:.0%} of the neurons of layer {number} never fire, and so learn nothing"
                self._say("silent", f"{message}; {_louder(self.recipe)}")

    def epoch(self, epoch: int, loss: float, accuracy: float) -> None:
        """Look at the means of an epoch."""
        steps = -(-self.samples // self.recipe.batch)
        limit = self.chance + _SIGMAS * math.sqrt(self.chance * (1 - self.chance) / self.samples)
        told = limit < (1 + self.chance) / 2  # are there enough samples to tell chance from success?
        # In the first epoch with enough steps, and where nothing that was said already explains it.
        if told and (epoch - 1) * steps < _STEPS <= epoch * steps and accuracy < limit and not self.said:
            self._say(
                "chance",
                f"after {epoch * steps} steps {accuracy:.1%} of the training samples are answered right, hardly more "
                f"than by chance ({self.chance:.1%}): {self._why(loss)}",
            )

    def _why(self, loss: float) -> str:
        r, first = self.recipe, self.first_loss
        if first is not None and loss > _GROWTH * first:
            return f"the loss grows, from {first:.3g} to {loss:.3g}; lower lr (now {r.lr:g})"
        seen = f"tau (now {r.tau:g} s)" if r.spike_trains else f"coding (now {r.coding})"
        return (
            f"the loss hardly falls; raise lr (now {r.lr:g}), or change {seen} so that spike times tell classes apart"
        )

    def _say(self, kind: str, message: str) -> None:
        if kind not in self.said:
            self.said.add(kind)
            warnings.warn(message, RunWarning, stacklevel=3)


@torch.no_grad()
def silent_shares(network: nn.Sequential, inputs: Tensor | SpikeEvents) -> list[float]:
    """For each layer, the share of its neurons that no sample of a batch makes fire."""
    shares, z, training = [], inputs, network.training
    network.eval()  # without noise, whose source must not be moved on
    for module in network:
        z = module(z)
        if isinstance(module, ShiftLinear):
            shares.append(1 - z.isfinite().any(0).double().mean().item())
    network.train(training)
    return shares


def require_finite(network: nn.Module, recipe: Recipe) -> None:
    """InputError if a weight is NaN or infinite: its neuron would seem silent."""
    if name := not_finite(network.state_dict()):
        raise InputError(
            f"weights have become NaN or infinite ({name}), and their neurons are silent for ever: the adjustments are "
            f"too large; {_smaller(recipe)}"
        )


def warn_if_squeezed(trials: Trials, recipe: Recipe) -> None:
    """RunWarning if all spikes come within a small part of tau, where their times hardly matter."""
    if message := squeezed(trials, recipe.tau, recipe.dataset):
        warnings.warn(message, RunWarning, stacklevel=2)


def require_room(recipe: Recipe) -> None:
    """InputError if the network and one step of its training take more memory than the machine has.

    A system that promises more memory than it has would end the process without a word.
    """
    weights, step = _sizes(recipe)
    if weights + step > (here := _memory()):
        raise InputError(
            f"out of memory: training takes about {_bytes(weights + step)}, this machine has {_bytes(here)}; "
            f"{_fewer(recipe)}"
        )


@contextmanager
def explained_memory(recipe: Recipe) -> Iterator[None]:
    """What an allocator raises becomes an InputError that names size and setting."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        asked = _ASKED.search(str(error))
        if not (asked or isinstance(error, MemoryError | torch.OutOfMemoryError)):
            raise
        needed = f"training takes about {_bytes(sum(_sizes(recipe)))}"
        if asked:
            number, unit = float(asked[1]), asked[2]
            needed = f"{_bytes(int(number)) if unit == 'bytes' else f'{number:g} {unit}'} more were asked for"
        raise InputError(f"out of memory: {needed}; {_fewer(recipe)}") from error


def _sizes(recipe: Recipe) -> tuple[int, int]:
    """Bytes of the weights with all that belongs to them, and of a step; maps have few weights and are left out."""
    layers = recipe.layers[1:] if recipe.maps else recipe.layers
    return _SYNAPSE * sum(a * b for a, b in pairwise(layers)), _NEURON * recipe.batch * sum(layers)


def _memory() -> int:
    """Bytes of the machine, as many as can be where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**63


def _bytes(number: float) -> str:
    power = min(int(math.log2(max(number, 1)) // 10), 4)
    return f"{number / 1024**power:.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def _smaller(recipe: Recipe) -> str:
    divided = recipe.rule != "shifting" and recipe.min_drive == 0
    floor = ", or set min_drive (now 0) to 1e-3: the rule divides by the drive, which may be close to 0"
    return f"lower lr (now {recipe.lr:g}){floor if divided else ''}"


def _louder(recipe: Recipe) -> str:
    start = (
        f"init_share (now {list(recipe.init_share)})"
        if recipe.init == "data"
        else f"init_scale (now {list(recipe.init_scale)})"
    )
    keep = "set homeostasis to 1.2 (now 0), " if not any(recipe.homeostasis) else ""
    return f"{keep}raise {start} or lower lr (now {recipe.lr:g})"


def _fewer(recipe: Recipe) -> str:
    weights, step = _sizes(recipe)
    batch, layers = f"batch (now {recipe.batch})", f"layers (now {list(recipe.layers)})"
    settings = [layers, batch] if weights > step else [batch]
    if recipe.dataset == "tca":
        settings = [f"trials (now {recipe.trials})", f"test_trials (now {recipe.test_trials})", *settings]
    return f"lower {' or '.join(settings)}"
