"""Data-driven initialisation: signed weights for networks of any depth.

Write w_ij = m_j + s ξ_ij with ξ ~ N(0, 1), of sum 0 over the inputs of each neuron. A neuron fires at u = N / (S − 1),
N = Σ_C w z, S = Σ_C w, so within one causal set

    ∂ log u_j / ∂ log z_i = w_ij z_i / N_j.

These sum to 1 over C: what delays all inputs of a sample alike (a digit with little ink) delays the neuron as much,
with any weights and at any depth. What shrinks is the rest, which distinguishes samples: for k = |C| inputs
with independent deviations of sd σ it becomes σ √(Σ w² z²) / N ≈ σ √((1 + s²/m²) / k), and σ √(4 / 3k) for weights of
U(0, scale/in). Only signed weights, with s of the order of m √k, keep it. (Our own derivation.)

So m_j is set by bisection for the share of inputs in the causal set, as a larger m_j never delays the neuron; and s,
one for each layer, for the spread that is asked for. As Σ_i w_ij = in · m_j, a floor on m_j makes every neuron fire
whenever all of its inputs do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import ops
from ..errors import InputError
from ..ops.events import SpikeEvents
from .conv import fully_connected
from .held import living, replace
from .linear import ShiftLinear

__all__ = ["causal_share", "initialise", "sample_spread"]

_FLOOR, _CEILING = 1.5, 1e4  # of Σ_i w_ij
_NOISE = 1e-2, 1e3  # of s √in
_STEPS = 16, 10  # of the bisections for m and s, in the logarithm
_TOLERANCE = 0.1  # of what is asked for


def causal_share(events: SpikeEvents, count: Tensor) -> Tensor:
    """Share of a sample's input spikes that lie in the causal set, (batch, out); 0 for a silent neuron.

    ``events`` is the input, ``count`` that of :func:`shiftlearn.ops.first_spike`.
    """
    sample = torch.arange(events.batch, device=count.device).repeat_interleave(events.offsets.diff())
    listed = torch.zeros(events.batch, device=count.device, dtype=events.z.dtype)
    listed = listed.index_add_(0, sample, events.z.isfinite().to(listed.dtype))[:, None]
    spikes = torch.where(events.rest.isfinite()[:, None], events.num_channels, listed)
    return torch.where(count > listed, spikes, count) / spikes.clamp_min(1)


def sample_spread(z: Tensor) -> Tensor:
    """How much the spike times z (batch, neurons) differ between samples, in units of τ: a scalar.

    The standard deviation of t = log z that is left when the mean of each sample (over neurons) and then that of each
    neuron (over samples) are taken away. Silent neurons are left out of all means; NaN where all are silent.
    """
    fired = z.isfinite()
    t = torch.where(fired, z, 1.0).log()
    for dim in (1, 0):
        t = torch.where(fired, t - t.sum(dim, keepdim=True) / fired.sum(dim, keepdim=True).clamp_min(1), 0.0)
    return (t.square().sum() / fired.sum()).sqrt()


@torch.no_grad()
def initialise(
    network: nn.Sequential,
    z: Tensor | SpikeEvents,
    share: float | Sequence[float] = 0.9,
    spread: float | Sequence[float] = 0.2,
    generator: torch.Generator | None = None,
) -> None:
    """Draw the weights of every layer anew, layer by layer, to fit one batch of inputs.

    Args:
        network: layers of :class:`ShiftLinear`; delays and feedback matrices stay as they are. Of pruned layers
            (torch.nn.utils.prune) the living synapses are drawn.
        z: a batch of coded inputs, as the first layer takes them; some hundred samples do.
        share: mean share, over the batch, of a neuron's input spikes that lie in its causal set, in (0, 1); one, or
            one for each layer. The smaller, the larger the weights. Where inputs are tied, the next smaller one that a
            neuron can have; where few of them fire, as much of it as Σ_i w_ij ≥ 1.5 leaves.
        spread: of the spike times of each layer (:func:`sample_spread`, in units of τ); one, or one for each layer.
        generator: source of the weights, on the CPU.

    Raises:
        InputError: a layer that is none of the above or is an ensemble, values out of range, or inputs with
            which a layer cannot have the share and spread.
    """
    layers: list[ShiftLinear] = []
    for layer in network:
        if not fully_connected(layer) or layer.members is not None:
            raise InputError(f"network must consist of single ShiftLinear layers, got {layer}")
        layers.append(layer)
    shares, spreads = (_each(x, len(layers)) for x in (share, spread))
    if len(shares) != len(layers) or not all(0 < x < 1 for x in shares):
        raise InputError(f"share must be one number between 0 and 1, or {len(layers)}, one per layer, got {share}")
    if len(spreads) != len(layers) or not all(0 < x < math.inf for x in spreads):
        raise InputError(f"spread must be one positive number, or {len(layers)}, one per layer, got {spread}")
    if (z.batch if isinstance(z, SpikeEvents) else len(z)) < 2:
        raise InputError("z must hold two samples or more: a spread is one between samples")
    events = z if isinstance(z, SpikeEvents) else ops.sort_spikes(z)
    for number, (layer, wanted, target) in enumerate(zip(layers, shares, spreads, strict=True), start=1):
        noise = torch.randn(layer.shift.shape, generator=generator, dtype=layer.shift.dtype).to(layer.shift.device)
        mask = living(layer, "shift")
        if mask is None:
            noise = (noise - noise.mean(0)) / math.sqrt(layer.in_features)
        else:
            inputs = mask.sum(0).clamp_min(1)
            noise = (noise - (noise * mask).sum(0) / inputs) * mask / inputs.sqrt()
        low, high = _NOISE
        for _ in range(_STEPS[1]):
            middle = math.sqrt(low * high)
            drawn = _with_share(events, middle * noise, wanted, mask)
            replace(layer, "shift", drawn)
            fired = layer(events)
            found = sample_spread(fired).item()
            low, high = (middle, high) if found < target else (low, middle)
        _, count, _ = ops.first_spike(events, drawn)
        got = causal_share(events, count).mean().item()
        if not (abs(found - target) < _TOLERANCE * target and got < (1 + _TOLERANCE) * wanted):
            raise InputError(
                f"layer {number} cannot have share {wanted:g} and spread {target:g} with these inputs: it comes to "
                f"{got:.3g} and {found:.3g}"
            )
        events = ops.sort_spikes(fired)


def _each(value: float | Sequence[float], layers: int) -> Sequence[float]:
    """One number for every layer; a sequence of one is a number."""
    several = value if isinstance(value, Sequence) else [value]
    return several if len(several) != 1 else [*several] * layers


def _with_share(events: SpikeEvents, noise: Tensor, share: float, living: Tensor | None) -> Tensor:
    """Weights m + noise, with the smallest m (out,) that brings the causal share down to ``share``.

    Where ``living`` (in, out) is 0 they are 0.
    """
    inputs = noise.new_full(noise.shape[1:], noise.shape[0]) if living is None else living.sum(0).clamp_min(1)
    low, high = ((bound / inputs.double()).to(noise.dtype) for bound in (_FLOOR, _CEILING))

    def weights(m: Tensor) -> Tensor:
        return m + noise if living is None else m * living + noise

    for _ in range(_STEPS[0]):
        middle = (low * high).sqrt()
        _, count, _ = ops.first_spike(events, weights(middle))
        late = torch.where(count == 0, 1.0, causal_share(events, count)).mean(0) > share
        low, high = torch.where(late, middle, low), torch.where(late, high, middle)
    return weights(high)
