"""What the ops below the faces ask of their tensors: kernels get addresses, and would read past a wrong shape.

Shapes and dtypes are looked at always, which costs no look at the data. Values are looked at on the CPU alone, since
elsewhere that would wait for the device; with the environment variable ``SHIFTLEARN_DEBUG=1`` they are there too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .events import MOST, SpikeEvents

DEBUG = os.environ.get("SHIFTLEARN_DEBUG", "") not in ("", "0")
FLOATS = (torch.float32, torch.float64)


def autocast(x: Tensor) -> bool:
    """Whether torch.autocast is on for the device of ``x``."""
    return torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type)


def widened(x: Tensor) -> Tensor:
    """Half precision as float32 under autocast, as what a torch.nn.Linear passes on there; else ``x`` itself."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) and autocast(x) else x


def looks_at(x: Tensor) -> bool:
    """Whether the values of ``x`` are looked at."""
    return x.device.type == "cpu" or DEBUG


def sort_spikes(z: Tensor) -> None:
    if z.ndim < 1 or z.dtype not in FLOATS:
        raise InputError(f"z must be (..., in) of float32 or float64, got {tuple(z.shape)} of {z.dtype}")
    if z.shape[-1] > MOST:
        raise InputError(f"z must have {MOST} inputs or fewer, got {z.shape[-1]}")


def sort_windows(images: Tensor, size: int) -> None:
    if images.ndim != 4 or images.dtype not in FLOATS:
        raise InputError(
            f"images must be (batch, channels, rows, columns) of float32 or float64, got {tuple(images.shape)} of "
            f"{images.dtype}"
        )
    _window(images.shape, size)


def sum_windows(values: Tensor, shape: Sequence[int], size: int) -> None:
    if len(shape) != 4:
        raise InputError(f"shape must be (batch, channels, rows, columns), got {tuple(shape)}")
    _window(shape, size)
    batch, channels, rows, columns = shape
    expected = (batch * (rows - size + 1) * (columns - size + 1), channels * size**2)
    if values.dtype not in FLOATS:
        raise InputError(f"values must be float32 or float64, got {values.dtype}")
    _array("values", values, expected, values.dtype)


def _window(shape: Sequence[int], size: int) -> None:
    """That windows of ``size`` by ``size`` fit into images of that shape, and the kernels can count."""
    _, channels, rows, columns = shape
    if not 1 <= size <= min(rows, columns):
        raise InputError(f"size must be from 1 to the images' {min(rows, columns)} rows or columns, got {size}")
    if channels * rows * columns > MOST:
        raise InputError(f"images must have {MOST} values or fewer each, got {channels * rows * columns}")


def first_spike(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor, delay: Tensor | None = None
) -> None:
    *lead, inputs, outputs = _weight("shift", shift)
    events(z, channel, offsets, rest, inputs)
    members = shift.shape[:-2].numel()
    if rest.numel() % max(members, 1):
        raise InputError(f"the {rest.numel()} rows of the events do not divide among {members} members of shift")
    _array("shift", shift, shift.shape, z.dtype)
    if delay is not None:
        _array("delay", delay, (*lead, outputs), z.dtype)


def plasticity(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, a: Tensor, c: Tensor, num_channels: int
) -> None:
    events(z, channel, offsets, rest, num_channels)
    _counts(count, rest)
    _array("a", a, count.shape, z.dtype)
    _array("c", c, count.shape, z.dtype)


def feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> None:
    inputs = _weight("weight", weight)[-2]
    events(z, channel, offsets, rest, inputs)
    _counts(count, rest)
    _array("f", f, count.shape, z.dtype)
    _array("weight", weight, (*count.shape[:-2], inputs, count.shape[-1]), z.dtype)


def coefficients(delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor) -> None:
    if u.ndim < 2 or u.dtype not in FLOATS:
        raise InputError(f"u must be (..., batch, out) of float32 or float64, got {tuple(u.shape)} of {u.dtype}")
    _array("delta", delta, u.shape, u.dtype)
    _array("drive", drive, u.shape, u.dtype)
    _array("delay", delay, (*u.shape[:-2], u.shape[-1]), u.dtype)


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
) -> None:
    feedback(z, channel, offsets, rest, count, delta, shift if weight is None else weight)
    coefficients(delta, u, drive, delay)
    _array("shift", shift, (*count.shape[:-2], shift.shape[-2], count.shape[-1]), z.dtype)


def cross_entropy(z: Tensor, target: Tensor) -> None:
    if z.ndim != 2 or z.dtype not in FLOATS:
        raise InputError(f"z must be (batch, classes) of float32 or float64, got {tuple(z.shape)} of {z.dtype}")
    _array("target", target, z.shape[:1], torch.int64)


def refuse(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, inputs: int) -> None:
    """InputError that says what is wrong with the events."""
    dtypes = {"channel": (channel, torch.int32), "offsets": (offsets, torch.int64), "rest": (rest, z.dtype)}
    for name, (x, dtype) in dtypes.items():
        if x.dtype != dtype:
            raise InputError(f"{name} must be {dtype}, got {x.dtype}")
    SpikeEvents(z, channel, offsets, inputs, rest)


def events(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, inputs: int) -> None:
    """Their layout; a kernel on the CPU looks at their content itself."""
    fine = (
        z.dtype in FLOATS
        and rest.dtype == z.dtype
        and channel.dtype == torch.int32
        and offsets.dtype == torch.int64
        and z.ndim == rest.ndim == offsets.ndim == 1
        and channel.shape == z.shape
        and offsets.numel() == rest.numel() + 1
        and 0 <= inputs <= MOST
    )
    if DEBUG or not fine:
        refuse(z, channel, offsets, rest, inputs)


def _weight(name: str, x: Tensor) -> torch.Size:
    if x.ndim < 2:
        raise InputError(f"{name} must have shape (..., in, out), got {tuple(x.shape)}")
    return x.shape


def _counts(count: Tensor, rest: Tensor) -> None:
    if count.ndim < 2 or count.shape[:-1].numel() != rest.numel() or count.dtype != torch.int32:
        expected = f"(..., batch, out) of int32 for {rest.numel()} rows of events"
        raise InputError(f"count must be {expected}, got {tuple(count.shape)} of {count.dtype}")


def _array(name: str, x: Tensor, shape: Sequence[int], dtype: torch.dtype) -> None:
    if x.shape != shape or x.dtype != dtype:
        raise InputError(f"{name} must be {tuple(shape)} of {dtype}, got {tuple(x.shape)} of {x.dtype}")
