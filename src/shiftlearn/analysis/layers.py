"""What happens inside a network, layer by layer: when neurons fire, how spread out, and how many stay silent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import ops
from ..errors import InputError
from ..nn import causal_share, sample_spread
from ..nn.conv import fully_connected
from ..ops.events import SpikeEvents

__all__ = ["condition", "layer_report"]

_QUANTILES = {"t_5": 0.05, "t_50": 0.5, "t_95": 0.95}


_DOUBTFUL = 1e-3  # a relative error of z, which is a thousandth of τ in time


@torch.no_grad()
def condition(drive: Tensor, shift: Tensor) -> Tensor:
    """How much more a spike time is off than the numbers that it comes from: at most (1 + Σ|w|) / D.

    Rounding moves each sum of weights by about eps · (1 + Σ|w|), and with it z = N / D, relatively, by eps times the
    condition (our own derivation, measured in docs/numbers.md). Weights that are known to p percent move it by up to p
    times the condition.

    Args:
        drive: (..., batch, out) of :func:`shiftlearn.ops.first_spike`.
        shift: (..., in, out) weights. All inputs are summed, of which the causal set is part.

    Returns:
        (..., batch, out); 0 for a silent neuron, which has no time to be off.

    Raises:
        InputError: the shapes do not agree.
    """
    if (
        drive.ndim < 2
        or shift.ndim != drive.ndim
        or (*shift.shape[:-2], shift.shape[-1]) != (*drive.shape[:-2], drive.shape[-1])
    ):
        raise InputError(
            f"drive must have shape (*{tuple(shift.shape[:-2])}, batch, out) for shift {tuple(shift.shape)}, "
            f"got {tuple(drive.shape)}"
        )
    return torch.where(drive > 0, (1 + shift.abs().sum(-2, keepdim=True)) / drive, 0)


@torch.no_grad()
def layer_report(network: nn.Sequential, inputs: Tensor | SpikeEvents) -> list[dict[str, Any]]:
    """Figures of every layer for a batch of coded inputs, ready to plot or for :func:`shiftlearn.files.as_csv`.

    Returns:
        A row for each layer, the read-out last, of

        * layer (from 1), neurons;
        * silent: share of the pairs of neuron and sample without a spike;
        * always_silent: share of the neurons that no sample makes fire;
        * causal_share: mean share of a sample's input spikes that lie in a neuron's causal set, of those that fire;
        * drive: median of Σ_C w − 1 of those that fire;
        * imprecise: share of the spikes whose drive is so small that rounding may move them by more than a thousandth
          of τ, eps · :func:`condition` > 0.001: what depends on these times is noise. ``min_drive`` keeps them from
          learning more than others, float64 makes them precise;
        * t_mean, t_sd, t_5, t_50, t_95: mean, standard deviation and quantiles (in %) of all spike times t = log z, in
          units of τ;
        * neuron_sd: mean over neurons of the standard deviation of t over the samples for which it fires;
        * spread: what tells samples apart, as a root mean square (:func:`shiftlearn.nn.sample_spread`).

        Where nothing fires, None takes the place of a time, and so it does of the deviation of a single one.

    Raises:
        InputError: a layer is no single ShiftLinear, or there are no samples.
    """
    events = inputs if isinstance(inputs, SpikeEvents) else ops.sort_spikes(inputs)
    if not events.batch:
        raise InputError("inputs must hold one sample or more, got none")
    rows: list[dict[str, Any]] = []
    for number, layer in enumerate(network, start=1):
        if not fully_connected(layer) or layer.members is not None:
            raise InputError(f"network must consist of single ShiftLinear layers, got {layer}")
        u, count, drive = ops.first_spike(events, layer.shift)
        z = u * layer.delay
        heard = z.isfinite()
        eps = torch.finfo(z.dtype).eps
        row: dict[str, Any] = {
            "layer": number,
            "neurons": layer.out_features,
            "silent": 1 - heard.double().mean().item(),
            "always_silent": 1 - heard.any(0).double().mean().item(),
        }
        if heard.any():
            t = z.log().double().masked_fill(~heard, np.nan).cpu().numpy()
            times = t[np.isfinite(t)]
            row |= {
                "causal_share": causal_share(events, count)[heard].double().mean().item(),
                "drive": drive[heard].median().item(),
                "imprecise": (condition(drive, layer.shift)[heard] > _DOUBTFUL / eps).double().mean().item(),
                "t_mean": float(times.mean()),
                "t_sd": float(times.std()) if len(times) > 1 else None,
                **{name: float(np.quantile(times, q)) for name, q in _QUANTILES.items()},
                "neuron_sd": float(np.nanstd(t[:, heard.any(0).cpu().numpy()], axis=0).mean()) if len(t) > 1 else None,
                "spread": sample_spread(z.double()).item() if len(t) > 1 else None,
            }
        else:
            names = ("causal_share", "drive", "imprecise", "t_mean", "t_sd", *_QUANTILES, "neuron_sd", "spread")
            row |= dict.fromkeys(names)
        rows.append(row)
        events = ops.sort_spikes(z)
    return rows
