"""The C++ kernels behind the same signatures as :mod:`.reference`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import rules
from . import _kernels, reference

__all__ = ["coefficients", "cross_entropy", "feedback", "first_spike", "plasticity", "sort_levels", "sort_spikes"]

# glibc returns freed memory to the system beyond twice the largest block it ever unmapped, and a training step would
# then pay for fresh pages every time. Freeing one block of 31 MiB, never touched, raises that bound to 62 MiB.
_block = torch.empty(31 * 2**20, dtype=torch.uint8)
del _block

_RULES = (rules.shifting, rules.normalized, rules.exact)  # in the order of the kernel's enum


def _arrays(*tensors: Tensor) -> list[Any]:
    """The tensors' memory, without a copy if contiguous. (The kernels take NumPy arrays quicker than tensors.)"""
    return [x.detach().contiguous().numpy() for x in tensors]


def sort_spikes(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs, rows = z.shape[-1], z.shape[:-1].numel()
    dense = z.reshape(rows, inputs)
    times, channel = z.new_empty(rows * inputs), z.new_empty(rows * inputs, dtype=torch.int32)
    rest = z.new_empty(rows)
    invalid = _kernels.sort_spikes(*_arrays(dense, times, channel, rest), torch.get_num_threads())
    if invalid >= 0:
        reference.check_positive(dense)
    return times, channel, torch.arange(rows + 1) * inputs, rest


def sort_levels(levels: Tensor, of_level: Tensor) -> tuple[Tensor, Tensor, Tensor, int, Tensor]:
    rows, inputs = levels.shape
    times, channel = of_level.new_empty(rows * inputs), of_level.new_empty(rows * inputs, dtype=torch.int32)
    rest, offsets = of_level.new_empty(rows), torch.empty(rows + 1, dtype=torch.int64)
    _kernels.sort_levels(*_arrays(levels, of_level, times, channel, offsets, rest), torch.get_num_threads())
    spikes = int(offsets[-1])
    return times[:spikes], channel[:spikes], offsets, inputs, rest


def _members(x: Tensor, *shape: int) -> Tensor:
    """``x`` with its leading dimensions, if any, as one: the members of an ensemble."""
    return x.reshape(x.shape[: -len(shape)].numel(), *shape)


def first_spike(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    *lead, inputs, outputs = shift.shape
    shift = _members(shift, inputs, outputs)
    members = shift.shape[0]
    size = members, rest.shape[0] // max(members, 1), outputs
    u, drive, count = shift.new_empty(size), shift.new_empty(size), shift.new_empty(size, dtype=torch.int32)
    _kernels.first_spike(*_arrays(z, channel, offsets, rest, shift, u, count, drive), torch.get_num_threads())
    u, count, drive = (x.view(*lead, *size[1:]) for x in (u, count, drive))
    return u, count, drive


def plasticity(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, a: Tensor, c: Tensor, num_channels: int
) -> Tensor:
    *lead, rows, outputs = a.shape
    parts = [_members(x, rows, outputs) for x in (count, a, c)]
    result = a.new_empty(parts[0].shape[0], num_channels, outputs)
    _kernels.plasticity(*_arrays(z, channel, offsets, rest, *parts, result), torch.get_num_threads())
    return result.view(*lead, num_channels, outputs)


def feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    *lead, rows, outputs = f.shape
    inputs = weight.shape[-2]
    parts = _members(count, rows, outputs), _members(f, rows, outputs), _members(weight, inputs, outputs)
    result = f.new_empty(parts[0].shape[0], rows, inputs)
    _kernels.feedback(*_arrays(z, channel, offsets, rest, *parts, result), torch.get_num_threads())
    return result.view(*lead, rows, inputs)


def coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    function = rules.get(rule)
    if function not in _RULES:
        return reference.coefficients(rule, delta, u, drive, delay, min_drive)
    a, c, f = (torch.empty_like(u, memory_format=torch.contiguous_format) for _ in range(3))
    g = torch.empty_like(delay, memory_format=torch.contiguous_format)
    rows, outputs = u.shape[-2:]
    inputs = *(_members(x, rows, outputs) for x in (delta, u, drive)), _members(delay, outputs)
    results = *(_members(x, rows, outputs) for x in (a, c, f)), _members(g, outputs)
    _kernels.coefficients(
        _RULES.index(function), *_arrays(*inputs), min_drive, *_arrays(*results), torch.get_num_threads()
    )
    return a, c, f, g


def cross_entropy(z: Tensor, target: Tensor, beta: float, smoothing: float, horizon: float) -> tuple[Tensor, Tensor]:
    loss, error = z.new_empty(z.shape[0]), torch.empty_like(z, memory_format=torch.contiguous_format)
    if _kernels.cross_entropy(*_arrays(z, target), beta, smoothing, horizon, *_arrays(loss, error)) >= 0:
        reference.check_classes(target, z.shape[1])
    return loss, error
