"""A layer and a loss in plain eager mode on the CPU: autograd calls the kernels itself.

The way through torch's dispatcher, a second look at spikes that were sorted here, and a tensor for everything that a
layer remembers would take a tenth of the step of a network of 784-800-10. What torch compiles or traces, and other
devices, go that way: see :mod:`.registry`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._C import _functorch
from torch.autograd import forward_ad
from torch.nn import Parameter

from . import checks, reference, rules
from .derivatives import FirstOrder, transformed
from .registry import cpu

if cpu is not None:
    from . import kernels

Events = tuple[Tensor, Tensor, Tensor, Tensor]
_FINE, _NOT_WELL_FORMED, _NOT_POSITIVE = -1, -2, -3  # what a kernel tells; or the row of `dense` that is not positive
_NONE_GIVEN = None, None, None, None


def plain(*tensors: Tensor | None) -> bool:
    """True for tensors on the CPU that nobody traces or wraps: what they hold can be looked at, and is all there is."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    if transformed() or forward_ad._current_level >= 0:
        return False
    return all(x is None or (type(x) in (Tensor, Parameter) and x.device.type == "cpu") for x in tensors)


def serves(*tensors: Tensor | None) -> bool:
    """Whether nobody but autograd has to see what is done with these tensors."""
    return cpu is not None and not checks.DEBUG and plain(*tensors)


def fire(
    dense: Tensor | None,
    events: Events | None,
    shift: Tensor,
    delay: Tensor,
    feedback: Tensor | None,
    rule: str,
    min_drive: float,
) -> Tensor:
    """z_out of a layer with one of the rules of the kernels, of arguments that fit together.

    Without ``events``, they are those of ``dense``.
    """
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (dense, shift, delay)):
        z_out: Tensor = Fire.apply(dense, events, shift, delay, feedback, rule, min_drive)  # type: ignore[no-untyped-call]
        return z_out
    return _forward(dense, events, shift, delay, keep=False)[0]


def _forward(
    dense: Tensor | None, events: Events | None, shift: Tensor, delay: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    """z_out, and what the kernels want to know on the way back, if ``keep``; nobody else reads it."""
    *lead, inputs, outputs = shift.shape
    members = math.prod(lead)
    if events is None:
        assert dense is not None
        batch, given = dense.shape[-2], [dense, 0, 0, 0, 0, 0]
    else:
        checks.events(*events, inputs)
        batch, given = events[3].numel() // members, [0, *events, events[0].numel()]
    isa = kernels.set_in_use()  # the trace's size, layout and content are of one set, even if another takes its place
    dimensions = members * batch, inputs, outputs
    size = kernels.run("trace_bytes", shift.dtype, [isa], [], events is not None, *dimensions, keep)
    trace = torch.empty(size, dtype=torch.uint8, device=shift.device)
    z_out = shift.new_empty(*lead, batch, outputs)
    sizes = members, batch, inputs, outputs, kernels.threads()
    told = kernels.run("forward", shift.dtype, [isa, *given, shift, delay, keep], [trace, z_out], *sizes)
    if told != _FINE:
        _refuse(told, dense, events, delay, inputs)
    return z_out, trace


class Fire(FirstOrder):
    """:func:`fire` and its way back."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        dense, events, shift, delay, feedback, rule, min_drive = given
        z_out, trace = _forward(dense, events, shift, delay, keep=True)
        ctx.settings = kernels.RULES.index(rules.get(rule)), min_drive
        ctx.save_for_backward(trace, dense, shift, delay, feedback, *(events or ()))
        return z_out

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Any, ...]:
        trace, dense, shift, delay, feedback, *events = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        # Of a batch of errors (is_grads_batched) torch gives an op one after the other.
        several = _functorch.is_legacy_batchedtensor(delta) or _functorch.is_batchedtensor(delta)
        back: Any = torch.ops.shiftlearn.go_back if several else _go_back
        weight = shift if feedback is None else feedback
        to_input, to_shift, to_delay = back(
            delta,
            trace,
            None if events else dense,
            shift,
            delay,
            weight,
            *(events or _NONE_GIVEN),
            *ctx.settings,
            *wanted,
        )
        results = to_input if wanted[0] else None, to_shift if wanted[1] else None
        return results[0], None, results[1], to_delay, None, None, None


def _go_back(
    delta: Tensor,
    trace: Tensor,
    dense: Tensor | None,
    shift: Tensor,
    delay: Tensor,
    weight: Tensor,
    z: Tensor | None,
    channel: Tensor | None,
    offsets: Tensor | None,
    rest: Tensor | None,
    rule: int,
    min_drive: float,
    to_input: bool,
    to_shift: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """What inputs, weights and delays get; nothing in the place of what is not wanted."""
    *lead, inputs, outputs = shift.shape
    batch = delta.shape[-2]
    given = [0 if x is None else x for x in (dense, z, channel, offsets, rest)]
    results = kernels.room_for_adjustments(shift, delay, batch, to_input, to_shift)
    told = kernels.run(
        "backward",
        shift.dtype,
        [rule, *given, 0 if z is None else z.numel(), trace, delta, delay, weight, min_drive],
        results,
        *(math.prod(lead), batch, inputs, outputs, kernels.threads()),
    )
    if not told:
        _refuse(_NOT_WELL_FORMED, None, [x for x in (z, channel, offsets, rest) if x is not None], delay, inputs)
    return results


if cpu is not None:
    torch.library.define(
        "shiftlearn::go_back",
        "(Tensor delta, Tensor trace, Tensor? dense, Tensor shift, Tensor delay, Tensor weight, Tensor? z,"
        " Tensor? channel, Tensor? offsets, Tensor? rest, int rule, float min_drive, bool to_input, bool to_shift)"
        " -> (Tensor, Tensor, Tensor)",
    )
    torch.library.impl("shiftlearn::go_back", "cpu", _go_back)


def _refuse(told: int, dense: Tensor | None, events: Sequence[Tensor] | None, delay: Tensor, inputs: int) -> NoReturn:
    """InputError that says what a kernel saw."""
    if told == _NOT_WELL_FORMED and events:
        z, channel, offsets, rest = events
        checks.refuse(z, channel, offsets, rest, inputs)
    elif told == _NOT_POSITIVE:  # a delay
        reference.check_delay(delay)
    elif dense is not None:
        reference.check_positive(dense.reshape(-1, inputs))
    raise AssertionError(f"a kernel refused its input ({told}), in which nothing is wrong")


class CrossEntropy(FirstOrder):
    """Of the op of that name, the rows' losses together, divided by ``among``."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, target: Tensor, among: int, beta: float, smoothing: float, horizon: float
    ) -> Tensor:
        loss, error = z.new_empty(()), z.new_empty(z.shape)
        given = [z, target, beta, smoothing, horizon, among]
        if kernels.run("loss_of_all", z.dtype, given, [loss, error], *z.shape) >= 0:
            reference.check_classes(target, z.shape[1])
        ctx.save_for_backward(error)
        ctx.inputs = (z,)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad[0] * ctx.saved_tensors[0], *[None] * 5
