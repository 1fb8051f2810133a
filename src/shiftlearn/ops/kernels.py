"""The C++ kernels on tensors of the CPU. What they get is not looked at here: see :mod:`.cpu`."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from . import _kernels, reference, rules

Sorted = tuple[Tensor, Tensor, Tensor, Tensor]

_MAPPED = 2**25  # bytes: glibc maps larger blocks, and unmaps them when they are freed, so that they are always fresh

RULES = (rules.shifting, rules.normalized, rules.exact)  # in the order of the kernel's enum

_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threads() -> int:
    """torch's number of threads; 1 in a forked process, where OpenMP would wait for the parent's threads for ever."""
    return 1 if _forked else torch.get_num_threads()


_KERNELS = {torch.float32: _kernels.float32, torch.float64: _kernels.float64}
set_in_use = _kernels.set_in_use


def run(name: str, dtype: torch.dtype, inputs: Sequence[Any], outputs: Sequence[Any], *sizes: int) -> Any:
    """Call a kernel, which gets addresses of tensors. (Arrays would take ten times as long to hand over.)"""
    held = [x.contiguous() if isinstance(x, Tensor) else x for x in inputs]  # until the kernel has run
    given = [x.data_ptr() if isinstance(x, Tensor) else x for x in (*held, *outputs)]
    return getattr(_KERNELS[dtype], name)(*given, *sizes)


def well_formed(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, inputs: int) -> bool:
    """Whether events are what the other kernels may read."""
    fine: bool = run("well_formed", z.dtype, [z, channel, offsets, rest], [], z.numel(), rest.numel(), inputs)
    return fine


def sort_spikes(z: Tensor) -> Sorted:
    inputs, rows = z.shape[-1], z.shape[:-1].numel()
    times, channel = z.new_empty(rows * inputs), z.new_empty(rows * inputs, dtype=torch.int32)
    rest = z.new_empty(rows)
    if run("sort_spikes", z.dtype, [z], [times, channel, rest], rows, inputs, threads()) >= 0:
        reference.check_positive(z.reshape(rows, inputs))
    return times, channel, torch.arange(rows + 1) * inputs, rest


def sort_levels(levels: Tensor, of_level: Tensor) -> Sorted:
    rows, inputs = levels.shape
    times, channel = of_level.new_empty(rows * inputs), of_level.new_empty(rows * inputs, dtype=torch.int32)
    rest, offsets = of_level.new_empty(rows), torch.empty(rows + 1, dtype=torch.int64)
    results = [times, channel, offsets, rest]
    spikes = run("sort_levels", of_level.dtype, [levels, of_level], results, rows, inputs, threads())
    if spikes < 0:
        raise InputError(f"of_level must be positive or inf, got {of_level[~(of_level > 0)][0].item():g}")
    return times[:spikes], channel[:spikes], offsets, rest


def sort_windows(images: Tensor, size: int) -> Sorted:
    _, channels, height, width = images.shape
    rows, inputs = len(images) * (height - size + 1) * (width - size + 1), channels * size**2
    times, channel = images.new_empty(rows * inputs), images.new_empty(rows * inputs, dtype=torch.int32)
    rest = images.new_empty(rows)
    sizes = *images.shape, size, threads()
    if run("sort_windows", images.dtype, [images], [times, channel, rest], *sizes) >= 0:
        reference.check_positive(images.flatten(1))
    return times, channel, torch.arange(rows + 1) * inputs, rest


def sum_windows(values: Tensor, shape: Sequence[int], size: int) -> Tensor:
    images = values.new_empty(shape)
    run("sum_windows", values.dtype, [values], [images], *shape, size, threads())
    return images


def fire(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor, delay: Tensor | None
) -> tuple[Any, ...]:
    """z_out (None without delays), u, count and drive."""
    *lead, inputs, outputs = shift.shape
    members = math.prod(lead)
    size = *lead, rest.shape[0] // max(members, 1), outputs
    u, drive, count = shift.new_empty(size), shift.new_empty(size), shift.new_empty(size, dtype=torch.int32)
    z_out = None if delay is None else shift.new_empty(size)
    sizes = members, size[-2], inputs, outputs, threads()
    given = [z, channel, offsets, rest, shift, 0 if delay is None else delay]
    if not run("first_spike", z.dtype, given, [u, count, drive, 0 if z_out is None else z_out], *sizes):
        assert delay is not None
        reference.check_delay(delay)
    return z_out, u, count, drive


def plasticity(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, a: Tensor, c: Tensor, num_channels: int
) -> Tensor:
    *lead, batch, outputs = a.shape
    result = a.new_empty(*lead, num_channels, outputs)
    sizes = math.prod(lead), batch, num_channels, outputs, threads()
    run("plasticity", z.dtype, [z, channel, offsets, rest, count, a, c], [result], *sizes)
    return result


def feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    *lead, batch, outputs = f.shape
    inputs = weight.shape[-2]
    result = f.new_empty(*lead, batch, inputs)
    sizes = math.prod(lead), batch, inputs, outputs, threads()
    run("feedback", z.dtype, [z, channel, offsets, rest, count, f, weight], [result], *sizes)
    return result


def coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of one of :data:`RULES`."""
    *lead, batch, outputs = u.shape
    a, c, f, g = u.new_empty(u.shape), u.new_empty(u.shape), u.new_empty(u.shape), delay.new_empty(delay.shape)
    given = [RULES.index(rules.get(rule)), delta, u, drive, delay, min_drive]
    run("coefficients", u.dtype, given, [a, c, f, g], math.prod(lead), batch, outputs, threads())
    return a, c, f, g


def room_for_adjustments(
    shift: Tensor, delay: Tensor, batch: int, to_input: bool, to_shift: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """To the inputs, the weights and the delays; empty where not wanted, which has the address 0."""
    heard = shift.new_empty(*shift.shape[:-2], batch, shift.shape[-2]) if to_input else shift.new_empty(0)
    learned = shift.new_empty(shift.shape) if to_shift else shift.new_empty(0)
    for x in (heard, learned):
        if x.nbytes > _MAPPED:
            _kernels.use_large_pages(x.data_ptr(), x.nbytes)
    return heard, learned, delay.new_empty(delay.shape)


def adjustments(
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    count: Tensor,
    delta: Tensor,
    u: Tensor,
    drive: Tensor,
    shift: Tensor,
    delay: Tensor,
    weight: Tensor | None,
    rule: str,
    min_drive: float,
    to_input: bool,
    to_shift: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Of one of :data:`RULES`: to the inputs, the weights and the delays; empty where not wanted."""
    *lead, inputs, outputs = shift.shape
    batch = u.shape[-2]
    results = room_for_adjustments(shift, delay, batch, to_input, to_shift)
    given = [z, channel, offsets, rest, count, delta, u, drive, delay, shift if weight is None else weight, min_drive]
    number = RULES.index(rules.get(rule))
    sizes = math.prod(lead), batch, inputs, outputs, threads()
    run("adjustments", z.dtype, [number, *given], results, *sizes)
    return results


def cross_entropy(z: Tensor, target: Tensor, beta: float, smoothing: float, horizon: float) -> tuple[Tensor, Tensor]:
    loss, error = z.new_empty(z.shape[0]), z.new_empty(z.shape)
    if run("cross_entropy", z.dtype, [z, target, beta, smoothing, horizon], [loss, error], *z.shape) >= 0:
        reference.check_classes(target, z.shape[1])
    return loss, error
