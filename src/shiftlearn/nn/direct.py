"""Direct random feedback: the read-out's error reaches every hidden layer through a matrix of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..ops.checks import autocast
from ..ops.derivatives import FirstOrder
from .linear import ShiftLinear, draw

__all__ = ["DirectFeedback"]


class DirectFeedback(nn.Sequential):
    """Modules in sequence; each hidden layer receives the error of the read-out times a fixed matrix, and nothing else.

    The layers must have ``feedback="none"``; modules without parameters (pooling, nn.Flatten) may stand between them.
    The matrices are the buffers ``direct_0``, ``direct_1``, …, each (classes, neurons), non-negative and drawn like the
    initial weights of the read-out. A convolution has channels · rows · columns neurons.

    Args:
        modules: ShiftLinear, ShiftConv2d and what stands between them, the read-out last.
        input_shape: of one sample; None: (in_features,) of the first module, which must then be a layer.
        generator: source of the matrices; for an ensemble one for each member.

    Raises:
        InputError: a layer is none, or has another feedback, or ``input_shape`` does not fit.
    """

    def __init__(
        self,
        *modules: nn.Module,
        input_shape: Sequence[int] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> None:
        super().__init__(*modules)
        readout = modules[-1] if modules else None
        for module in (*(m for m in modules if list(m.parameters())), readout):
            if not isinstance(module, ShiftLinear) or module.feedback != "none":
                raise InputError(f"layers must be ShiftLinear with feedback 'none', got {module}")
        assert isinstance(readout, ShiftLinear)
        if input_shape is None:
            if not isinstance(modules[0], ShiftLinear):
                raise InputError(f"input_shape must be given where the first module is no layer, got {modules[0]}")
            input_shape = (modules[0].in_features,)
        lead = readout.delay.shape[:-1]
        with torch.no_grad():  # one sample shows how many neurons there are
            *hidden, _ = self._fired(readout.delay.new_ones(*lead, 1, *input_shape))
        for number, z in enumerate(hidden):
            neurons = z.shape[len(lead) + 1 :].numel()
            matrix = torch.empty(*readout.delay.shape, neurons, device=z.device, dtype=z.dtype)
            draw(matrix, readout.init_scale / readout.in_features, generator)
            self.register_buffer(f"direct_{number}", matrix)

    def forward(self, z: Any) -> Tensor:
        """As nn.Sequential."""
        *hidden, z = self._fired(z)
        matrices = [self.get_buffer(f"direct_{number}") for number in range(len(hidden))]
        out: Tensor = _Broadcast.apply(z, *hidden, *matrices)  # type: ignore[no-untyped-call]
        return out

    def _fired(self, z: Any) -> list[Tensor]:
        """What each layer makes of the input."""
        fired = []
        for module in self:
            z = module(z)
            if isinstance(module, ShiftLinear):
                fired.append(z)
        return fired


class _Broadcast(FirstOrder):
    """Forward: the identity. Backward: the error to the read-out, and times a matrix to each hidden layer."""

    generate_vmap_rule = True
    jvp = torch.autograd.Function.jvp  # torch compiles no function with one of its own; the layers refuse before

    @staticmethod
    def forward(z: Tensor, *rest: Tensor) -> Tensor:
        return z.view_as(z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _, *rest = inputs
        hidden, matrices = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        ctx.shapes = [x.shape for x in hidden]
        ctx.save_for_backward(*matrices)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        with torch.autocast(grad[0].device.type, enabled=False) if autocast(grad[0]) else nullcontext():
            sent = [(grad[0] @ matrix).view(shape) for matrix, shape in zip(ctx.saved_tensors, ctx.shapes, strict=True)]
        return grad[0], *sent, *(None for _ in sent)
