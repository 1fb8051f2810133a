"""The C++ kernels, behind the same signatures as :mod:`..reference`, and a whole layer's forward and backward pass.

Kernels get addresses. Shapes and dtypes are those that :mod:`..signatures` has checked; the kernels themselves look at
the content of events, and refuse what would make them read beyond an array.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from ...errors import InputError
from .. import _kernels, checks, reference, rules, signatures
from ..signatures import Events

RULES = (rules.shifting, rules.normalized, rules.exact)  # in the order of the kernels' enum

_MAPPED = 2**25  # bytes: glibc maps larger blocks, and unmaps them when they are freed, so that they are always fresh
_FINE, _NOT_WELL_FORMED, _NOT_POSITIVE = -1, -2, -3  # what a kernel returns; or the row of z that is not positive

_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threads() -> int:
    """torch's number of threads; 1 in a forked process, where OpenMP would wait for the parent's threads for ever."""
    return 1 if _forked else torch.get_num_threads()


_NUMBERS = frozenset((int, float, bool))
_KERNELS = {torch.float32: _kernels.float32, torch.float64: _kernels.float64}


def run(name: str, dtype: torch.dtype, inputs: Sequence[Any], outputs: Sequence[Any], *sizes: int) -> Any:
    """Call a kernel, which gets addresses of tensors. (Arrays would take ten times as long to hand over.)"""
    held = [x if type(x) in _NUMBERS else x.contiguous() for x in inputs]  # until the kernel has run
    given = [x if type(x) in _NUMBERS else x.data_ptr() for x in (*held, *outputs)]
    return getattr(_KERNELS[dtype], name)(*given, *sizes)


def sort_spikes(z: Tensor) -> Events:
    times, channel, _, rest = events = signatures.sort_spikes(z)
    rows, inputs = rest.numel(), z.shape[-1]
    if run("sort_spikes", z.dtype, [z], [times, channel, rest], rows, inputs, threads()) >= 0:
        checks.positive(z.reshape(rows, inputs))
    return events


def sort_levels(levels: Tensor, of_level: Tensor) -> Events:
    times, channel, offsets, rest = events = signatures.sort_levels(levels, of_level)
    spikes = run("sort_levels", of_level.dtype, [levels, of_level], events, *levels.shape, threads())
    if spikes < 0:
        raise InputError(f"of_level must be positive or inf, got {of_level[~(of_level > 0)][0].item():g}")
    return times[:spikes], channel[:spikes], offsets, rest


def sort_windows(images: Tensor, size: int) -> Events:
    times, channel, _, rest = events = signatures.sort_windows(images, size)
    if run("sort_windows", images.dtype, [images], [times, channel, rest], *images.shape, size, threads()) >= 0:
        checks.positive(images.flatten(1))
    return events


def sum_windows(values: Tensor, shape: Sequence[int], size: int) -> Tensor:
    images = signatures.sum_windows(values, shape, size)
    run("sum_windows", values.dtype, [values], [images], *shape, size, threads())
    return images


def first_spike(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    results = signatures.first_spike(z, channel, offsets, rest, shift)
    inputs, outputs = shift.shape[-2:]
    _require_well_formed(z, channel, offsets, rest, inputs)
    sizes = math.prod(shift.shape[:-2]), results[0].shape[-2], inputs, outputs, threads()
    run("first_spike", z.dtype, [z, channel, offsets, rest, shift], results, *sizes)
    return results


def plasticity(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, a: Tensor, c: Tensor, num_channels: int
) -> Tensor:
    result = signatures.plasticity(z, channel, offsets, rest, count, a, c, num_channels)
    _require_well_formed(z, channel, offsets, rest, num_channels)
    *lead, batch, outputs = a.shape
    sizes = math.prod(lead), batch, num_channels, outputs, threads()
    run("plasticity", z.dtype, [z, channel, offsets, rest, count, a, c], [result], *sizes)
    return result


def feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    result = signatures.feedback(z, channel, offsets, rest, count, f, weight)
    *lead, batch, outputs = f.shape
    inputs = weight.shape[-2]
    _require_well_formed(z, channel, offsets, rest, inputs)
    sizes = math.prod(lead), batch, inputs, outputs, threads()
    run("feedback", z.dtype, [z, channel, offsets, rest, count, f, weight], [result], *sizes)
    return result


def coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    results = signatures.coefficients(rule, delta, u, drive, delay, min_drive)
    if rules.get(rule) not in RULES:
        return reference.coefficients(rule, delta, u, drive, delay, min_drive)
    *lead, batch, outputs = u.shape
    given = [RULES.index(rules.get(rule)), delta, u, drive, delay, min_drive]
    run("coefficients", u.dtype, given, results, math.prod(lead), batch, outputs, threads())
    return results


def cross_entropy(
    z: Tensor, target: Tensor, weight: Tensor | None, among: int, beta: float, smoothing: float, horizon: float
) -> tuple[Tensor, Tensor, Tensor]:
    results = signatures.cross_entropy(z, target, weight, among, beta, smoothing, horizon)
    given = [z, target, 0 if weight is None else weight, among, beta, smoothing, horizon]
    if run("cross_entropy", z.dtype, given, results, *z.shape) >= 0:
        checks.classes(target, z.shape[1])
    return results


def _require_well_formed(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, inputs: int) -> None:
    if not run("well_formed", z.dtype, [z, channel, offsets, rest], [], z.numel(), rest.numel(), inputs):
        checks.content(z, channel, offsets, inputs, rest)


def forward(
    dense: Tensor | None, events: Events | None, shift: Tensor, delay: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    """A whole layer at once: its spike times, of ``events`` or else of the dense z that it sorts itself.

    Returns:
        z_out (..., batch, out), and, if ``keep``, what :func:`backward` is to know; nobody else can read it.
    """
    *lead, inputs, outputs = shift.shape
    members = math.prod(lead)
    if events is None:
        assert dense is not None
        batch, given = dense.shape[-2], [dense, 0, 0, 0, 0, 0]
    else:
        checks.events(*events, inputs)
        batch, given = signatures.rows_of_member(events[3], lead), [0, *events, events[0].numel()]
    isa = _kernels.set_in_use()  # the trace's size, layout and content are of one set, even if another takes its place
    dimensions = members * batch, inputs, outputs
    size = run("trace_bytes", shift.dtype, [isa], [], events is not None, *dimensions, keep)
    trace = torch.empty(size, dtype=torch.uint8, device=shift.device)
    z_out = shift.new_empty(*lead, batch, outputs)
    sizes = members, batch, inputs, outputs, threads()
    answer = run("forward", shift.dtype, [isa, *given, shift, delay, keep], [trace, z_out], *sizes)
    if answer != _FINE:
        _refuse(answer, dense, events, delay, inputs)
    return z_out, trace


def backward(
    delta: Tensor,
    trace: Tensor,
    dense: Tensor | None,
    events: Events | None,
    shift: Tensor,
    delay: Tensor,
    weight: Tensor,
    rule: str,
    min_drive: float,
    to_input: bool,
    to_shift: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """What the error ``delta`` makes of a layer, by one of :data:`RULES`: gradients of inputs, weights and delays.

    The first two are empty where they are not wanted. ``weight`` carries the error back.
    """
    *lead, inputs, outputs = shift.shape
    batch = delta.shape[-2]
    given = [dense, 0, 0, 0, 0, 0] if events is None else [0, *events, events[0].numel()]
    results = room_for_gradients(shift, delay, batch, to_input, to_shift)
    settings = RULES.index(rules.get(rule)), *given, trace, delta, delay, weight, min_drive
    sizes = math.prod(lead), batch, inputs, outputs, threads()
    if not run("backward", shift.dtype, settings, results, *sizes):
        _refuse(_NOT_WELL_FORMED, None, events, delay, inputs)
    return results


def room_for_gradients(
    shift: Tensor, delay: Tensor, batch: int, to_input: bool, to_shift: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """For the inputs, the weights and the delays; empty where not wanted, which has the address 0."""
    of_input = shift.new_empty(*shift.shape[:-2], batch, shift.shape[-2]) if to_input else shift.new_empty(0)
    of_shift = shift.new_empty(shift.shape) if to_shift else shift.new_empty(0)
    for x in (of_input, of_shift):
        if x.nbytes > _MAPPED:
            _kernels.use_large_pages(x.data_ptr(), x.nbytes)
    return of_input, of_shift, delay.new_empty(delay.shape)


def _refuse(answer: int, dense: Tensor | None, events: Events | None, delay: Tensor, inputs: int) -> NoReturn:
    """InputError that says what a kernel saw."""
    if answer == _NOT_WELL_FORMED and events:
        z, channel, offsets, rest = events
        checks.content(z, channel, offsets, inputs, rest)
    elif answer == _NOT_POSITIVE:  # a delay
        checks.delays(delay)
    elif dense is not None:
        checks.positive(dense.reshape(-1, inputs))
    raise AssertionError(f"a kernel refused its input ({answer}), in which nothing is wrong")
