"""The fully connected single-spike layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import ops, rules
from ..errors import InputError, unknown_name
from ..events import SpikeEvents
from ..names import FEEDBACK

__all__ = ["FEEDBACK", "ShiftLinear", "shift_layers"]


def require_integers(least: int = 1, **values: int) -> None:
    """InputError unless all of the named values are integers of ``least`` or more."""
    for name, value in values.items():
        if not isinstance(value, int) or value < least:
            raise InputError(f"{name} must be an integer of {least} or more, got {value!r}")


def draw(matrix: Tensor, bound: float, generator: torch.Generator | Sequence[torch.Generator] | None) -> None:
    """Fill with U(0, bound), each member of an ensemble from a generator of its own if there are several."""
    if generator is None or isinstance(generator, torch.Generator):
        matrix.uniform_(0, bound, generator=generator)
        return
    for member, own in zip(matrix, generator, strict=True):
        member.uniform_(0, bound, generator=own)


class ShiftLinear(nn.Module):
    """Every input reaches every neuron; each neuron fires once, when its potential first reaches threshold.

    Args:
        in_features, out_features: number of inputs and neurons.
        rule: local learning rule, "shifting", "normalized", "exact" or a registered one; see :mod:`shiftlearn.rules`.
        feedback: what carries the error to the inputs: "symmetric" the weights themselves; "random" a fixed,
            non-negative matrix drawn like the initial weights (feedback alignment); "aligning" one that
            changes with the weights (:meth:`align`); "sign" fixed magnitudes with the signs of the weights; "none"
            nothing.
        init_scale: weights start as U(0, init_scale / in_features), as published (8).
        min_drive: floor of the drive where the rule divides by it.
        generator: source of the initial values.
        device, dtype: of the parameters; float32 or float64.
        members: None, or the number of networks that train side by side as one tensor (an ensemble): parameters,
            inputs and outputs then have it as their first dimension. ``generator`` may be a sequence, one for each.

    Attributes:
        shift: (in, out) Parameter, the shifting timings e_ts.
        delay: (out,) Parameter, the passing times e_tp as factors on z; 1 at the start.

    Raises:
        InputError: a size below 1, an unknown rule or feedback, an ``init_scale`` that is not positive.
    """

    shift: nn.Parameter
    delay: nn.Parameter
    feedback_weight: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rule: str = "normalized",
        feedback: str = "symmetric",
        init_scale: float = 8.0,
        min_drive: float = 0.0,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        members: int | None = None,
    ) -> None:
        super().__init__()
        require_integers(in_features=in_features, out_features=out_features, members=1 if members is None else members)
        rules.get(rule)
        if feedback not in FEEDBACK:
            raise unknown_name("feedback", feedback, FEEDBACK)
        if not init_scale > 0:
            raise InputError(f"init_scale must be positive, got {init_scale}")
        if not min_drive >= 0:
            raise InputError(f"min_drive must be 0 or more, got {min_drive}")
        self.in_features, self.out_features, self.members = in_features, out_features, members
        self.rule, self.feedback, self.init_scale, self.min_drive = rule, feedback, init_scale, min_drive
        lead = () if members is None else (members,)
        empty = torch.empty(*lead, in_features, out_features, device=device, dtype=dtype)
        self.shift = nn.Parameter(empty)
        self.delay = nn.Parameter(torch.empty(*lead, out_features, device=device, dtype=dtype))
        matrix = torch.empty_like(empty) if feedback in ("random", "aligning", "sign") else None
        self.register_buffer("feedback_weight", matrix)
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | Sequence[torch.Generator] | None = None) -> None:
        """Draw the weights and the feedback matrix anew and set the delays to 1."""
        bound = self.init_scale / self.in_features
        self.delay.fill_(1)
        drawn = [self.shift] if self.feedback_weight is None else [self.shift, self.feedback_weight]
        if not (generator is None or isinstance(generator, torch.Generator)) and len(generator) != self.members:
            raise InputError(f"generator must be one, or one for each of {self.members} members, got {len(generator)}")
        for matrix in drawn:
            draw(matrix, bound, generator)

    def forward(self, z: Tensor | SpikeEvents) -> Tensor:
        """Spike times of the neurons.

        Args:
            z: (batch, in) of z = exp(t / tau), inf for no spike, or SpikeEvents; of an ensemble (members, batch, in),
                or SpikeEvents with the rows of its members in order, the same number each.

        Returns:
            (batch, out) of z, inf for a silent neuron. Its backward leaves the rule's adjustments in ``.grad``.
        """
        matrix = self.feedback_weight
        if self.feedback == "sign" and matrix is not None:
            matrix = matrix * torch.sign(self.shift.detach())
        if self.feedback == "none" and isinstance(z, Tensor):
            z = z.detach()
        return ops.fire(z, self.shift, self.delay, matrix, self.rule, self.min_drive)

    @torch.no_grad()
    def align(self, before: Tensor, keep: float) -> None:
        """Change an aligning feedback matrix B as the weights W were changed since they were ``before``.

        Let a step be W ← keep · W + A, where A comes from the spikes of both neurons and the error, which both synapses
        see. The same step for the other synapse, B ← keep · B + A, needs no weight transport, and lets B − W decay by
        ``keep``: feedback comes to be symmetric. Here A is computed as W − keep · before, since the optimizer made it.
        (Kolen & Pollack 1994, as in M. Akrout et al., Deep Learning without Weight Transport, NeurIPS 2019.)
        """
        if self.feedback != "aligning" or self.feedback_weight is None:
            raise InputError(f"feedback must be 'aligning' to be aligned, got {self.feedback!r}")
        self.feedback_weight.sub_(before).mul_(keep).add_(self.shift)

    def extra_repr(self) -> str:
        members = "" if self.members is None else f", members={self.members}"
        return f"{self.in_features}, {self.out_features}, rule={self.rule!r}, feedback={self.feedback!r}{members}"


def shift_layers(network: nn.Module) -> list[ShiftLinear]:
    """The layers of a network that have synapses, in order; convolutions are among them."""
    return [module for module in network.modules() if isinstance(module, ShiftLinear)]
