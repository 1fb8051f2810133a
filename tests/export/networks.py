"""Random networks with inhibitory synapses, delays and silent inputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from shiftlearn.nn import ShiftLinear


@torch.no_grad()
def random_network(rng: np.random.Generator, sizes: Sequence[int], step: float = 1e-9) -> nn.Sequential:
    """Layers in float64 of these sizes; the logarithms of the delays, some of them 0, are multiples of ``step``."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        layer = ShiftLinear(inputs, outputs, dtype=torch.float64)
        layer.shift.copy_(torch.from_numpy(rng.normal(2.5 / inputs, 4 / inputs, (inputs, outputs))))
        delay = rng.integers(0, 2, outputs) * rng.exponential(0.5, outputs)
        layer.delay.copy_(torch.from_numpy(np.exp(np.rint(delay / step) * step)))
        layers.append(layer)
    return nn.Sequential(*layers)


def random_times(rng: np.random.Generator, shape: tuple[int, ...], step: float = 1e-9) -> np.ndarray:
    """Spike times in units of tau, multiples of ``step`` from 0 to 3; inf for one in seven."""
    return np.where(rng.random(shape) < 1 / 7, np.inf, np.rint(rng.uniform(0, 3, shape) / step) * step)
