"""The torch ops below the faces: plain tensors in and out, shapes for tracing, autograd, one kernel per device.

On the CPU an op runs the C++ kernels; on a GPU the Triton kernels if that is asked for; else the readable reference.
"""

from __future__ import annotations

import functools
import math
import os
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor

from ..errors import InputError
from . import build, reference, rules
from .derivatives import FirstOrder

WHY_NO_KERNELS = build.why_no_kernels()
if WHY_NO_KERNELS is None:
    from . import cpu as cpu
else:
    cpu = None  # type: ignore[assignment]
    warnings.warn(
        "shiftlearn runs without its C++ kernels, some 300 times slower (on a layer of 784 by 800), since "
        f"{WHY_NO_KERNELS}. Install again once that is mended; `shiftlearn doctor` shows what is there.",
        stacklevel=2,
    )

_EVENTS = "Tensor z, Tensor channel, Tensor offsets, Tensor rest"
_ops = torch.ops.shiftlearn


TRITON = "SHIFTLEARN_TRITON"


def triton_wanted() -> bool:
    """Whether the environment opts in to the Triton kernels."""
    return os.environ.get(TRITON, "") not in ("", "0")


@functools.cache
def _gpu() -> ModuleType | None:
    """The Triton kernels, imported when a GPU first needs them; None where they are not wanted or not installed."""
    if not triton_wanted():
        warnings.warn(
            "the readable reference runs on the GPU, which walks the events one by one and waits for the device: the "
            f"Triton kernels, fast ones for GPUs, have never run on a GPU. {TRITON}=1 in the environment runs them.",
            stacklevel=2,
        )
        return None
    try:
        from . import gpu
    except ImportError:
        warnings.warn(
            "Triton is not installed: on the GPU the readable reference runs instead, which walks the events one by "
            "one and waits for the device. Install triton.",
            stacklevel=2,
        )
        return None
    return gpu


def _on_gpu(name: str, reference: Callable[..., Any]) -> Callable[..., Any]:
    """The Triton kernel of that name, or else ``reference``."""

    def run(*args: Any) -> Any:
        tensors = [x for x in args if isinstance(x, Tensor)]
        devices = {x.device for x in tensors}
        if len(devices) > 1:
            raise InputError(f"all tensors must be on one device, got {sorted(map(str, devices))}")
        with torch.cuda.device_of(tensors[0]):  # type: ignore[no-untyped-call]  # Triton launches on the current device
            return getattr(_gpu(), name, reference)(*args)

    return run


def _define(name: str, schema: str, fake: Callable[..., Any]) -> None:
    """Register an op of that name, which :mod:`.reference` and :mod:`.cpu` both implement.

    (torch.library.custom_op would do the same at several times the cost of a call.)
    """
    torch.library.define(f"shiftlearn::{name}", schema)
    torch.library.impl(f"shiftlearn::{name}", "default", getattr(reference, name))
    torch.library.register_fake(f"shiftlearn::{name}", fake)
    if hasattr(cpu, name):
        torch.library.impl(f"shiftlearn::{name}", "cpu", getattr(cpu, name))
    if not name.endswith("windows"):  # which are ordinary torch on a GPU
        torch.library.impl(f"shiftlearn::{name}", "cuda", _on_gpu(name, getattr(reference, name)))
    _under_transforms(name)


def _under_transforms(name: str) -> None:
    """Under torch.func.vmap an op takes one after the other; under autocast it computes in float32."""
    op = getattr(_ops, name).default

    def one_by_one(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, Any]:
        if not info.batch_size:
            raise InputError(f"vmap must go over one or more, got a dimension of size 0 in {name}")
        batched = [isinstance(d, int) for d in in_dims]
        results = [
            op(*(x.select(d, k) if several else x for x, d, several in zip(args, in_dims, batched, strict=True)))
            for k in range(info.batch_size)
        ]
        if isinstance(results[0], Tensor):
            return torch.stack(results), 0
        return tuple(torch.stack(several) for several in zip(*results, strict=True)), (0,) * len(results[0])

    torch.library.register_vmap(f"shiftlearn::{name}", one_by_one)
    for device in ("cpu", "cuda"):
        torch.library.register_autocast(f"shiftlearn::{name}", device, torch.float32)


def _fake_sort_spikes(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows, size = math.prod(z.shape[:-1]), z.numel()
    offsets = z.new_empty(rows + 1, dtype=torch.int64)
    return z.new_empty(size), z.new_empty(size, dtype=torch.int32), offsets, z.new_empty(rows)


def _fake_sort_windows(images: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch, channels, rows, columns = images.shape
    windows = batch * (rows - size + 1) * (columns - size + 1)
    return _fake_sort_spikes(images.new_empty(windows, channels * size**2))


def _fake_sum_windows(values: Tensor, shape: Sequence[int], size: int) -> Tensor:
    return values.new_empty(shape)


def _fake_first_spike(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    members = math.prod(shift.shape[:-2])
    size = [*shift.shape[:-2], rest.shape[0] // members, shift.shape[-1]]
    return shift.new_empty(size), shift.new_empty(size, dtype=torch.int32), shift.new_empty(size)


def _fake_plasticity(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, a: Tensor, c: Tensor, num_channels: int
) -> Tensor:
    return a.new_empty([*a.shape[:-2], num_channels, a.shape[-1]])


def _fake_feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    return f.new_empty([*f.shape[:-1], weight.shape[-2]])


def _fake_coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.empty_like(u), torch.empty_like(u), torch.empty_like(u), torch.empty_like(delay)


def _fake_cross_entropy(
    z: Tensor, target: Tensor, beta: float, smoothing: float, horizon: float
) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape[0]), torch.empty_like(z, memory_format=torch.contiguous_format)


_define("sort_spikes", "(Tensor z) -> (Tensor, Tensor, Tensor, Tensor)", _fake_sort_spikes)
_define("sort_windows", "(Tensor images, SymInt size) -> (Tensor, Tensor, Tensor, Tensor)", _fake_sort_windows)
_define("windows", "(Tensor images, SymInt size) -> Tensor", reference.windows)
_define("sum_windows", "(Tensor values, SymInt[] shape, SymInt size) -> Tensor", _fake_sum_windows)
_define("first_spike", f"({_EVENTS}, Tensor shift) -> (Tensor, Tensor, Tensor)", _fake_first_spike)
_define(
    "plasticity",
    f"({_EVENTS}, Tensor count, Tensor a, Tensor c, SymInt num_channels) -> Tensor",
    _fake_plasticity,
)
_define("feedback", f"({_EVENTS}, Tensor count, Tensor f, Tensor weight) -> Tensor", _fake_feedback)
_define(
    "coefficients",
    "(str rule, Tensor delta, Tensor u, Tensor drive, Tensor delay, float min_drive)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _fake_coefficients,
)
_define(
    "cross_entropy",
    "(Tensor z, Tensor target, float beta, float smoothing, float horizon) -> (Tensor, Tensor)",
    _fake_cross_entropy,
)


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
    reference.check_delay(delay)
    u, count, drive = _ops.first_spike(z, channel, offsets, rest, shift)
    return u * delay.unsqueeze(-2), u, count, drive


def _fake_fire(
    dense: Tensor | None, z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    u, count, drive = _fake_first_spike(z, channel, offsets, rest, shift)
    return torch.empty_like(u), u, count, drive


def _adjustments(
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
    """What an error δ makes of a layer: for its inputs and shifts (nothing where not wanted), and for its delays."""
    events = (z, channel, offsets, rest)
    a, c, f, g = _ops.coefficients(rule, delta, u, drive, delay, min_drive)
    heard = _ops.feedback(*events, count, f, shift if weight is None else weight) if to_input else u.new_empty(0)
    learned = _ops.plasticity(*events, count, a, c, shift.shape[-2]) if to_shift else u.new_empty(0)
    return heard, learned, g


def _adjustments_on_cpu(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    built_in = rules.get(args[11]) in cpu.RULES
    return cpu.adjustments(*args) if built_in else _adjustments(*args)


def _fake_adjustments(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    u, shift, delay, to_input, to_shift = args[6], args[8], args[9], *args[13:]
    heard = u.new_empty([*u.shape[:-1], shift.shape[-2]] if to_input else 0)
    return heard, u.new_empty(shift.shape if to_shift else 0), torch.empty_like(delay)


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


class _Windows(FirstOrder):
    """What the windows receive, their images get."""

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


class _CrossEntropy(FirstOrder):
    """Of every row."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        with torch._C._AutoDispatchBelowAutograd():
            loss, error = _ops.cross_entropy(z, *rest)
        ctx.mark_non_differentiable(error)
        ctx.save_for_backward(error)
        ctx.inputs = (z,)
        return loss, error

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad[0][:, None] * ctx.saved_tensors[0], *[None] * 4


class _Fire(FirstOrder):
    """The rule as a backward pass. (torch.library.register_autograd costs several times as much per call.)"""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        with torch._C._AutoDispatchBelowAutograd():
            z_out, u, count, drive = _ops.fire(*inputs)
        dense, z, channel, offsets, rest, shift, delay, feedback, ctx.rule, ctx.min_drive = inputs
        ctx.mark_non_differentiable(u, count, drive)
        ctx.save_for_backward(dense, z, channel, offsets, rest, shift, delay, feedback, u, count, drive)
        return z_out, u, count, drive

    @staticmethod
    def backward(ctx: Any, *deltas: Tensor) -> tuple[Any, ...]:
        _, z, channel, offsets, rest, shift, delay, weight, u, count, drive = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[5]
        settings = shift, delay, weight, ctx.rule, ctx.min_drive
        to_input, to_shift, to_delay = _ops.adjustments(
            z, channel, offsets, rest, count, deltas[0], u, drive, *settings, *wanted
        )
        results = to_input if wanted[0] else None, to_shift if wanted[1] else None
        return results[0], None, None, None, None, results[1], to_delay, None, None, None


torch.library.define(
    "shiftlearn::fire",
    f"(Tensor? dense, {_EVENTS}, Tensor shift, Tensor delay, Tensor? feedback, str rule, float min_drive)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
)
torch.library.impl("shiftlearn::fire", "default", _fire)
torch.library.register_fake("shiftlearn::fire", _fake_fire)
for name, function in (("fire", _Fire), ("windows", _Windows), ("cross_entropy", _CrossEntropy)):
    torch.library.impl(f"shiftlearn::{name}", "Autograd", function.of_op)
for name in ("first_spike", "plasticity", "feedback", "sum_windows"):
    torch.library.impl(f"shiftlearn::{name}", "Autograd", functools.partial(_NoDerivative.of_op, name))
torch.library.define(
    "shiftlearn::adjustments",
    f"({_EVENTS}, Tensor count, Tensor delta, Tensor u, Tensor drive, Tensor shift, Tensor delay, Tensor? weight,"
    " str rule, float min_drive, bool to_input, bool to_shift) -> (Tensor, Tensor, Tensor)",
)
torch.library.impl("shiftlearn::adjustments", "default", _adjustments)
torch.library.register_fake("shiftlearn::adjustments", _fake_adjustments)
if cpu is not None:
    torch.library.impl("shiftlearn::fire", "cpu", cpu.fire)
    torch.library.impl("shiftlearn::adjustments", "cpu", _adjustments_on_cpu)
torch.library.impl("shiftlearn::fire", "cuda", _on_gpu("fire", _fire))
torch.library.impl("shiftlearn::adjustments", "cuda", _on_gpu("adjustments", _adjustments))
_under_transforms("fire")
_under_transforms("adjustments")
sort_levels_on_gpu = _on_gpu("sort_levels", lambda levels, of_level: reference.sort_spikes(of_level[levels.long()]))
