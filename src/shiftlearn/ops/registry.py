"""The torch ops below the faces: plain tensors in and out, shapes for tracing, autograd, one kernel per device.

On the CPU an op runs the C++ kernels; elsewhere, and for weights with leading dimensions, the readable reference.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from . import reference

try:
    from . import cpu
except ImportError:  # built without a compiler
    cpu = None  # type: ignore[assignment]
    warnings.warn(
        "shiftlearn was installed without its C++ kernels (no working compiler was found); the readable reference "
        "runs instead, some 50 to 100 times slower. Install a C++ compiler and reinstall shiftlearn.",
        stacklevel=2,
    )


def _cpu_kernel(name: str, weight: int) -> Any:
    """The C++ kernel where it applies; argument number ``weight`` shows whether there are leading dimensions."""

    def run(*args: Any) -> Any:
        return getattr(cpu if args[weight].ndim == 2 else reference, name)(*args)

    return run


@torch.library.custom_op("shiftlearn::sort_spikes", mutates_args=())
def _sort_spikes(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return reference.sort_spikes(z)


@_sort_spikes.register_fake
def _(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows, size = math.prod(z.shape[:-1]), z.numel()
    return (
        z.new_empty(size),
        z.new_empty(size, dtype=torch.int32),
        z.new_empty(rows + 1, dtype=torch.int64),
        z.new_empty(rows),
    )


@torch.library.custom_op("shiftlearn::first_spike", mutates_args=())
def _first_spike(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    u, count, drive = reference.first_spike(z, channel, offsets, rest, shift)
    return u, count, drive


def _per_neuron(rest: Tensor, shift: Tensor) -> list[int]:
    members = shift.shape[:-2].numel() if shift.ndim > 2 else 1
    return [*shift.shape[:-2], rest.shape[0] // members, shift.shape[-1]]


@_first_spike.register_fake
def _(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    size = _per_neuron(rest, shift)
    return shift.new_empty(size), shift.new_empty(size, dtype=torch.int32), shift.new_empty(size)


@torch.library.custom_op("shiftlearn::plasticity", mutates_args=())
def _plasticity(
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    count: Tensor,
    a: Tensor,
    c: Tensor,
    num_channels: int,
) -> Tensor:
    return reference.plasticity(z, channel, offsets, rest, count, a, c, num_channels)


@_plasticity.register_fake
def _(
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    count: Tensor,
    a: Tensor,
    c: Tensor,
    num_channels: int,
) -> Tensor:
    return a.new_empty([*a.shape[:-2], num_channels, a.shape[-1]])


@torch.library.custom_op("shiftlearn::feedback", mutates_args=())
def _feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    return reference.feedback(z, channel, offsets, rest, count, f, weight)


@_feedback.register_fake
def _(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor) -> Tensor:
    return f.new_empty([*f.shape[:-1], weight.shape[-2]])


@torch.library.custom_op("shiftlearn::coefficients", mutates_args=())
def _coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return reference.coefficients(rule, delta, u, drive, delay, min_drive)


@_coefficients.register_fake
def _(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.empty_like(u), torch.empty_like(u), torch.empty_like(u), torch.empty_like(delay)


@torch.library.custom_op("shiftlearn::fire", mutates_args=())
def _fire(
    dense: Tensor | None,
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    shift: Tensor,
    delay: Tensor,
    feedback: Tensor | None,
    rule: str,
    min_drive: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z_out, u, count and drive. ``dense`` is the tensor that was sorted into the events: its gradient's address."""
    u, count, drive = torch.ops.shiftlearn.first_spike(z, channel, offsets, rest, shift)
    if u.device.type == "cpu" and not (delay > 0).all():
        raise InputError(
            f"delay must be positive (it multiplies z > 0), got {delay[~(delay > 0)][0].item():g}: "
            "project it after the optimizer's step (shiftlearn.nn.project_delays)"
        )
    return u * delay.unsqueeze(-2), u, count, drive


@_fire.register_fake
def _(
    dense: Tensor | None,
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    shift: Tensor,
    delay: Tensor,
    feedback: Tensor | None,
    rule: str,
    min_drive: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    size = _per_neuron(rest, shift)
    count = shift.new_empty(size, dtype=torch.int32)
    return shift.new_empty(size), shift.new_empty(size), count, shift.new_empty(size)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, z, channel, offsets, rest, shift, delay, feedback, ctx.rule, ctx.min_drive = inputs
    _, u, count, drive = output
    ctx.mark_non_differentiable(u, count, drive)
    ctx.save_for_backward(z, channel, offsets, rest, shift, delay, feedback, u, count, drive)


def _backward(ctx: Any, delta: Tensor, *_: Any) -> tuple[Any, ...]:
    z, channel, offsets, rest, shift, delay, weight, u, count, drive = ctx.saved_tensors
    events = (z, channel, offsets, rest)
    a, c, f, g = torch.ops.shiftlearn.coefficients(ctx.rule, delta, u, drive, delay, ctx.min_drive)
    to_input = to_shift = to_delay = None
    if ctx.needs_input_grad[0]:
        to_input = torch.ops.shiftlearn.feedback(*events, count, f, shift if weight is None else weight)
    if ctx.needs_input_grad[5]:
        to_shift = torch.ops.shiftlearn.plasticity(*events, count, a, c, shift.shape[-2])
    if ctx.needs_input_grad[6]:
        to_delay = g
    return to_input, None, None, None, None, to_shift, to_delay, None, None, None


torch.library.register_autograd("shiftlearn::fire", _backward, setup_context=_save)

if cpu is not None:
    _sort_spikes.register_kernel("cpu", cpu.sort_spikes)
    _first_spike.register_kernel("cpu", _cpu_kernel("first_spike", 4))
    _plasticity.register_kernel("cpu", _cpu_kernel("plasticity", 5))
    _feedback.register_kernel("cpu", _cpu_kernel("feedback", 6))
    _coefficients.register_kernel("cpu", _cpu_kernel("coefficients", 2))
