"""From values to spike times: encoders return z = exp(t / tau)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

from .errors import InputError, unknown_name
from .events import SpikeEvents
from .names import CODINGS
from .ops import sort_levels

__all__ = ["CODINGS", "binarised", "coded_width", "encoder", "ink", "latency", "on_off", "population"]


def latency(x: Tensor, exponent: float = 2.0) -> Tensor:
    """Strong inputs fire first: z = exp(exponent · (1 − x)).

    Args:
        x: values of any shape; uint8 counts as x / 255, floats must lie in [0, 1].
        exponent: latest spike time in units of tau, > 0 (published: 1; the recipes here: 2).

    Raises:
        InputError: another dtype, or (on the CPU) a float outside [0, 1], NaN included.
    """
    if not 0 < exponent < math.inf:
        raise InputError(f"exponent must be positive and finite, got {exponent}")
    if x.dtype == torch.uint8:
        levels = torch.exp(exponent * (1 - torch.arange(256, device=x.device, dtype=torch.float32) / 255))
        return levels.index_select(0, x.reshape(-1).int()).reshape(x.shape)
    if not x.dtype.is_floating_point:
        raise InputError(f"x must be uint8 (0 to 255) or floating (0 to 1), got {x.dtype}")
    if x.device.type == "cpu" and not ((x >= 0) & (x <= 1)).all():  # elsewhere the check would wait for the device
        raise InputError(f"x must lie in [0, 1], got {x.min().item():g} to {x.max().item():g}")
    return torch.exp(exponent * (1 - x))


def binarised(x: Tensor) -> Tensor:
    """The published test coding (SL_mnist.MNIST_test): z = exp(1 − v), v 0.01 where x ≥ 0.5 and 2.3 elsewhere.

    The weak inputs fire first, at z = 0.27, and the strong ones last, at z = 2.69. ``x`` as in :func:`latency`.
    """
    return torch.where(latency(x, 1.0) <= math.exp(0.5), math.exp(1 - 0.01), math.exp(1 - 2.3))


def ink(x: Tensor, exponent: float = 2.0) -> Tensor:
    """As :func:`latency`, but what is 0 stays silent: a black background sends no spikes."""
    return latency(x, exponent).masked_fill(x == 0, math.inf)


def on_off(x: Tensor, exponent: float = 2.0) -> Tensor:
    """Two inputs for each value: one fires early where x is large, the other where it is small. (…, n) to (…, 2n)."""
    return latency(torch.cat([x, 255 - x if x.dtype == torch.uint8 else 1 - x], -1), exponent)


def population(x: Tensor, exponent: float = 2.0, cells: int = 6) -> Tensor:
    """Gaussian receptive fields: each value drives ``cells`` inputs whose centres are spread evenly over [0, 1].

    An input fires the earlier, the closer the value is to its centre: z = exp(exponent · (1 − a)), where
    a = exp(−(x − centre)² / 2σ²) and σ is the distance between centres; below a = 0.1 it stays silent. (…, n) to
    (…, n · cells).
    """
    if x.dtype == torch.uint8:
        x = x.float() / 255
    centres = torch.linspace(0, 1, cells, device=x.device, dtype=x.dtype)
    activity = torch.exp(-0.5 * ((x.unsqueeze(-1) - centres) * (cells - 1)).square())
    return latency(activity, exponent).masked_fill(activity < 0.1, math.inf).flatten(-2)


def coded_width(name: str, features: int, cells: int) -> int:
    """Number of inputs that the coding called ``name`` makes of ``features`` values."""
    return features * {"on-off": 2, "population": cells}.get(name, 1)


def encoder(
    name: str, exponent: float, cells: int = 6, dense: bool = False
) -> Callable[[Tensor], Tensor | SpikeEvents]:
    """The coding called ``name``, from (batch, features) to what a layer takes.

    ``exponent`` is that of all but "binarised"; ``cells`` is that of "population". The spikes of uint8 inputs are
    sorted by counting, and arrive as SpikeEvents; floats become a tensor of z, and with ``dense`` all do.
    """
    if name not in CODINGS:
        raise unknown_name("coding", name, CODINGS)
    if name == "population":
        return partial(population, exponent=exponent, cells=cells)
    encode = binarised if name == "binarised" else partial(ink if name == "ink" else latency, exponent=exponent)
    of_level = cache(encode(torch.arange(256, dtype=torch.uint8)).to)  # one copy to each device

    def run(x: Tensor) -> Tensor | SpikeEvents:
        if dense or x.dtype != torch.uint8:
            return on_off(x, exponent) if name == "on-off" else encode(x)
        return sort_levels(torch.cat([x, 255 - x], -1) if name == "on-off" else x, of_level(x.device))

    return run
