"""How far the float32 kernels are from the float64 reference, in units of what rounding can be blamed for.

    python tests/ops/rounding.py --problems 10000

Every problem is a small layer. What is printed, of every kind of problem (see docs/numbers.md): the largest relative
error of a spike time, raw and per eps · condition, where the condition is (1 + Σ|w|) / D over the causal set; that of
the drive D, per eps · (1 + Σ|w|); how many neurons got another causal set, and how far V was from threshold where that
was decided, per eps · (1 + Σ|w|); the largest errors of plasticity and feedback, per eps · Σ|terms|.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shiftlearn import ops
from shiftlearn.ops import reference

EPS = torch.finfo(torch.float32).eps


def times(rng: np.random.Generator, kind: str, batch: int, inputs: int, shift: np.ndarray) -> np.ndarray:
    """Spike times z, (batch, in)."""
    match kind:
        case "span":  # 60 decades
            return 10 ** rng.uniform(-30, 30, (batch, inputs))
        case "ties":  # neighbouring floats, tied groups, and inputs that come where the first neuron would fire
            z = np.float32(1) + np.float32(EPS) * rng.integers(0, 3, (batch, inputs))
            some = rng.random(inputs) < 0.5
            drive = shift[some, 0].sum() - 1
            if drive > 0:
                crossing = np.float32((z[:, some] @ shift[some, 0]) / drive)
                z[:, ~some] = np.maximum(crossing[:, None] * (1 + EPS * rng.integers(-1, 2)), 1)
            return z
        case "rest":  # most inputs at one late time
            z = np.exp(rng.uniform(0, 2, (batch, inputs)))
            return np.where(rng.random(z.shape) < 0.8, math.e**2, z)
    return np.exp(rng.uniform(0, 2, (batch, inputs)))


def weights(rng: np.random.Generator, kind: str, inputs: int, outputs: int) -> np.ndarray:
    """Weights, (in, out)."""
    shift = rng.normal(3 / inputs, 4 / inputs, (inputs, outputs))
    if kind == "alternating":  # 1000, −1000, …, and a small sum
        shift += 1000 * (-1.0) ** np.arange(inputs)[:, None] * (inputs > 1)
        shift[-1] += 1.5 - shift.sum(0)
    if kind == "threshold":  # Σ w − 1 = ± 10^−1 … ± 10^−7
        drive = 10 ** rng.uniform(-7, -1, outputs) * rng.choice([-1, 1, 1], outputs)
        shift[rng.integers(inputs)] += 1 + drive - shift.sum(0)
    return shift


KINDS = ("ordinary", "threshold", "ties", "span", "alternating", "rest")


@dataclass
class Worst:
    """The largest errors of a kind of problem."""

    neurons: int = 0
    fired: int = 0
    relative: float = 0.0  # of u
    condition: float = 0.0  # where that was
    scaled: float = 0.0  # of u, per eps · condition
    drive: float = 0.0  # absolute, per eps · (1 + Σ|w|)
    flips: int = 0  # another causal set
    distance: float = 0.0  # of those from their turning point, in eps
    plasticity: float = 0.0  # per eps · Σ|terms|
    feedback: float = 0.0


def sizes(z: Tensor, shift: Tensor, count: Tensor, listed: Tensor) -> tuple[Tensor, Tensor]:
    """1 + Σ|w| of each causal set; and how near any decision came to its turning point: (batch, out) float64.

    A decision, whether the neuron fires before the next input, is about V − θ then, measured here in 1 + Σ|w| so far.
    """
    order = z.argsort(dim=1, stable=True)
    times = torch.cat([z.gather(1, order), torch.full_like(z[:, :1], torch.inf)], 1)
    w = shift[order]  # (batch, in, out)
    start = torch.zeros_like(w[:, :1])
    total = torch.cat([start, w.cumsum(1)], 1) - 1
    moment = torch.cat([start, (w * times[:, :-1, None]).cumsum(1)], 1)
    size = 1 + torch.cat([start, w.abs().cumsum(1)], 1)
    following = times[:, :, None]
    # V − θ just before the next input; a decision is one only if time passes before that
    gap = torch.where(following.isinf(), total, total - moment / following)
    passes = times > torch.cat([torch.zeros_like(times[:, :1]), times[:, :-1]], 1)
    margin = torch.where(passes[:, :, None], gap.abs() / size, torch.inf)
    taken = torch.where(count > listed, z.shape[1], count).long()
    decided = torch.arange(z.shape[1] + 1)[None, :, None] <= torch.where(count == 0, z.shape[1], taken)[:, None]
    return size.gather(1, taken[:, None])[:, 0], torch.where(decided, margin, torch.inf).amin(1)


def compare(rng: np.random.Generator, kind: str, worst: Worst) -> None:
    """One problem."""
    batch, inputs, outputs = rng.integers(1, 5), rng.integers(1, 65), rng.integers(1, 20)
    shift = weights(rng, kind, inputs, outputs)
    z = torch.tensor(times(rng, kind, batch, inputs, shift), dtype=torch.float32)
    weight = torch.tensor(shift, dtype=torch.float32)
    exact, events = ops.sort_spikes(z.double()), ops.sort_spikes(z)
    layout = (exact.z, exact.channel, exact.offsets, exact.rest)
    want_u, want_count, want_drive = reference.first_spike(*layout, weight.double())
    u, count, drive = ops.first_spike(events, weight)
    listed = (z < z.amax(1, keepdim=True)).sum(1, keepdim=True)
    size, margin = sizes(z.double(), weight.double(), want_count, listed)

    holds = want_u <= torch.finfo(torch.float32).max  # a later time is silence in float32
    both = holds & (count == want_count) & (count > 0)
    worst.neurons += u.numel()
    worst.fired += int(both.sum())
    if both.any():
        condition = size[both] / want_drive[both]
        relative = (u.double()[both] - want_u[both]).abs() / want_u[both]
        top = int(relative.argmax())
        if relative[top] > worst.relative:
            worst.relative, worst.condition = relative[top].item(), condition[top].item()
        deviation = (drive.double() - want_drive).abs() / size
        worst.drive = max(worst.drive, deviation[both].max().item() / EPS)
        worst.scaled = max(worst.scaled, (relative / condition).max().item() / EPS)
    flips = (holds | want_u.isinf()) & (count != want_count)
    worst.flips += int(flips.sum())
    if flips.any():
        worst.distance = max(worst.distance, margin[flips].max().item() / EPS)

    # The same causal sets and coefficients for both, of the size of the times so that nothing overflows.
    scale = z.max()
    a = torch.tensor(rng.normal(size=u.shape), dtype=torch.float32) / scale
    c = a * torch.where(u < torch.inf, torch.minimum(u, scale), 0)
    size_a = ops.plasticity(exact, count, a.abs().double(), -c.abs().double())
    size_a += (a.abs() * scale).double().sum(0)  # what a row adds to all channels at rest and takes from those listed
    learned = ops.plasticity(events, count, a, c).double()
    error = (learned - reference.plasticity(*layout, count, a.double(), c.double(), int(inputs))).abs()
    worst.plasticity = max(worst.plasticity, (error / size_a).max().item() / EPS)
    sent = ops.feedback(events, count, a, weight).double()
    error = (sent - reference.feedback(*layout, count, a.double(), weight.double())).abs()
    size_f = reference.feedback(*layout, count, a.abs().double(), weight.abs().double())
    worst.feedback = max(worst.feedback, torch.nan_to_num(error / size_f).max().item() / EPS)


def measure(problems: int, seed: int, kinds: Sequence[str] = KINDS) -> dict[str, Worst]:
    """``problems`` in all, of each kind in turn."""
    rng = np.random.default_rng(seed)
    result = {kind: Worst() for kind in kinds}
    for i in range(problems):
        kind = kinds[i % len(kinds)]
        compare(rng, kind, result[kind])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "kind          neurons  rel. error  at condition  / eps·cond.  drive  flips  within eps  plasticity  feedback"
    )
    for kind, w in measure(arguments.problems, arguments.seed).items():
        print(f"{kind:11}  {w.neurons:8}  {w.relative:10.1e}  {w.condition:12.1e}  {w.scaled:11.2f}  {w.drive:5.2f}  "
              f"{w.flips:5}  {w.distance:10.2f}  {w.plasticity:10.2f}  {w.feedback:8.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
