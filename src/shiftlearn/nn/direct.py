"""Direct random feedback: the read-out's error reaches every hidden layer through a matrix of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .linear import ShiftLinear, draw

__all__ = ["DirectFeedback"]


class DirectFeedback(nn.Sequential):
    """Layers in sequence; each hidden one hears the error of the read-out times a fixed matrix, and nothing else.

    The layers must have ``feedback="none"``. The matrices are the buffers ``direct_0``, ``direct_1``, …, each (classes,
    neurons), non-negative and drawn like the initial weights of the read-out.

    Args:
        layers: ShiftLinear, the read-out last.
        generator: source of the matrices; for an ensemble one for each member.

    Raises:
        InputError: a layer is none, or has another feedback.
    """

    def __init__(
        self, *layers: ShiftLinear, generator: torch.Generator | Sequence[torch.Generator] | None = None
    ) -> None:
        super().__init__(*layers)
        for layer in layers:
            if not isinstance(layer, ShiftLinear) or layer.feedback != "none":
                raise InputError(f"layers must be ShiftLinear with feedback 'none', got {layer}")
        readout = layers[-1]
        for number, layer in enumerate(layers[:-1]):
            shape = (*readout.delay.shape, layer.out_features)
            matrix = torch.empty(shape, device=readout.delay.device, dtype=readout.delay.dtype)
            draw(matrix, readout.init_scale / readout.in_features, generator)
            self.register_buffer(f"direct_{number}", matrix)

    def forward(self, z: Any) -> Tensor:
        """As nn.Sequential."""
        fired = []
        for layer in self:
            z = layer(z)
            fired.append(z)
        *hidden, z = fired
        matrices = [self.get_buffer(f"direct_{number}") for number in range(len(hidden))]
        out: Tensor = _Broadcast.apply(z, *hidden, *matrices)  # type: ignore[no-untyped-call]
        return out


class _Broadcast(torch.autograd.Function):
    """Nothing on the way forward; backward, the error as it is to the read-out, and times a matrix to each layer."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, *rest: Tensor) -> Tensor:
        ctx.save_for_backward(*rest[len(rest) // 2 :])
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        matrices = ctx.saved_tensors
        return grad[0], *(grad[0] @ matrix for matrix in matrices), *(None for _ in matrices)
