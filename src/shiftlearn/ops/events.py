"""Spike events: rows of spikes in time order, and the map between time t and z = exp(t / tau)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map

from ..errors import IndexInputError, InputError
from . import autograd, checks  # noqa: F401  # the first defines the ops
from .signatures import Events

__all__ = ["SpikeEvents", "to_time", "to_z"]

# t / tau of the latest spike: exp(88.7) overflows float32; the margin is for the weighted sums of the neuron.
LATEST = {torch.float32: 80.0, torch.float64: math.log(torch.finfo(torch.float64).max)}


def to_z(t: Tensor, tau: float = 1.0) -> Tensor:
    """Spike times as z = exp(t / tau).

    Args:
        t: spike times, any shape, in the unit of ``tau``; +inf means no spike and stays +inf.
        tau: synaptic time constant, > 0.

    Raises:
        InputError: ``tau`` is not positive, ``t`` is NaN, t / tau exceeds 80 in float32, or z is not representable.
    """
    if not tau > 0:
        raise InputError(f"tau must be positive, got {tau}")
    if t.isnan().any():
        raise InputError("t holds NaN; use inf for a spike that never comes")
    x = t / tau
    limit = LATEST[torch.float32]
    if x.dtype == torch.float32 and (x[x.isfinite()] > limit).any():
        raise InputError(
            f"t / tau reaches {x[x.isfinite()].max().item():g}, beyond the {limit:g} that exp can carry "
            "in float32: use float64, or a larger tau"
        )
    z = torch.exp(x)
    lost = (z == 0) | (z.isinf() & ~t.isposinf())
    if lost.any():
        raise InputError(f"exp(t / tau) leaves the range of {z.dtype} at t = {t[lost][0].item():g}, tau = {tau:g}")
    return z


def to_time(z: Tensor, tau: float = 1.0) -> Tensor:
    """Spike times t = tau * log(z); the inverse of :func:`to_z`, inf stays inf."""
    if not tau > 0:
        raise InputError(f"tau must be positive, got {tau}")
    return tau * torch.log(z)


class SpikeEvents:
    """The spikes of a batch of samples, each row in time order.

    Iteration gives batches of one row, and so does an integer as index. A :class:`torch.utils.data.DataLoader` over
    them, or over pairs of them and labels, gives batches.

    Args:
        z: (spikes,) z = exp(t / tau) of all rows, each row ascending. inf lists nothing and ends the row.
        channel: (spikes,) integer, the input channel of each spike; a channel may repeat in a row.
        offsets: (batch + 1,) integer, where rows begin and end in ``z``.
        num_channels: number of input channels.
        rest: (batch,) the z at which every channel that the row does not list spikes, not earlier than the
            row's last listed spike; inf (default) says that they are silent. Finite only where no channel
            repeats in the row.

    Raises:
        InputError: one of the above does not hold.
    """

    __slots__ = ("channel", "num_channels", "offsets", "rest", "z")

    def __init__(
        self, z: Tensor, channel: Tensor, offsets: Tensor, num_channels: int, rest: Tensor | None = None
    ) -> None:
        if not isinstance(num_channels, int) or num_channels < 0:
            raise InputError(f"num_channels must be an integer of 0 or more, got {num_channels!r}")
        checks.layout(z, channel, offsets, num_channels, rest)
        if rest is None:
            rest = z.new_full((offsets.numel() - 1,), math.inf)
        checks.content(z, channel, offsets.long(), num_channels, rest)  # a huge channel is not copied before
        self.z = z.contiguous()
        self.channel = channel.to(torch.int32).contiguous()
        self.offsets = offsets.to(torch.int64).contiguous()
        self.num_channels = num_channels
        self.rest = rest.to(z.dtype).contiguous()

    @classmethod
    def _of(cls, z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, num_channels: int) -> SpikeEvents:
        """Events known to be well formed (made by the library's own kernels): no checks."""
        self = object.__new__(cls)
        self.z, self.channel, self.offsets, self.rest = z, channel, offsets, rest
        self.num_channels = num_channels
        return self

    @classmethod
    def from_dense(cls, z: Tensor) -> SpikeEvents:
        """Sort a dense (batch, channels) tensor of z; inf means no spike.

        The silent channels of a row, or else the tied group of its last spikes, become ``rest``. Storage has
        a fixed size (batch * channels), so shapes do not depend on the data: unused slots hold z = inf.
        """
        times, channel, offsets, rest = torch.ops.shiftlearn.sort_spikes(z.detach())
        return cls._of(times, channel, offsets, rest, z.shape[-1])

    @classmethod
    def cat(cls, several: Sequence[SpikeEvents]) -> SpikeEvents:
        """The rows of several batches, one after the other; they must have the same number of channels.

        Raises:
            InputError: there are none, or their channels differ.
        """
        channels = {events.num_channels for events in several}
        if len(channels) != 1:
            raise InputError(f"several must be batches with one number of channels, got {sorted(channels)}")
        z, channel, rest = (torch.cat([getattr(e, name) for e in several]) for name in ("z", "channel", "rest"))
        counts = torch.cat([events.offsets.diff() for events in several])
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls._of(z, channel, offsets, rest, channels.pop())

    @property
    def tensors(self) -> Events:
        """z, channel, offsets and rest."""
        return self.z, self.channel, self.offsets, self.rest

    @property
    def batch(self) -> int:
        """Number of rows."""
        return self.offsets.numel() - 1

    def __len__(self) -> int:
        return self.batch

    def __iter__(self) -> Iterator[SpikeEvents]:
        return (self[row] for row in range(self.batch))

    def __getitem__(self, rows: Tensor | slice | int) -> SpikeEvents:
        """Some of the rows, as a batch of their own.

        Args:
            rows: their numbers, (n,) integers from 0, a slice, or one integer (from the end if negative).

        Raises:
            IndexInputError: no row of that one integer.
            InputError: no such row, or another kind of index.
        """
        device = self.z.device
        if isinstance(rows, Integral) and not isinstance(rows, bool):
            row = int(rows)
            if not -self.batch <= row < self.batch:
                raise IndexInputError(f"rows must lie in 0 … {self.batch - 1}, got {row}")
            rows = slice(row % self.batch, row % self.batch + 1)
        if isinstance(rows, slice):
            rows = torch.arange(self.batch, device=device)[rows]
        elif not isinstance(rows, Tensor) or rows.ndim != 1 or rows.dtype not in (torch.int32, torch.int64):
            raise InputError(f"rows must be a slice or an (n,) tensor of integers, or one integer, got {rows!r}")
        elif rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < self.batch:
            raise InputError(f"rows must lie in 0 … {self.batch - 1}, got {int(rows.min())} … {int(rows.max())}")
        starts, counts = self.offsets[rows], self.offsets.diff()[rows]
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        spikes = torch.repeat_interleave(starts - offsets[:-1], counts)
        spikes += torch.arange(len(spikes), device=device)
        return self._of(self.z[spikes], self.channel[spikes], offsets, self.rest[rows], self.num_channels)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SpikeEvents:
        """The same events on another device, or with another floating dtype.

        Raises:
            InputError: ``dtype`` is not a floating type, or a z becomes 0 or inf in it.
        """
        if dtype is not None and not dtype.is_floating_point:
            raise InputError(f"dtype must be a floating type, got {dtype}")
        z, rest = (_converted(x, device, dtype) for x in (self.z, self.rest))
        channel, offsets = (x.to(device=device) for x in (self.channel, self.offsets))
        return self._of(z, channel, offsets, rest, self.num_channels)

    def __repr__(self) -> str:
        return (
            f"SpikeEvents(batch={self.batch}, num_channels={self.num_channels}, capacity={self.z.numel()}, "
            f"dtype={self.z.dtype}, device={self.z.device})"
        )


def _collated(batch: Sequence[SpikeEvents], *, collate_fn_map: Any = None) -> SpikeEvents:
    return SpikeEvents.cat(batch)


default_collate_fn_map[SpikeEvents] = _collated  # torch's extension point for samples of a DataLoader


def _converted(z: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> Tensor:
    result = z.to(device=device, dtype=dtype)
    if dtype is not None and dtype != z.dtype:
        lost = (result == 0) | (result.isinf() & z.to(result.device).isfinite())
        if lost.any():
            raise InputError(f"dtype {dtype} cannot hold z = {z[lost.to(z.device)][0].item():g}")
    return result
