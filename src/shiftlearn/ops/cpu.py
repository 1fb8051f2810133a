"""The C++ kernels behind the same signatures as :mod:`.reference` (2-D weights only)."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import rules
from . import _kernels, reference

__all__ = ["coefficients", "feedback", "first_spike", "plasticity", "sort_spikes"]


# glibc returns freed memory to the system beyond twice the largest block it ever unmapped, and a training step would
# then pay for fresh pages every time. Freeing one block of 31 MiB, never touched, raises that bound to 62 MiB.
_block = torch.empty(31 * 2**20, dtype=torch.uint8)
del _block


def _plain(x: Tensor) -> Tensor:
    x = x if x.is_contiguous() else x.contiguous()
    return x.detach() if x.requires_grad else x  # the kernels refuse tensors that track gradients


def sort_spikes(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = z.shape[-1]
    dense = _plain(z).reshape(-1, inputs) if inputs else z.new_empty(z.shape[:-1].numel(), 0)
    rows = dense.shape[0]
    times, channel = z.new_empty(rows * inputs), z.new_empty(rows * inputs, dtype=torch.int32)
    rest = z.new_empty(rows)
    row = _kernels.sort_spikes(dense, times, channel, rest, torch.get_num_threads())
    if row >= 0:
        reference.check_positive(dense)
    return times, channel, torch.arange(rows + 1) * inputs, rest


def first_spike(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    rows, outputs = rest.shape[0], shift.shape[1]
    u, drive = shift.new_empty(rows, outputs), shift.new_empty(rows, outputs)
    count = shift.new_empty(rows, outputs, dtype=torch.int32)
    _kernels.first_spike(z, channel, offsets, rest, _plain(shift), u, count, drive, torch.get_num_threads())
    return u, count, drive


def plasticity(
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    count: Tensor,
    a: Tensor,
    c: Tensor,
    num_channels: int,
) -> Tensor:
    result = a.new_empty(num_channels, a.shape[1])
    count, a, c = _plain(count), _plain(a), _plain(c)
    _kernels.plasticity(z, channel, offsets, rest, count, a, c, result, torch.get_num_threads())
    return result


def feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    result = f.new_empty(rest.shape[0], weight.shape[0])
    count, f, weight = _plain(count), _plain(f), _plain(weight)
    _kernels.feedback(z, channel, offsets, rest, count, f, weight, result, torch.get_num_threads())
    return result


_RULES = (rules.shifting, rules.normalized, rules.exact)  # in the order of the kernel's enum


def coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    function = rules.get(rule)
    if function not in _RULES:
        return reference.coefficients(rule, delta, u, drive, delay, min_drive)
    a, c, f = (torch.empty_like(u) for _ in range(3))
    g = torch.empty_like(delay)
    number = _RULES.index(function)
    delta, u, drive, delay = _plain(delta), _plain(u), _plain(drive), _plain(delay)
    _kernels.coefficients(number, delta, u, drive, delay, min_drive, a, c, f, g, torch.get_num_threads())
    return a, c, f, g
