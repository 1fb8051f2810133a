"""Weights of 8 bits: what the page carries, and the network it then is."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.model import Model
from ..nn import ShiftLinear, shift_layers
from ..nn.held import replace

__all__ = ["LEVELS", "Quantised", "dequantised", "quantise"]

LEVELS = 127
"""The largest level; the smallest is its negative."""


@dataclass(frozen=True)
class Quantised:
    """The synapses of a layer.

    Attributes:
        levels: (in, out) int8.
        scale: (out,) float64; the weights are levels · scale.
        delay: (out,) float64.
    """

    levels: Tensor
    scale: Tensor
    delay: Tensor

    def weight(self) -> Tensor:
        """(in, out) float64, the weights that the levels stand for."""
        return self.levels.double() * self.scale


def quantise(layer: ShiftLinear) -> Quantised:
    """Round each neuron's weights to multiples of a 127th of its largest one."""
    shift = layer.shift.detach().double().cpu()
    scale = shift.abs().amax(0) / LEVELS
    levels = (shift / torch.where(scale > 0, scale, 1.0)).round().to(torch.int8)
    return Quantised(levels, scale, layer.delay.detach().double().cpu())


def dequantised(model: Model, dtype: torch.dtype = torch.float32) -> Model:
    """The same model with the weights that the page has; exactly those of the page in float64."""
    model = copy.deepcopy(model)
    model.network.to(dtype)
    for layer in shift_layers(model.network):
        replace(layer, "shift", quantise(layer).weight())
    return model
