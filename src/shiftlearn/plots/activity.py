"""What the layers of a network hear and fire for one sample, and the membrane potential behind each spike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .. import ops
from ..data.tables.table import Column
from ..errors import InputError
from ..models.model import Array, Model, Spikes
from ..nn import ShiftConv2d, ShiftLinear
from ..ops.events import SpikeEvents

__all__ = ["LayerActivity", "MembranePotential", "Sample", "activity", "membrane_potential", "spikes"]

Floats = npt.NDArray[np.float64]
Sample = Array | Sequence[Column] | Spikes
"""As :meth:`shiftlearn.models.model.Model.predict` takes them, but one alone."""


@dataclass(frozen=True)
class LayerActivity:
    """One layer and one sample.

    Attributes:
        layer: with its synapses.
        heard: the spikes that reach it: events of one row, or z (1, in) or, of an image, (1, channels, rows, columns).
        z: of its neurons, (out,) or (maps, rows, columns); inf for silence.
    """

    layer: ShiftLinear
    heard: Tensor | SpikeEvents
    z: Tensor

    @property
    def neurons(self) -> int:
        """How many there are; those of maps are counted map by map, row by row."""
        return self.z.numel()

    def first(self, count: int) -> list[int]:
        """The neurons that fire first, or those that fire if they are fewer."""
        times = self.z.flatten()
        order = times.argsort(stable=True)[:count]
        return [int(k) for k in order[times[order].isfinite()]]


@torch.no_grad()
def activity(model: Model, x: Sample) -> list[LayerActivity]:
    """Every layer's activity for one sample, the read-out's last.

    Raises:
        InputError: ``x`` is not one sample that the model takes.
    """
    values = model.values(x)
    if len(values) != 1:
        raise InputError(f"x must hold one sample, got {len(values)}")
    signal = model.encode(values.to(next(model.network.parameters()).device))
    found = []
    for module in model.network:
        heard, signal = signal, module(signal)
        if isinstance(module, ShiftLinear):
            found.append(LayerActivity(module, heard, signal[0].cpu()))
    return found


def spikes(heard: Tensor | SpikeEvents) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The spikes of one row in time order: z and channel, those at rest last."""
    events = heard if isinstance(heard, SpikeEvents) else ops.sort_spikes(heard.flatten(1))
    listed = events.z.isfinite().cpu()
    z, channel = events.z.cpu()[listed].double().numpy(), events.channel.cpu()[listed].long().numpy()
    rest = float(events.rest[0])
    if math.isfinite(rest):
        others = np.setdiff1d(np.arange(events.num_channels), channel)
        z, channel = np.append(z, np.full(len(others), rest)), np.append(channel, others)
    return z, channel


@dataclass(frozen=True)
class MembranePotential:
    """Of one neuron for one sample, in float64.

    Attributes:
        z: (spikes,) of its inputs in time order; channel, weight: of the synapse that each came through.
        causal: (spikes,) whether the input is in the causal set.
        u: where the potential first reaches threshold, inf if it never does.
        delay: the factor from there to the spike's arrival at the next layer.
    """

    z: Floats
    channel: npt.NDArray[np.int64]
    weight: Floats
    causal: npt.NDArray[np.bool_]
    u: float
    delay: float

    def at(self, z: npt.ArrayLike) -> Floats:
        """V = S − N / z, with S = Σ w and N = Σ w z over the inputs that have arrived; 0 before the first.

        It is what the potential is up to ``u``, and would be after it if the neuron had not fired.
        """
        z = np.asarray(z, np.float64)
        arrived = np.searchsorted(self.z, z, side="right")
        total, moment = (np.append(0.0, np.cumsum(x)) for x in (self.weight, self.weight * self.z))
        result: Floats = total[arrived] - moment[arrived] / z
        return result


@torch.no_grad()
def membrane_potential(layer: LayerActivity, neuron: int) -> MembranePotential:
    """The potential of a neuron of a layer; those of maps are counted map by map, row by row.

    Raises:
        InputError: no such neuron.
    """
    if not 0 <= neuron < layer.neurons:
        raise InputError(f"neuron must lie in 0 to {layer.neurons - 1}, got {neuron}")
    synapses, heard, column = layer.layer, layer.heard, neuron
    if isinstance(synapses, ShiftConv2d):
        assert isinstance(heard, Tensor)
        column, row, place = (int(k) for k in np.unravel_index(neuron, layer.z.shape))
        padded = nn.functional.pad(heard, (synapses.padding,) * 4, value=math.inf)
        size = synapses.kernel_size
        heard = padded[:, :, row : row + size, place : place + size].reshape(1, -1)
    events = (heard if isinstance(heard, SpikeEvents) else ops.sort_spikes(heard)).to(dtype=torch.float64)
    shift = synapses.shift[:, column : column + 1].double()
    u, count, _ = ops.first_spike(events, shift)
    z, channel = spikes(events)
    # The channels at rest are one event, in the causal set together or not at all.
    causal = np.minimum(np.arange(len(z)), int(events.z.isfinite().sum())) < int(count)
    weight = shift[:, 0].cpu().numpy()[channel]
    return MembranePotential(z, channel, weight, causal, float(u), float(synapses.delay[column]))
