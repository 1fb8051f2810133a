"""From values to spike times: encoders return z = exp(t / tau)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from ..ops import sort_levels
from ..ops.events import SpikeEvents
from ..registry import CODINGS

__all__ = [
    "Coding",
    "binarised",
    "coarse",
    "encoder",
    "ink",
    "latency",
    "on_off",
    "population",
    "register",
]


def _shares(x: Tensor) -> Tensor:
    """uint8 as shares of 255; others as they are."""
    return x.float() / 255 if x.dtype == torch.uint8 else x


def _require_shares(x: Tensor) -> None:
    """InputError unless ``x`` is floating and (on the CPU) lies in [0, 1]."""
    if not x.dtype.is_floating_point:
        raise InputError(f"x must be uint8 (0 to 255) or floating (0 to 1), got {x.dtype}")
    if x.device.type == "cpu" and not ((x >= 0) & (x <= 1)).all():  # elsewhere the check would wait for the device
        raise InputError(f"x must lie in [0, 1], got {x.min().item():g} to {x.max().item():g}")


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
    _require_shares(x)
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
    x = _shares(x)
    centres = torch.linspace(0, 1, cells, device=x.device, dtype=x.dtype)
    activity = torch.exp(-0.5 * ((x.unsqueeze(-1) - centres) * (cells - 1)).square())
    return latency(activity, exponent).masked_fill(activity < 0.1, math.inf).flatten(-2)


def _as_it_is(x: Tensor) -> Tensor:
    return x


def coarse(x: Tensor, levels: int) -> Tensor:
    """Values quantised to the nearest of ``levels`` ≥ 2 levels spread over [0, 1], so that many inputs spike together.

    ``x`` and what is raised as in :func:`latency`, before a value outside could be rounded to one inside; floats are
    returned.
    """
    if levels < 2:
        raise InputError(f"levels must be 2 or more, got {levels}")
    x = _shares(x)
    _require_shares(x)
    return (x * (levels - 1)).round() / (levels - 1)


class Coding(NamedTuple):
    """A registered coding: a function of values and exponent, and how many inputs it makes of each value."""

    function: Callable[[Tensor, float], Tensor]
    width: int

    def encode(self, x: Tensor, exponent: float) -> Tensor:
        """(…, n) values, uint8 or in [0, 1], to (…, n · width) of z."""
        x = _shares(x)
        z = self.function(x, exponent)
        if not isinstance(z, Tensor) or z.shape != (*x.shape[:-1], x.shape[-1] * self.width):
            given = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise InputError(
                f"a coding of width {self.width} must make {(*x.shape[:-1], x.shape[-1] * self.width)} of "
                f"{tuple(x.shape)}, got {given}"
            )
        return z


def register(name: str, function: Callable[[Tensor, float], Tensor], width: int = 1, *, replace: bool = False) -> None:
    """Add a coding under ``name``, which the setting ``coding`` of a recipe may then say.

    ``function(x, exponent)`` gets (…, n) floats from 0 to 1 and the recipe's ``coding_exponent``; it returns
    (…, n · width) of z = exp(t / tau) > 0, inf for no spike. With a width above 1, the first n inputs are one for each
    value, and so are the second n: convolutions take these as maps. With ``replace`` it takes the place of another
    function of that name.

    Raises:
        InputError: ``name`` is taken or no identifier, ``function`` is not callable, or ``width`` is below 1.
    """
    if not isinstance(width, int) or width < 1:
        raise InputError(f"width must be an integer of 1 or more, got {width!r}")
    CODINGS.register(name, function, Coding(function, width), replace)


def encoder(
    name: str, exponent: float, cells: int = 6, dense: bool = False, levels: int = 0
) -> Callable[[Tensor], Tensor | SpikeEvents]:
    """The coding called ``name``, from (batch, features) to what a layer takes.

    ``exponent`` is that of all but "binarised"; ``cells`` is that of "population". With ``levels`` values are made
    :func:`coarse` before (0: not). The spikes of uint8 inputs are sorted by counting, and arrive as SpikeEvents; floats
    become a tensor of z, and with ``dense`` all do.
    """
    step = partial(coarse, levels=levels) if levels else _as_it_is
    own = CODINGS.get(name)
    if own is not None:
        return lambda x: own.encode(step(x), exponent)
    if name == "population":
        return lambda x: population(step(x), exponent, cells)
    encode = binarised if name == "binarised" else partial(ink if name == "ink" else latency, exponent=exponent)
    of_level = cache(encode(step(torch.arange(256, dtype=torch.uint8))).to)  # one copy to each device

    def run(x: Tensor) -> Tensor | SpikeEvents:
        if dense or x.dtype != torch.uint8:
            x = step(x)
            return on_off(x, exponent) if name == "on-off" else encode(x)
        return sort_levels(torch.cat([x, 255 - x], -1) if name == "on-off" else x, of_level(x.device))

    return run
