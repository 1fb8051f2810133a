"""The C++ kernels behind the same signatures as :mod:`.reference` (2-D weights only)."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _kernels
from .reference import check_positive

__all__ = ["feedback", "first_spike", "plasticity", "sort_spikes"]


def _plain(x: Tensor) -> Tensor:
    return x.detach().contiguous()


def sort_spikes(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = z.shape[-1]
    dense = _plain(z).reshape(-1, inputs) if inputs else z.new_empty(z.shape[:-1].numel(), 0)
    rows = dense.shape[0]
    times, channel = z.new_empty(rows * inputs), z.new_empty(rows * inputs, dtype=torch.int32)
    rest = z.new_empty(rows)
    row = _kernels.sort_spikes(dense, times, channel, rest, torch.get_num_threads())
    if row >= 0:
        check_positive(dense)
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
