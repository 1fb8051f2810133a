"""The C++ kernels behind the same signatures as :mod:`.reference`: what they get is looked at first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from . import checks, kernels, reference, rules
from .kernels import RULES, sort_levels

__all__ = [
    "RULES",
    "adjustments",
    "coefficients",
    "cross_entropy",
    "feedback",
    "fire",
    "first_spike",
    "plasticity",
    "sort_levels",
    "sort_spikes",
    "sort_windows",
    "sum_windows",
]


def _check_content(events: Sequence[Tensor], inputs: int) -> None:
    z, channel, offsets, rest = events
    if not kernels.well_formed(z, channel, offsets, rest, inputs):
        checks.refuse(z, channel, offsets, rest, inputs)


def sort_spikes(z: Tensor) -> kernels.Sorted:
    checks.sort_spikes(z)
    return kernels.sort_spikes(z)


def sort_windows(images: Tensor, size: int) -> kernels.Sorted:
    checks.sort_windows(images, size)
    return kernels.sort_windows(images, size)


def sum_windows(values: Tensor, shape: Sequence[int], size: int) -> Tensor:
    checks.sum_windows(values, shape, size)
    return kernels.sum_windows(values, shape, size)


def first_spike(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor) -> tuple[Any, ...]:
    return fire(None, z, channel, offsets, rest, shift, None)[1:]


def fire(
    dense: Tensor | None,
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    shift: Tensor,
    delay: Tensor | None,
    *_: Any,  # feedback, rule and min_drive are for the way back
) -> tuple[Any, ...]:
    checks.first_spike(z, channel, offsets, rest, shift, delay)
    _check_content((z, channel, offsets, rest), shift.shape[-2])
    return kernels.fire(z, channel, offsets, rest, shift, delay)


def plasticity(*arguments: Any) -> Tensor:
    checks.plasticity(*arguments)
    _check_content(arguments[:4], arguments[-1])
    return kernels.plasticity(*arguments)


def feedback(*arguments: Any) -> Tensor:
    checks.feedback(*arguments)
    _check_content(arguments[:4], arguments[-1].shape[-2])
    return kernels.feedback(*arguments)


def coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if rules.get(rule) not in RULES:
        return reference.coefficients(rule, delta, u, drive, delay, min_drive)
    checks.coefficients(delta, u, drive, delay)
    return kernels.coefficients(rule, delta, u, drive, delay, min_drive)


def adjustments(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Of one of the rules in :data:`RULES`."""
    checks.adjustments(*arguments[:11])
    _check_content(arguments[:4], arguments[8].shape[-2])
    return kernels.adjustments(*arguments)


def cross_entropy(z: Tensor, target: Tensor, beta: float, smoothing: float, horizon: float) -> tuple[Tensor, Tensor]:
    checks.cross_entropy(z, target)
    return kernels.cross_entropy(z, target, beta, smoothing, horizon)
