"""From values to spike times: encoders return z = exp(t / tau)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .errors import InputError, unknown_name
from .events import SpikeEvents
from .ops import sort_levels

__all__ = ["CODINGS", "binarised", "encoder", "latency"]


def latency(x: Tensor, exponent: float = 2.0) -> Tensor:
    """Strong inputs fire first: z = exp(exponent · (1 − x)).

    Args:
        x: values of any shape; uint8 counts as x / 255, floats must lie in [0, 1].
        exponent: latest spike time in units of tau, > 0 (published: 1; the recipes here: 2).

    Raises:
        InputError: another dtype, or a float outside [0, 1] (NaN included).
    """
    if not 0 < exponent < math.inf:
        raise InputError(f"exponent must be positive and finite, got {exponent}")
    if x.dtype == torch.uint8:
        levels = torch.exp(exponent * (1 - torch.arange(256, device=x.device, dtype=torch.float32) / 255))
        return levels.index_select(0, x.reshape(-1).int()).reshape(x.shape)
    if not x.dtype.is_floating_point:
        raise InputError(f"x must be uint8 (0 to 255) or floating (0 to 1), got {x.dtype}")
    if not ((x >= 0) & (x <= 1)).all():
        raise InputError(f"x must lie in [0, 1], got {x.min().item():g} to {x.max().item():g}")
    return torch.exp(exponent * (1 - x))


def binarised(x: Tensor) -> Tensor:
    """The published test coding (SL_mnist.MNIST_test): z = exp(1 − v), v 0.01 where x ≥ 0.5 and 2.3 elsewhere.

    The weak inputs fire first, at z = 0.27, and the strong ones last, at z = 2.69. ``x`` as in :func:`latency`.
    """
    return torch.where(latency(x, 1.0) <= math.exp(0.5), math.exp(1 - 0.01), math.exp(1 - 2.3))


CODINGS = ("latency", "binarised")


def encoder(name: str, exponent: float) -> Callable[[Tensor], Tensor | SpikeEvents]:
    """The coding called ``name``; ``exponent`` is that of "latency". It turns (batch, in) into what a layer takes.

    The spikes of uint8 inputs are sorted by counting, and arrive as SpikeEvents; floats become a tensor of z.
    """
    if name not in CODINGS:
        raise unknown_name("coding", name, CODINGS)
    encode = binarised if name == "binarised" else partial(latency, exponent=exponent)
    of_level = encode(torch.arange(256, dtype=torch.uint8))

    def run(x: Tensor) -> Tensor | SpikeEvents:
        return sort_levels(x, of_level.to(x.device)) if x.dtype == torch.uint8 else encode(x)

    return run
