"""Read-outs and losses over first-spike times. The loss is the neuromodulator: its gradient is the error δ.

Silence (inf) is replaced by a finite horizon and gets no gradient, so losses stay finite whoever is silent.

What is read out is z = exp(t / τ), or t / τ = log z. Inputs of c·z make outputs of c·z, which changes the scores
where z is read out, but not where t is: softmax(−β log z) is z^−β, normalised.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .. import ops
from ..errors import InputError, unknown_name
from ..ops.checks import classes, widened
from ..ops.derivatives import FirstOrder, vmapped
from ..registry import BASELINES, READOUTS
from .shard import Shard

__all__ = ["FirstSpikeCrossEntropy", "RewardLoss", "SoftmaxTargetError", "first_to_fire", "spike_time_scores"]


def first_to_fire(z: Tensor) -> Tensor:
    """The class whose neuron fires first, (batch, classes) to (batch,).

    Of tied neurons the one with the lowest index wins; where all are silent the answer is 0.
    """
    return z.argmin(-1)


def spike_time_scores(z: Tensor, beta: float = 1.0, readout: str = "z") -> Tensor:
    """softmax(−β z), or softmax(−β log z) with readout "t": (batch, classes) scores that sum to 1.

    A silent class gets 0; if all are silent, all get 1/n.
    """
    all_silent = z.isinf().all(-1, keepdim=True)
    return torch.softmax(torch.where(all_silent, 0.0, -beta * (z.log() if _in_time(readout) else z)), -1)


def _in_time(readout: str) -> bool:
    if readout not in READOUTS:
        raise unknown_name("readout", readout, READOUTS)
    return readout == "t"


def _finite(z: Tensor, horizon: float) -> Tensor:
    """Silence as the horizon."""
    return torch.where(z.isinf(), horizon, z)


def _read(z: Tensor, horizon: float, readout: str) -> tuple[Tensor, float]:
    """What is read out of z and the horizon. Silence stays inf."""
    return (z.log(), math.log(horizon)) if _in_time(readout) else (z, horizon)


def _checked(z: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Spike times and weights that fit, in float32 under autocast."""
    z, weight = widened(z), None if weight is None else widened(weight)
    if z.ndim != 2 or target.shape != z.shape[:1]:
        raise InputError(f"z must be (batch, classes) and target (batch,), got {tuple(z.shape)}, {tuple(target.shape)}")
    if z.dtype not in (torch.float32, torch.float64):
        raise InputError(f"z must be float32 or float64, got {z.dtype}")
    if target.dtype.is_floating_point or target.dtype == torch.bool:
        raise InputError(f"target must hold class indices, got {target.dtype}")
    if weight is not None and (weight.shape != target.shape or weight.dtype != z.dtype):
        raise InputError(
            f"weight must be {tuple(target.shape)} of {z.dtype}, got {tuple(weight.shape)} of {weight.dtype}"
        )
    return z, weight


def _check_settings(beta: float, horizon: float, reduction: str, readout: str = "z") -> None:
    if not beta > 0:
        raise InputError(f"beta must be positive, got {beta}")
    if not horizon > 0:
        raise InputError(f"horizon must be positive, got {horizon}")
    if reduction not in ("mean", "sum"):
        raise InputError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
    _in_time(readout)


class FirstSpikeCrossEntropy(nn.Module):
    """Cross-entropy of softmax(−β z) with label smoothing: the right class is to fire first.

    Args:
        beta: inverse temperature, > 0; the larger, the smaller the lead (in what is read out) that counts as certain.
        label_smoothing: share of the target spread evenly over all classes, in [0, 1).
        horizon: the z that stands for a silent class.
        reduction: "mean" or "sum" over the batch.
        ordinal: where classes are numbers, and to be nearly right is better than to be wrong: the standard deviation
            in classes of a normal distribution about the right one, which is the target in its place; 0: none.
        readout: "z", or "t" for log z in the place of z.
    """

    def __init__(
        self,
        beta: float = 1.0,
        label_smoothing: float = 0.0,
        horizon: float = 100.0,
        reduction: str = "mean",
        ordinal: float = 0.0,
        readout: str = "z",
    ) -> None:
        super().__init__()
        _check_settings(beta, horizon, reduction, readout)
        if not 0 <= label_smoothing < 1:
            raise InputError(f"label_smoothing must lie in [0, 1), got {label_smoothing}")
        if not ordinal >= 0:
            raise InputError(f"ordinal must be 0 or more, got {ordinal}")
        self.beta, self.label_smoothing, self.horizon = beta, label_smoothing, horizon
        self.reduction, self.ordinal, self.readout = reduction, ordinal, readout

    def forward(self, z: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Scalar loss of (batch, classes) spike times for (batch,) class indices; ``weight`` (batch,) is each row's."""
        z, weight = _checked(z, target, weight)
        z, horizon = _read(z, self.horizon, self.readout)
        among = max(z.shape[0], 1) if self.reduction == "mean" else 1
        if not self.ordinal:
            return ops.cross_entropy(z, target.long(), weight, among, self.beta, self.label_smoothing, horizon)
        rows = self._ordinal(_finite(z, horizon), target)
        return (rows if weight is None else rows * weight).sum() / among

    def _ordinal(self, z: Tensor, target: Tensor) -> Tensor:
        classes(target, z.shape[1])
        distance = torch.arange(z.shape[1], device=z.device) - target[:, None]
        wanted = torch.softmax((distance / self.ordinal).square().to(z.dtype) / -2, -1)
        wanted = (1 - self.label_smoothing) * wanted + self.label_smoothing / z.shape[1]
        return -(wanted * torch.log_softmax(-self.beta * z, -1)).sum(-1)


class RewardLoss(nn.Module):
    """Scalar reward: the network guesses a class and receives one number for the sample, whether the guess was right.

    The guess is drawn from π = softmax(−β z). The loss is −(r − r̄) · log π(guess), with r = 1 for a right guess and 0
    for a wrong one, and r̄ the expected r: so a synapse changes by its eligibility times one number, the reward beyond
    what was expected. (REINFORCE with a baseline.)

    The baseline "mean" expects the mean of r over the batch; where processes share a batch, that of them all. The
    baseline "confidence" expects π(guess), the network's own estimate. As π(guess) depends on the guess, the mean of
    the error over guesses is then not the gradient of the mean reward, π(right), but that of
    π(right) − ½ Σ_k π_k², up to a constant half the Brier score with the other sign: Σ_k π_k (r_k − π_k) ∇ log π_k =
    ∇π(right) − ½ ∇ Σ_k π_k². That asks for chances that are right, not only for right guesses. (Our own derivation.)

    A class of which π has become 0 is never guessed again, even where it is right. So a share
    ``exploration`` of the guesses is drawn from all classes alike. With the baseline "confidence" their mean error is
    the gradient of log π(right) / classes, that of the cross-entropy, as Σ_k π_k ∇ log π_k = 0. (Our own derivation.)

    Args:
        beta: inverse temperature, > 0: the smaller, the more is tried.
        horizon: the z that stands for a silent class; it gets no error.
        reduction: "mean" or "sum" over the batch.
        readout: "z", or "t" for log z in the place of z.
        generator: source of the guesses; can be replaced as the attribute of that name.
        baseline: "mean" or "confidence".
        exploration: share of the guesses that are drawn from all classes alike, in [0, 1].
    """

    def __init__(
        self,
        beta: float = 1.0,
        horizon: float = 100.0,
        reduction: str = "mean",
        generator: torch.Generator | None = None,
        readout: str = "z",
        baseline: str = "mean",
        exploration: float = 0.0,
    ) -> None:
        super().__init__()
        _check_settings(beta, horizon, reduction, readout)
        if baseline not in BASELINES:
            raise unknown_name("baseline", baseline, BASELINES)
        if not 0 <= exploration <= 1:
            raise InputError(f"exploration must be in [0, 1], got {exploration}")
        self.beta, self.horizon, self.reduction, self.generator = beta, horizon, reduction, generator
        self.readout, self.baseline, self.exploration = readout, baseline, exploration

    def forward(self, z: Tensor, target: Tensor, weight: Tensor | None = None, shard: Shard | None = None) -> Tensor:
        """Scalar loss of (batch, classes) spike times for (batch,) class indices; ``weight`` (batch,) is each row's.

        ``shard`` says which part of a batch the rows are, of which other processes hold the rest; None: all of it.
        """
        if vmapped():
            raise NotImplementedError(
                "RewardLoss draws one guess for each row of a batch, which torch.func.vmap (and jacfwd and hessian, "
                "which use it) cannot take apart: call it once, with all rows"
            )
        z, weight = _checked(z, target, weight)
        classes(target, z.shape[1])
        shard = shard or Shard(len(z))
        log_p = torch.log_softmax(-self.beta * _finite(*_read(z, self.horizon, self.readout)), -1)
        # The guesses are drawn on the CPU, whatever the device, and for the rows of the other processes too: so they
        # are those that one process would draw.
        chances = torch.ones(shard.total, z.shape[1], dtype=z.dtype)
        chances[shard.rows] = (1 - self.exploration) * log_p.detach().exp().cpu()
        chances += self.exploration / max(z.shape[1], 1)
        guess = torch.multinomial(chances, 1, generator=self.generator) if shard.total else target[:, None]
        guess = guess[shard.rows].to(z.device)
        reward = (guess[:, 0] == target).to(z.dtype)
        chosen = log_p.gather(1, guess)[:, 0]
        sure = self.baseline == "confidence"
        expected = chosen.detach().exp() if sure else shard.sum(reward.sum()) / shard.total
        rows = (expected - reward) * chosen
        loss = (rows if weight is None else rows * weight).sum()
        return loss / max(z.shape[0], 1) if self.reduction == "mean" else loss


class SoftmaxTargetError(nn.Module):
    """The published loss (SL_mnist.MNIST_train): Σ (softmax(z) − softmax(exp(t)))², t 0.01 right and 0.99 wrong.

    Its backward is the published error δ = softmax(z) − softmax(exp(t)), which is *not* the gradient of the number
    that it reports.

    Args:
        reduction: "sum" (published) or "mean" over the batch.
        horizon: the z that stands for a silent class, 1e5 as published.
    """

    def __init__(self, reduction: str = "sum", horizon: float = 1e5) -> None:
        super().__init__()
        _check_settings(1.0, horizon, reduction)
        self.reduction, self.horizon = reduction, horizon

    def forward(self, z: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Scalar loss of (batch, classes) spike times for (batch,) class indices; ``weight`` (batch,) is each row's."""
        z, weight = _checked(z, target, weight)
        classes(target, z.shape[1])
        wanted = torch.full_like(z, 0.99).scatter(1, target.long()[:, None], 0.01)
        wanted = torch.softmax(torch.exp(wanted), -1)
        scale = 1.0 if self.reduction == "sum" else 1.0 / max(z.shape[0], 1)
        loss: Tensor
        loss, _ = _PublishedError.apply(_finite(z, self.horizon), wanted, weight, scale)  # type: ignore[no-untyped-call]
        return loss


class _PublishedError(FirstOrder):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, wanted: Tensor, weight: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
        error = torch.softmax(z, -1) - wanted
        squares = error.square()
        if weight is not None:
            squares, error = squares * weight[:, None], error * weight[:, None]
        return squares.sum() * scale, error

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], inputs[0])
        ctx.scale = inputs[3]

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad[0] * ctx.scale * ctx.saved_tensors[0], None, None, None
