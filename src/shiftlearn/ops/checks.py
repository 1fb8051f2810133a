"""The validation of spikes and tensors; the shapes of each op are in :mod:`.signatures`.

Shapes and dtypes are always checked, which needs no look at the data. Values are checked on the CPU alone, since
elsewhere that would wait for the device; with the environment variable ``SHIFTLEARN_DEBUG=1`` they are there too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from ..errors import InputError
from .derivatives import transformed, unwrapped

DEBUG = os.environ.get("SHIFTLEARN_DEBUG", "") not in ("", "0")
FLOATS = (torch.float32, torch.float64)
_OWN = frozenset((Tensor, Parameter))
MOST = 2**31 - 3  # spikes of a row, and channels: the kernels count both in 32 bits


def autocast(x: Tensor) -> bool:
    """Whether torch.autocast is on for the device of ``x``."""
    return torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type)


def widened(x: Tensor) -> Tensor:
    """Half precision as float32 under autocast, as what a torch.nn.Linear passes on there; else ``x`` itself."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) and autocast(x) else x


def looks_at(x: Tensor) -> bool:
    """Whether the values of ``x`` are looked at."""
    return x.device.type == "cpu" or DEBUG


def plain(*tensors: Tensor | None) -> bool:
    """True for tensors on the CPU that nobody traces or wraps: what they hold can be looked at, and is all there is."""
    if torch.compiler.is_compiling() or torch._C._len_torch_dispatch_stack():
        return False
    if transformed() or forward_ad._current_level >= 0:
        return False
    return all([x is None or (type(x) in _OWN and x.is_cpu) for x in tensors])


def array(name: str, x: Tensor, shape: Sequence[int], dtype: torch.dtype) -> None:
    """InputError unless ``x`` has that shape and dtype."""
    if x.shape != tuple(shape) or x.dtype != dtype:
        raise InputError(f"{name} must be {tuple(shape)} of {dtype}, got {tuple(x.shape)} of {x.dtype}")


def positive(z: Tensor) -> None:
    """InputError unless all of (rows, in) z are positive; NaN is not."""
    valid = z > 0
    if not valid.all():
        row = int((~valid).any(1).nonzero()[0])
        bad = z[row][~valid[row]][0].item()
        raise InputError(f"z must be positive (z = exp(t / tau)) or inf for no spike, got {bad:g} in row {row}")


def delays(delay: Tensor) -> None:
    """InputError unless all delays are positive; not looked at where that would wait for a device."""
    if looks_at(delay) and not (delay > 0).all():
        raise InputError(
            f"delay must be positive (it multiplies z > 0), got {delay[~(delay > 0)][0].item():g}: "
            "project it after the optimizer's step (shiftlearn.nn.project_delays)"
        )


def classes(target: Tensor, number: int) -> None:
    """InputError unless all of ``target`` lie in 0 … number − 1; not looked at where that would wait for a device."""
    if not looks_at(target):
        return
    target = unwrapped(target)
    outside = (target < 0) | (target >= number)
    if outside.any():
        raise InputError(f"target must hold classes from 0 to {number - 1}, got {target[outside][0].item()}")


def events(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, inputs: int) -> None:
    """InputError unless events have the dtypes and shapes that kernels take; the C++ kernels look at their content."""
    for name, x, dtype in (
        ("channel", channel, torch.int32),
        ("offsets", offsets, torch.int64),
        ("rest", rest, z.dtype),
    ):
        if x.dtype != dtype:
            raise InputError(f"{name} must be {dtype}, got {x.dtype}")
    layout(z, channel, offsets, inputs, rest)
    if DEBUG:
        content(z, channel, offsets, inputs, rest)


def layout(z: Tensor, channel: Tensor, offsets: Tensor, num_channels: int, rest: Tensor | None) -> None:
    """InputError unless shapes, dtypes and devices are those of :class:`shiftlearn.SpikeEvents`."""
    if z.ndim != 1 or z.dtype not in FLOATS:
        raise InputError(f"z must be a (spikes,) tensor of float32 or float64, got {tuple(z.shape)} of {z.dtype}")
    if channel.shape != z.shape:
        raise InputError(f"channel must have the shape of z, {tuple(z.shape)}, got {tuple(channel.shape)}")
    if offsets.ndim != 1 or offsets.numel() < 1:
        raise InputError(f"offsets must have shape (batch + 1,), got {tuple(offsets.shape)}")
    for name, x in (("channel", channel), ("offsets", offsets)):
        if x.dtype.is_floating_point or x.dtype.is_complex or x.dtype == torch.bool:
            raise InputError(f"{name} must hold integers, got {x.dtype}")
    if rest is not None and rest.shape != (offsets.numel() - 1,):
        raise InputError(f"rest must have shape (batch,) = ({offsets.numel() - 1},), got {tuple(rest.shape)}")
    if num_channels > MOST:
        raise InputError(f"num_channels must be {MOST} or less, got {num_channels}")
    if channel.device != z.device or offsets.device != z.device or (rest is not None and rest.device != z.device):
        devices = {str(x.device) for x in (z, channel, offsets, rest) if x is not None}
        raise InputError(f"z, channel, offsets and rest must be on one device, got {sorted(devices)}")


def content(z: Tensor, channel: Tensor, offsets: Tensor, num_channels: int, rest: Tensor) -> None:
    """InputError unless rows ascend and channels exist, as :class:`shiftlearn.SpikeEvents` says."""
    if z.numel() > MOST and (longest := int(offsets.diff().max())) > MOST:
        raise InputError(f"offsets must give a row {MOST} spikes or fewer, got {longest}")
    if channel.numel() and not ((channel >= 0) & (channel < num_channels)).all():
        raise InputError(f"channel must lie in 0 … {num_channels - 1}, got {int(channel.min())} … {int(channel.max())}")
    if offsets[0] != 0 or offsets[-1] != z.numel() or (offsets.diff() < 0).any():
        raise InputError(
            f"offsets must ascend from 0 to the number of spikes, {z.numel()}, got {offsets.tolist()[:8]}…"
        )
    if z.numel() and not (z > 0).all():
        raise InputError(f"z must be positive (z = exp(t / tau)) or inf, got {z[~(z > 0)][0].item()}")
    if rest.numel() and not (rest > 0).all():
        raise InputError(f"rest must be positive or inf, got {rest[~(rest > 0)][0].item()}")
    row = torch.repeat_interleave(offsets.diff())
    descends = (row[1:] == row[:-1]) & (z[1:] < z[:-1])
    if descends.any():
        raise InputError(f"z must ascend within each row; row {row[1:][descends][0].item()} does not")
    listed = z.isfinite()
    late = listed & (z > rest[row])
    if late.any():
        raise InputError(f"rest must not be earlier than the row's last spike; in row {row[late][0].item()} it is")
    key = (row * max(num_channels, 1) + channel)[listed & rest.isfinite()[row]]
    ordered = key.sort().values
    twice = ordered[1:] == ordered[:-1]
    if twice.any():
        where = int(ordered[1:][twice][0]) // num_channels
        raise InputError(f"rest must be inf where a channel repeats; in row {where} it is {rest[where].item():g}")
