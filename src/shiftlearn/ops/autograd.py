"""The backward passes: one autograd function for a layer, whose backward pass is its local rule, and one for the loss.

Both are called directly for plain tensors on the CPU, where torch's dispatcher would take a tenth of a training step of
a network of 784-800-10, and through the dispatcher for what torch compiles or traces, and on other devices.
"""

from __future__ import annotations

import functools
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._C import _functorch

from . import checks
from .derivatives import FirstOrder
from .dispatch import cpu
from .signatures import Events

__all__ = ["CrossEntropy", "Fire", "direct"]

_ops = torch.ops.shiftlearn
_NONE = None, None, None, None


def direct(*tensors: Tensor | None) -> bool:
    """True if the dispatcher can be bypassed: the C++ kernels are called without it."""
    return cpu is not None and not checks.DEBUG and checks.plain(*tensors)


class Fire(FirstOrder):
    """A layer: u times the delay forward, the rule backward.

    Args (after ``past``, whether it is called past the dispatcher): those of the op ``fire``. Past the dispatcher
    the events may be None, which are then those of the dense z.
    """

    @staticmethod
    def forward(ctx: Any, past: bool, *given: Any) -> Any:
        dense, z, channel, offsets, rest, shift, delay, feedback, ctx.rule, ctx.min_drive = given
        ctx.past = past
        if past:
            z_out, trace = cpu.forward(dense, _events(z, channel, offsets, rest), shift, delay, keep=True)
            ctx.save_for_backward(dense, z, channel, offsets, rest, shift, delay, feedback, trace)
            return z_out
        with torch._C._AutoDispatchBelowAutograd():
            z_out, *kept = _ops.fire(*given)
        ctx.mark_non_differentiable(*kept)
        ctx.save_for_backward(dense, z, channel, offsets, rest, shift, delay, feedback, *kept)
        return z_out, *kept

    @staticmethod
    def backward(ctx: Any, delta: Tensor, *_: Tensor) -> tuple[Any, ...]:
        dense, z, channel, offsets, rest, shift, delay, feedback, *kept = ctx.saved_tensors
        events, weight = _events(z, channel, offsets, rest), shift if feedback is None else feedback
        to_input, to_shift = ctx.needs_input_grad[1], ctx.needs_input_grad[6]
        # Of a batch of errors (is_grads_batched) torch gives an op one after the other.
        several = _functorch.is_legacy_batchedtensor(delta) or _functorch.is_batchedtensor(delta)
        if ctx.past and not several:
            wanted = ctx.rule, ctx.min_drive, to_input, to_shift
            grads: Any = cpu.backward(delta, kept[0], dense, events, shift, delay, weight, *wanted)
        else:
            events = events or _ops.sort_spikes(dense)
            u, count, drive = _ops.first_spike(*events, shift) if ctx.past else kept
            a, c, f, g = _ops.coefficients(ctx.rule, delta, u, drive, delay, ctx.min_drive)
            grads = (
                _ops.feedback(*events, count, f, weight) if to_input else None,
                _ops.plasticity(*events, count, a, c, shift.shape[-2]) if to_shift else None,
                g,
            )
        of_input, of_shift, of_delay = grads
        return (None, of_input if to_input else None, *_NONE, of_shift if to_shift else None, of_delay, *_NONE[:3])


def _events(z: Tensor | None, channel: Any, offsets: Any, rest: Any) -> Events | None:
    return None if z is None else (z, channel, offsets, rest)


class CrossEntropy(FirstOrder):
    """The op of that name: the loss, whose gradients by z and by the rows' weights it computes beforehand."""

    @staticmethod
    def forward(ctx: Any, past: bool, *given: Any) -> tuple[Tensor, Tensor, Tensor]:
        z, target, weight, among, *settings = given
        if past:
            loss, error, rows = cpu.cross_entropy(z, target, weight, among, *settings)
        else:
            with torch._C._AutoDispatchBelowAutograd():
                loss, error, rows = _ops.cross_entropy(z, target, weight, among, *settings)
        ctx.mark_non_differentiable(error, rows)
        ctx.save_for_backward(error, rows)
        ctx.inputs, ctx.among = (z,) if weight is None else (z, weight), among
        return loss, error, rows

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        error, rows = ctx.saved_tensors
        of_weight = grad[0] * rows / ctx.among if ctx.needs_input_grad[3] else None
        return None, grad[0] * error, None, of_weight, *_NONE


class _Windows(FirstOrder):
    """Windows of an image; their gradients are summed into the image's."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, size: int) -> Tensor:
        ctx.shape, ctx.size = images.shape, size
        ctx.inputs = (images,)
        with torch._C._AutoDispatchBelowAutograd():
            result: Tensor = _ops.windows(images, size)
        return result

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, None]:
        return _ops.sum_windows(received[0], ctx.shape, ctx.size), None


class _NoDerivative(FirstOrder):
    """An op without a gradient."""

    @staticmethod
    def forward(ctx: Any, name: str, *inputs: Any) -> Any:
        ctx.name = name
        with torch._C._AutoDispatchBelowAutograd():
            return getattr(_ops, name)(*inputs)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> NoReturn:
        raise NotImplementedError(f"ops.{ctx.name} has no gradient; ops.fire, which the layers call, has one")


for _name, _function in (("fire", Fire), ("cross_entropy", CrossEntropy)):
    torch.library.impl(f"shiftlearn::{_name}", "Autograd", functools.partial(_function.of_op, False))
torch.library.impl("shiftlearn::windows", "Autograd", _Windows.of_op)
for _name in ("first_spike", "plasticity", "feedback", "sum_windows"):
    torch.library.impl(f"shiftlearn::{_name}", "Autograd", functools.partial(_NoDerivative.of_op, _name))
