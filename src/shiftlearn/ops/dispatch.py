"""The torch ops: every op of :mod:`.signatures` with one kernel per device. Gradients follow in :mod:`.autograd`.

On the CPU an op runs the C++ kernel of its name; on a GPU the Triton kernel if that is asked for; else the readable
reference.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from . import build, checks, reference
from .signatures import OPS

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


def on_gpu(name: str) -> Callable[..., Any]:
    """The Triton kernel of that name, or else the reference."""

    def run(*args: Any) -> Any:
        tensors = [x for x in args if isinstance(x, Tensor)]
        devices = {x.device for x in tensors}
        if len(devices) > 1:
            raise InputError(f"all tensors must be on one device, got {sorted(map(str, devices))}")
        with torch.cuda.device_of(tensors[0]):  # type: ignore[no-untyped-call]  # Triton launches on the current device
            return getattr(_gpu(), name, _reference(name))(*args)

    return run


def _reference(name: str) -> Callable[..., Any]:
    """The reference kernel of that name, behind the checks of its signature."""
    kernel, signature = getattr(reference, name), OPS[name][1]

    def run(*args: Any) -> Any:
        signature(*args)
        return kernel(*args)

    return run


def _under_transforms(name: str) -> None:
    """Under torch.func.vmap an op takes one after the other; under autocast it computes in float32."""
    op = getattr(torch.ops.shiftlearn, name).default

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


def _fire(
    dense: Tensor | None,
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    shift: Tensor,
    delay: Tensor,
    *_: Any,  # for the backward pass, as dense is
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z_out, u, count and drive, on every device by its own kernel of the first spike."""
    u, count, drive = torch.ops.shiftlearn.first_spike(z, channel, offsets, rest, shift)
    checks.array("delay", delay, (*shift.shape[:-2], shift.shape[-1]), z.dtype)
    checks.delays(delay)
    return u * delay.unsqueeze(-2), u, count, drive


# (torch.library.custom_op would do the same at several times the cost of a call.)
for _name, (_schema, _signature) in OPS.items():
    torch.library.define(f"shiftlearn::{_name}", _schema)
    torch.library.impl(f"shiftlearn::{_name}", "default", _fire if _name == "fire" else _reference(_name))
    if _name != "sort_levels":  # whose results are as long as there are spikes
        torch.library.register_fake(f"shiftlearn::{_name}", _signature)
    if hasattr(cpu, _name):
        torch.library.impl(f"shiftlearn::{_name}", "cpu", getattr(cpu, _name))
    if _name != "fire" and not _name.endswith("windows"):  # which are ordinary torch on a GPU
        torch.library.impl(f"shiftlearn::{_name}", "cuda", on_gpu(_name))
    _under_transforms(_name)
