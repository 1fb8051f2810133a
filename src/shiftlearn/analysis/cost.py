"""What an answer costs: spikes and synaptic operations until the first output spike, beside a dense network's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..models.model import CHUNK, Model
from ..nn import ShiftConv2d, ShiftLinear
from ..ops.events import SpikeEvents

__all__ = ["Cost", "cost"]


@dataclass(frozen=True)
class Cost:
    """Means over samples. What comes after the decision, the first output spike, is not counted.

    Attributes:
        decision_time: median t of the decision, in units of τ (inf: most samples have none).
        spikes: of the inputs and of all neurons; each input that spikes is one.
        operations: synaptic operations: a spike's arrival at each neuron that it has a synapse to, whether that neuron
            has fired already or not.
        dense: multiply-adds of a dense network of the same shape, which are the same for every sample.
    """

    decision_time: float
    spikes: float
    operations: float
    dense: int


@torch.no_grad()
def cost(model: Model, values: Tensor | SpikeEvents) -> Cost:
    """The cost of answers to samples, as :meth:`Model.values` makes them; pooling counts as wiring.

    Raises:
        InputError: no samples.
    """
    if not len(values):
        raise InputError("values must hold one sample or more, got none")
    device = next(model.network.parameters()).device
    spikes = operations = 0.0
    dense, decisions = 0, []
    for start in range(0, len(values), CHUNK):
        signal = model.encode(values[start : start + CHUNK].to(device))
        heard: list[tuple[ShiftLinear, Tensor | SpikeEvents, Tensor | SpikeEvents]] = []
        for module in model.network:
            before, signal = signal, module(signal)
            if isinstance(module, ShiftLinear):
                heard.append((module, before, signal))
        assert isinstance(signal, Tensor)
        decision = signal.amin(1)
        decisions.append(decision.cpu())
        spikes += _until(heard[0][1], decision).sum().item() + decision.isfinite().sum().item()
        spikes += sum(_until(after, decision).sum().item() for *_, after in heard[:-1])
        dense = 0
        for layer, before, _ in heard:
            if isinstance(layer, ShiftConv2d):
                assert isinstance(before, Tensor)
                windows = _windows(layer, before)
                # as many windows hold a pixel as its spike has arrivals at each map
                arrivals = _until(before, decision) * windows
                dense += int(windows.sum()) * layer.in_channels * layer.out_channels
            else:
                arrivals = _until(before, decision)
                dense += layer.in_features * layer.out_features
            operations += arrivals.sum().item() * layer.out_features
    times = torch.cat(decisions).double().log().numpy()
    return Cost(float(np.median(times)), spikes / len(values), operations / len(values), dense)


def _until(spikes: Tensor | SpikeEvents, decision: Tensor) -> Tensor:
    """Whether each spike has come by a sample's decision; of events, how many of a sample's."""
    if isinstance(spikes, Tensor):
        return (spikes <= decision.view(-1, *[1] * (spikes.ndim - 1))) & spikes.isfinite()
    listed = spikes.offsets.diff()
    row = torch.repeat_interleave(listed)
    arrived = (spikes.z <= decision[row]) & spikes.z.isfinite()
    counts = torch.zeros_like(listed).index_add_(0, row, arrived.long())
    others = spikes.num_channels - torch.zeros_like(listed).index_add_(0, row, spikes.z.isfinite().long())
    return counts + others * ((spikes.rest <= decision) & spikes.rest.isfinite())


def _windows(layer: ShiftConv2d, images: Tensor) -> Tensor:
    """(rows, columns): how many of the layer's windows hold each pixel."""
    size = images.shape[2:]
    ones = torch.ones(1, 1, *size, device=images.device)
    options = {"kernel_size": layer.kernel_size, "padding": layer.padding}
    counts: Tensor = nn.functional.fold(nn.functional.unfold(ones, **options).fill_(1), size, **options)
    return counts[0, 0]
