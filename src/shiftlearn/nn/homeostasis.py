"""What follows the optimizer's step: keeping neurons alive and delays causal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..errors import InputError
from .linear import require_integers, shift_layers

__all__ = ["Homeostasis", "project_delays"]


class Homeostasis:
    """Raise the weights of every neuron whose Σ_i w_ij is below ``target``, by the same amount at each synapse.

    A deterministic function of the weights. With a target above the threshold, 1, a neuron fires whenever all of
    its inputs do; where inputs can stay silent, choose a target that suits a typical active set. Call it after the
    optimizer's step::

        homeostasis = Homeostasis(1.2)
        optimizer.step()
        homeostasis(model)

    ``target`` may be a sequence, one for each layer, 0 for none. Only every ``every``-th call does it, counted by
    ``calls`` from 0: what is slow in nature need not take its time in each step.
    """

    def __init__(self, target: float | Sequence[float] = 1.2, every: int = 1) -> None:
        if not (min(target, default=-1) >= 0 if isinstance(target, Sequence) else target > 0):
            raise InputError(f"target must be positive, or 0 or more for each layer, got {target}")
        require_integers(every=every)
        self.target, self.every, self.calls = target, every, 0

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        self.calls += 1
        if self.calls % self.every:
            return
        layers = shift_layers(model)
        targets = self.target if isinstance(self.target, Sequence) else [self.target] * len(layers)
        if len(targets) != len(layers):
            raise InputError(f"target must be 0 or more for each of the {len(layers)} layers, got {self.target}")
        for layer, target in zip(layers, targets, strict=True):
            drive = layer.shift.sum(-2)
            # Often there is nothing to do, but only the CPU can be asked without waiting for a device.
            if target and (drive.device.type != "cpu" or drive.min().item() < target):
                missing = (target - drive).clamp_min(0)
                layer.shift.add_(missing.unsqueeze(-2) / layer.in_features)


@torch.no_grad()
def project_delays(model: nn.Module) -> None:
    """Set every delay factor below 1 to 1: an axon cannot deliver a spike before it was fired."""
    for layer in shift_layers(model):
        layer.delay.clamp_(min=1)
