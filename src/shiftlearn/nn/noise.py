"""Augmentation in training: jittered and deleted spikes, translated images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import InputError
from .shard import Shard

__all__ = ["SpikeNoise", "perturbed", "translate"]


class SpikeNoise:
    """Perturbs the spikes that reach a layer while it is in training mode, as a hook::

        layer.register_forward_pre_hook(SpikeNoise(jitter=0.1, deletion=0.2))

    Each spike is shifted by a normally distributed time and deleted with a probability; nothing is rescaled.
    Deleted spikes receive no feedback.

    Args:
        jitter: standard deviation of the movement, in units of τ: z becomes z · exp(jitter · ξ).
        deletion: probability that a spike is lost, in [0, 1).
        generator: source of both, on the CPU.

    Attributes:
        generator: can be replaced.
        shard: which part of a batch the layer gets, where other processes have the rest; None: all of it. The noise is
            that which one process would draw.

    Raises:
        InputError: a value out of range.
    """

    def __init__(self, jitter: float = 0.0, deletion: float = 0.0, generator: torch.Generator | None = None) -> None:
        if not 0 <= jitter < math.inf:
            raise InputError(f"jitter must be 0 or more, got {jitter}")
        if not 0 <= deletion < 1:
            raise InputError(f"deletion must lie in [0, 1), got {deletion}")
        self.jitter, self.deletion, self.generator = jitter, deletion, generator
        self.shard: Shard | None = None

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        """The spikes (batch, …) of z that the layer gets in place of its own."""
        (z,) = inputs
        if not layer.training:
            return inputs
        return (perturbed(z, self.jitter, self.deletion, self.generator, self.shard),)


def perturbed(
    z: Tensor, jitter: float, deletion: float, generator: torch.Generator | None = None, shard: Shard | None = None
) -> Tensor:
    """Spikes (batch, …) of z, moved and lost as by :class:`SpikeNoise`."""
    shard = shard or Shard(len(z))
    noise = torch.empty(shard.total, *z.shape[1:], dtype=z.dtype)
    if jitter:
        noise.normal_(std=jitter, generator=generator)
        z = z * noise[shard.rows].to(z.device).exp()
    if deletion:
        noise.uniform_(generator=generator)
        z = z.masked_fill(noise[shard.rows].to(z.device) < deletion, math.inf)
    return z


def translate(images: Tensor, offsets: Tensor) -> Tensor:
    """Square images, each moved by whole pixels; what leaves is lost, and zeros enter.

    Args:
        images: (n, side · side).
        offsets: (n, 2) integers, rows down and columns to the right.
    """
    if images.ndim != 2 or (side := math.isqrt(images.shape[1])) ** 2 != images.shape[1] or not side:
        raise InputError(f"images must have shape (n, side * side), got {tuple(images.shape)}")
    if offsets.shape != (len(images), 2) or offsets.dtype.is_floating_point:
        raise InputError(f"offsets must be {(len(images), 2)} integers, got {tuple(offsets.shape)} of {offsets.dtype}")
    border = int(offsets.abs().max()) if len(offsets) else 0
    padded = nn.functional.pad(images.view(-1, side, side), (border,) * 4)
    row, column = (border - offsets).T
    windows = padded.unfold(1, side, 1).unfold(2, side, 1)
    return windows[torch.arange(len(images), device=images.device), row, column].flatten(1)
