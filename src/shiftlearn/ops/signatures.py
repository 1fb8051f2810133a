"""What each op takes and returns: its schema, which shapes and dtypes must agree, and its results, not yet filled.

A kernel begins with the signature of its name, and so does torch when it traces an op without running it. Leading
dimensions (...) are members of an ensemble; the rows of events belong to them in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import InputError
from .checks import FLOATS, MOST, array, events

__all__ = ["OPS"]

Events = tuple[Tensor, Tensor, Tensor, Tensor]
Signature = TypeVar("Signature", bound=Callable[..., Any])

OPS: dict[str, tuple[str, Callable[..., Any]]] = {}  # by name: the schema and the function

_EVENTS = "Tensor z, Tensor channel, Tensor offsets, Tensor rest"


def _op(schema: str) -> Callable[[Signature], Signature]:
    def note(function: Signature) -> Signature:
        OPS[function.__name__] = schema, function
        return function

    return note


@_op("(Tensor z) -> (Tensor, Tensor, Tensor, Tensor)")
def sort_spikes(z: Tensor) -> Events:
    if z.ndim < 1 or z.dtype not in FLOATS:
        raise InputError(f"z must be (..., in) of float32 or float64, got {tuple(z.shape)} of {z.dtype}")
    return _sorted(z, math.prod(z.shape[:-1]), z.shape[-1])


@_op("(Tensor levels, Tensor of_level) -> (Tensor, Tensor, Tensor, Tensor)")
def sort_levels(levels: Tensor, of_level: Tensor) -> Events:
    if levels.ndim != 2 or levels.dtype != torch.uint8:
        raise InputError(f"levels must be (batch, in) of uint8, got {tuple(levels.shape)} of {levels.dtype}")
    if of_level.shape != (256,) or of_level.dtype not in FLOATS:
        raise InputError(
            f"of_level must be (256,) of float32 or float64, got {tuple(of_level.shape)} of {of_level.dtype}"
        )
    if levels.device != of_level.device:
        raise InputError(f"levels are on {levels.device}, but of_level is on {of_level.device}")
    return _sorted(of_level, *levels.shape)


@_op("(Tensor images, SymInt size) -> (Tensor, Tensor, Tensor, Tensor)")
def sort_windows(images: Tensor, size: int) -> Events:
    return _sorted(images, *_windows_of(images, size))


@_op("(Tensor images, SymInt size) -> Tensor")
def windows(images: Tensor, size: int) -> Tensor:
    """Stands for the windows of images without holding them; its values mean nothing."""
    return images.new_empty(1).expand(_windows_of(images, size))


@_op("(Tensor values, SymInt[] shape, SymInt size) -> Tensor")
def sum_windows(values: Tensor, shape: Sequence[int], size: int) -> Tensor:
    if len(shape) != 4:
        raise InputError(f"shape must be (batch, channels, rows, columns), got {tuple(shape)}")
    if values.dtype not in FLOATS:
        raise InputError(f"values must be float32 or float64, got {values.dtype}")
    array("values", values, _window_sizes(shape, size), values.dtype)
    return values.new_empty(shape)


@_op(f"({_EVENTS}, Tensor shift) -> (Tensor, Tensor, Tensor)")
def first_spike(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    *lead, inputs, outputs = _weight("shift", shift)
    events(z, channel, offsets, rest, inputs)
    array("shift", shift, shift.shape, z.dtype)
    size = *lead, rows_of_member(rest, lead), outputs
    return shift.new_empty(size), shift.new_empty(size, dtype=torch.int32), shift.new_empty(size)


@_op(
    f"(Tensor? dense, {_EVENTS}, Tensor shift, Tensor delay, Tensor? feedback, str rule, float min_drive)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)
def fire(
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
    u, count, drive = first_spike(z, channel, offsets, rest, shift)
    array("delay", delay, (*shift.shape[:-2], shift.shape[-1]), z.dtype)
    return torch.empty_like(u), u, count, drive


@_op(f"({_EVENTS}, Tensor count, Tensor a, Tensor c, SymInt num_channels) -> Tensor")
def plasticity(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, a: Tensor, c: Tensor, num_channels: int
) -> Tensor:
    events(z, channel, offsets, rest, num_channels)
    _counts(count, rest)
    array("a", a, count.shape, z.dtype)
    array("c", c, count.shape, z.dtype)
    return a.new_empty(*a.shape[:-2], num_channels, a.shape[-1])


@_op(f"({_EVENTS}, Tensor count, Tensor f, Tensor weight) -> Tensor")
def feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    inputs = _weight("weight", weight)[-2]
    events(z, channel, offsets, rest, inputs)
    _counts(count, rest)
    array("f", f, count.shape, z.dtype)
    array("weight", weight, (*count.shape[:-2], inputs, count.shape[-1]), z.dtype)
    return f.new_empty(*f.shape[:-1], inputs)


@_op(
    "(str rule, Tensor delta, Tensor u, Tensor drive, Tensor delay, float min_drive)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)
def coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if u.ndim < 2 or u.dtype not in FLOATS:
        raise InputError(f"u must be (..., batch, out) of float32 or float64, got {tuple(u.shape)} of {u.dtype}")
    array("delta", delta, u.shape, u.dtype)
    array("drive", drive, u.shape, u.dtype)
    array("delay", delay, (*u.shape[:-2], u.shape[-1]), u.dtype)
    return u.new_empty(u.shape), u.new_empty(u.shape), u.new_empty(u.shape), delay.new_empty(delay.shape)


@_op(
    "(Tensor z, Tensor target, Tensor? weight, SymInt among, float beta, float smoothing, float horizon)"
    " -> (Tensor, Tensor, Tensor)"
)
def cross_entropy(
    z: Tensor, target: Tensor, weight: Tensor | None, among: int, beta: float, smoothing: float, horizon: float
) -> tuple[Tensor, Tensor, Tensor]:
    if z.ndim != 2 or z.dtype not in FLOATS:
        raise InputError(f"z must be (batch, classes) of float32 or float64, got {tuple(z.shape)} of {z.dtype}")
    array("target", target, z.shape[:1], torch.int64)
    if weight is not None:
        array("weight", weight, z.shape[:1], z.dtype)
    return z.new_empty(()), z.new_empty(z.shape), z.new_empty(z.shape[0])


def rows_of_member(rest: Tensor, lead: Sequence[int]) -> int:
    """How many rows of events each member of an ensemble of shape ``lead`` has."""
    members = max(math.prod(lead), 1)
    if rest.numel() % members:
        raise InputError(f"the {rest.numel()} rows of the events do not divide among {members} members of shift")
    return rest.numel() // members


def _sorted(like: Tensor, rows: int, inputs: int) -> Events:
    """Room for the events of so many rows."""
    if inputs > MOST:
        raise InputError(f"z must have {MOST} inputs or fewer, got {inputs}")
    times = like.new_empty(rows * inputs)
    offsets = torch.arange(rows + 1, device=like.device) * inputs
    return times, like.new_empty(rows * inputs, dtype=torch.int32), offsets, like.new_empty(rows)


def _windows_of(images: Tensor, size: int) -> tuple[int, int]:
    if images.ndim != 4 or images.dtype not in FLOATS:
        raise InputError(
            f"images must be (batch, channels, rows, columns) of float32 or float64, got {tuple(images.shape)} of "
            f"{images.dtype}"
        )
    return _window_sizes(images.shape, size)


def _window_sizes(shape: Sequence[int], size: int) -> tuple[int, int]:
    """How many windows of ``size`` by ``size`` images of that shape have, and the inputs of each."""
    batch, channels, rows, columns = shape
    if not 1 <= size <= min(rows, columns):
        raise InputError(f"size must be from 1 to the images' {min(rows, columns)} rows or columns, got {size}")
    if channels * rows * columns > MOST:
        raise InputError(f"images must have {MOST} values or fewer each, got {channels * rows * columns}")
    return batch * (rows - size + 1) * (columns - size + 1), channels * size**2


def _weight(name: str, x: Tensor) -> torch.Size:
    if x.ndim < 2:
        raise InputError(f"{name} must have shape (..., in, out), got {tuple(x.shape)}")
    return x.shape


def _counts(count: Tensor, rest: Tensor) -> None:
    if count.ndim < 2 or count.shape[:-1].numel() != rest.numel() or count.dtype != torch.int32:
        expected = f"(..., batch, out) of int32 for {rest.numel()} rows of events"
        raise InputError(f"count must be {expected}, got {tuple(count.shape)} of {count.dtype}")
