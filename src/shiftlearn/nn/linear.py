"""The fully connected single-spike layer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import ops
from ..errors import InputError, RunWarning
from ..ops import rules
from ..ops.checks import plain
from ..ops.events import SpikeEvents
from ..registry import FEEDBACK
from . import pathways
from .held import change, current

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
        rule: local learning rule, "shifting", "normalized", "exact" or a registered one; see
            :mod:`shiftlearn.ops.rules`. "exact" is the gradient. "normalized", the default, is the published rule
            over the drive; where delays are 1, that is the gradient of the weights times e = 2.718: with plain SGD the
            learning rate is in effect e times as large, while Adam does not depend on such a factor.
        feedback: what carries the error to the inputs: "symmetric" the weights themselves; "random" a fixed,
            non-negative matrix drawn like the initial weights (feedback alignment); "aligning" one that
            changes with the weights (:meth:`align`); "sign" fixed magnitudes with the signs of the weights; "none"
            nothing; or a registered one, see :mod:`shiftlearn.nn.pathways`.
        init_scale: synaptic weights start as U(0, init_scale / in_features), as published (8).
        min_drive: floor of the drive where the rule divides by it.
        generator: source of the initial values.
        device, dtype: of the parameters; float32 or float64.
        members: None, or the number of networks that train side by side as one tensor (an ensemble): parameters,
            inputs and outputs then have it as their first dimension. ``generator`` may be a sequence, one for each.
        delay_tau: axonal delay at the start, in units of τ: 0 or more, one for all neurons or (out,) of them.
        published_delays: do not warn where a delay factor is below 1, as in the published scripts. Otherwise the first
            forward pass on the CPU with such a factor warns (:class:`shiftlearn.errors.RunWarning`).

    Attributes:
        shift: (in, out) Parameter, the synaptic weights (the paper's e_ts).
        delay: (out,) Parameter, the axonal delays as factors on z, exp(delay / τ) (the paper's passing times e_tp);
            exp(delay_tau) at the start. A factor below 1 delivers a spike before it was fired.

    Raises:
        InputError: a size below 1, an unknown rule or feedback, an ``init_scale`` that is not positive, a ``delay_tau``
            below 0 or with a factor that is not finite.
    """

    shift: nn.Parameter
    delay: nn.Parameter
    feedback_weight: Tensor | None
    delay_tau: float | Sequence[float] | Tensor
    published_delays: bool
    _seen: tuple[Tensor, int, int] | None = None  # the delays that were last looked at, their address and version
    _warned = False

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
        delay_tau: float | Sequence[float] | Tensor = 0.0,
        published_delays: bool = False,
    ) -> None:
        super().__init__()
        require_integers(in_features=in_features, out_features=out_features, members=1 if members is None else members)
        rules.get(rule)
        has_matrix = pathways.has_matrix(feedback)
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
        self.delay_tau, self.published_delays = delay_tau, published_delays
        _require_delays(delay_tau, self.delay)
        matrix = torch.empty_like(empty) if has_matrix else None
        self.register_buffer("feedback_weight", matrix)
        self.reset_parameters(generator)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | Sequence[torch.Generator] | None = None) -> None:
        """Draw the weights and the feedback matrix anew and set the delays to what they were at the start."""
        if not (generator is None or isinstance(generator, torch.Generator)) and len(generator) != self.members:
            raise InputError(f"generator must be one, or one for each of {self.members} members, got {len(generator)}")
        bound = self.init_scale / self.in_features
        change(self, "shift", lambda shift, _: draw(shift, bound, generator))
        change(self, "delay", lambda delay, _: delay.copy_(_factors(self.delay_tau)))
        if self.feedback_weight is not None:
            draw(self.feedback_weight, bound, generator)

    def look_at_delays(self) -> None:
        """Warn once of a delay factor below 1, unless ``published_delays``; only on the CPU, where one can look."""
        if self.published_delays or self._warned or not plain(self.delay):
            return
        if self._has_seen(self.delay):
            return
        self._seen = _state(self.delay)
        if 0 < (least := self.delay.detach().min().item()) < 1:  # one of 0 or less is an error
            self._warned = True
            warnings.warn(
                f"delay of {self} holds the factor {least:g}, below 1: a spike arrives before it was fired. A delay in "
                "units of tau is given as delay_tau=…, its factor is exp(delay_tau); after an optimizer's step "
                "shiftlearn.nn.constrain keeps factors at 1 or more; published_delays=True says that it is wanted",
                RunWarning,
                stacklevel=5,
            )

    def _has_seen(self, delay: Tensor) -> bool:
        """Whether it is the tensor that was last looked at, unchanged. Kept, it leaves its address to no other."""
        return (
            self._seen is not None and self._seen[0] is delay and self._seen[1:] == (delay.data_ptr(), _version(delay))
        )

    def project_delays(self) -> None:
        """Set delay factors below 1 to 1."""
        change(self, "delay", lambda delay, _: delay.clamp_(min=1))
        if plain(self.delay):  # and need not be looked at
            self._seen = _state(self.delay)

    def forward(self, z: Tensor | SpikeEvents) -> Tensor:
        """Spike times of the neurons.

        Args:
            z: (batch, in) of z = exp(t / tau), inf for no spike, or SpikeEvents; of an ensemble (members, batch, in),
                or SpikeEvents with the rows of its members in order, the same number each.

        Returns:
            (batch, out) of z, inf for a silent neuron. The backward pass leaves the rule's weight updates in ``.grad``.
        """
        self.look_at_delays()
        matrix = pathways.matrix(self.feedback, self.shift, self.feedback_weight)
        if self.feedback == "none" and isinstance(z, Tensor):
            z = z.detach()
        return ops.fire(z, self.shift, self.delay, matrix, self.rule, self.min_drive)

    @torch.no_grad()
    def align(self, before: Tensor, keep: float) -> None:
        """Change an aligning feedback matrix B as the weights W were changed since they were ``before``.

        Let a step be W ← keep · W + A, where A comes from the spikes of both neurons and the error, which both synapses
        see. The same step for the other synapse, B ← keep · B + A, needs no weight transport, and lets B − W decay by
        ``keep``: feedback comes to be symmetric. Here A is computed as W − keep · before, since the optimizer made it.
        (After J. F. Kolen & J. B. Pollack 1994.)
        """
        if self.feedback != "aligning" or self.feedback_weight is None:
            raise InputError(f"feedback must be 'aligning' to be aligned, got {self.feedback!r}")
        self.feedback_weight.sub_(before).mul_(keep).add_(current(self, "shift"))

    def extra_repr(self) -> str:
        members = "" if self.members is None else f", members={self.members}"
        return f"{self.in_features}, {self.out_features}, rule={self.rule!r}, feedback={self.feedback!r}{members}"


def _state(x: Tensor) -> tuple[Tensor, int, int] | None:
    """What changes when a tensor's values do, except through ``x.data``; None if it is computed."""
    return (x, x.data_ptr(), _version(x)) if x.is_leaf else None


def _version(x: Tensor) -> int:
    return 0 if x.is_inference() else x._version


def _factors(delay_tau: float | Sequence[float] | Tensor) -> Tensor:
    return torch.as_tensor(delay_tau, dtype=torch.float64, device="cpu").exp()


def _require_delays(delay_tau: float | Sequence[float] | Tensor, delay: Tensor) -> None:
    factors = _factors(delay_tau)
    if factors.shape not in ((), delay.shape[-1:]):
        raise InputError(f"delay_tau must be one number, or {delay.shape[-1]}, got {tuple(factors.shape)}")
    if not ((factors >= 1) & (factors < torch.finfo(delay.dtype).max)).all():
        raise InputError(
            f"delay_tau must be 0 or more, in units of tau, and exp(delay_tau) a {delay.dtype}, got {delay_tau}"
        )


def shift_layers(network: nn.Module) -> list[ShiftLinear]:
    """The layers of a network that have synapses, in order; convolutions are among them."""
    return [module for module in network.modules() if isinstance(module, ShiftLinear)]
