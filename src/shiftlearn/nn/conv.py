"""Convolution, whose neurons share weights and have one window of an image each; pooling by the earliest spike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn

from .. import ops
from ..errors import InputError
from ..ops.events import SpikeEvents
from . import pathways
from .linear import ShiftLinear, require_integers

__all__ = ["EarliestSpikePool2d", "ShiftConv2d"]


class ShiftConv2d(ShiftLinear):
    """A ShiftLinear over the windows of an image: its rows are the windows of all samples, its neurons the maps.

    Args:
        in_channels, out_channels: maps of the input and of the output.
        kernel_size: side of the square windows, which lie at every pixel.
        padding: width of a border of silence (z = inf) around the image.
        rule, feedback, init_scale, min_drive, generator, device, dtype, delay_tau, published_delays: as in ShiftLinear;
            the inputs of a neuron are the ``in_channels · kernel_size²`` of its window.

    Attributes:
        shift: (in_channels · kernel_size², out_channels) Parameter, the synaptic weights (the paper's e_ts); inputs in
            the order of torch.nn.Unfold: channel, row, column.
        delay: (out_channels,) Parameter.

    Raises:
        InputError: a size below 1, a padding below 0, or what ShiftLinear refuses.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: int = 0,
        rule: str = "normalized",
        feedback: str = "symmetric",
        init_scale: float = 8.0,
        min_drive: float = 0.0,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        delay_tau: float | Sequence[float] | Tensor = 0.0,
        published_delays: bool = False,
    ) -> None:
        require_integers(in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        require_integers(0, padding=padding)
        inputs = in_channels * kernel_size**2
        options = rule, feedback, init_scale, min_drive, generator, device, dtype
        super().__init__(inputs, out_channels, *options, delay_tau=delay_tau, published_delays=published_delays)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.padding = kernel_size, padding

    def forward(self, z: Tensor | SpikeEvents) -> Tensor:
        """Spike times of the maps.

        Args:
            z: (batch, in_channels, rows, columns) of z = exp(t / tau), inf for no spike.

        Returns:
            (batch, out_channels, rows', columns') of z, rows' = rows + 2 · padding − kernel_size + 1.

        Raises:
            InputError: another shape, or an image smaller than a window.
        """
        size, border = self.kernel_size, self.padding
        if isinstance(z, SpikeEvents) or z.ndim != 4 or z.shape[1] != self.in_channels or not z.is_floating_point():
            given = z if isinstance(z, SpikeEvents) else f"{tuple(z.shape)} of {z.dtype}"
            raise InputError(f"z must be (batch, {self.in_channels}, rows, columns) of floats, got {given}")
        if min(z.shape[2:]) + 2 * border < size:
            raise InputError(
                f"z must have at least {max(size - 2 * border, 1)} rows and columns for windows of {size} and padding "
                f"{border}, got {tuple(z.shape)}"
            )
        self.look_at_delays()
        padded = nn.functional.pad(z, (border,) * 4, value=math.inf) if border else z
        batch, _, rows, columns = padded.shape
        matrix = pathways.matrix(self.feedback, self.shift, self.feedback_weight)
        receives = None if self.feedback == "none" else torch.ops.shiftlearn.windows(padded, size)
        events = ops.sort_windows(padded, size)
        fired = ops.fire(events, self.shift, self.delay, matrix, self.rule, self.min_drive, receives)
        return fired.reshape(batch, rows - size + 1, columns - size + 1, self.out_channels).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, padding={self.padding}, "
            f"rule={self.rule!r}, feedback={self.feedback!r}"
        )


def fully_connected(module: nn.Module) -> TypeGuard[ShiftLinear]:
    """True for a ShiftLinear, also a parametrized one, that is no convolution."""
    return isinstance(module, ShiftLinear) and not isinstance(module, ShiftConv2d)


class EarliestSpikePool2d(nn.Module):
    """The earliest spike of each window of ``kernel_size`` by ``kernel_size``; windows do not overlap.

    The error goes to the input that spiked first, of tied ones to the first in the order of rows and columns. A window
    without a spike is silent and receives nothing. Rows and columns that fill no window are left out.

    Raises:
        InputError: a ``kernel_size`` below 1.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        require_integers(kernel_size=kernel_size)
        self.kernel_size = kernel_size

    def forward(self, z: Tensor) -> Tensor:
        """(batch, channels, rows, columns) of z to (batch, channels, rows // kernel_size, columns // kernel_size).

        Raises:
            InputError: another shape, or an image smaller than a window.
        """
        if z.ndim != 4 or min(z.shape[2:]) < self.kernel_size:
            raise InputError(
                f"z must have shape (batch, channels, rows, columns), rows and columns {self.kernel_size} or more, "
                f"got {tuple(z.shape)}"
            )
        earliest = -nn.functional.max_pool2d(-z, self.kernel_size)
        return earliest.masked_fill(earliest.isinf(), math.inf)  # the same times, but silence passes no error on

    def extra_repr(self) -> str:
        return f"{self.kernel_size}"
