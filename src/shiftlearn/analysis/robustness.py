"""How a trained network bears what hardware does to it: jitter, lost spikes, dead neurons, few bits, a clock.

Everything here changes a copy or what passes between layers; the model stays as it is. Randomness follows from a seed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .. import registry
from ..errors import InputError
from ..models.build import of_recipe
from ..models.evaluation import judge
from ..models.model import Model
from ..nn import held, perturbed, shift_layers
from ..ops.events import SpikeEvents

__all__ = ["DISTURBANCES", "clocked", "quantised", "robustness"]

_LEVELS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("sd of the input spikes' times / τ", (0.0, 0.05, 0.1, 0.2, 0.4)),
    ("share of input spikes lost", (0.0, 0.05, 0.1, 0.2, 0.4)),
    ("share of hidden neurons dead", (0.0, 0.05, 0.1, 0.2, 0.4)),
    ("bits of a shift", (8, 6, 4, 3, 2)),
    ("time step / τ", (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)),
)
DISTURBANCES = dict(zip(registry.DISTURBANCES, _LEVELS, strict=True))
"""What is done, the unit of its levels, and the levels that are tried."""


def quantised(shift: Tensor, bits: int) -> Tensor:
    """The nearest of 2^bits − 1 values, evenly spaced from −max ``|shift|`` to max ``|shift|``.

    Raises:
        InputError: fewer than 2 bits.
    """
    if bits < 2:
        raise InputError(f"bits must be 2 or more, got {bits}")
    step: Tensor = shift.abs().amax().clamp_min(torch.finfo(shift.dtype).tiny) / (2 ** (bits - 1) - 1)
    return torch.round(shift / step) * step


def clocked(z: Tensor, step: float) -> Tensor:
    """Spike times as a clock of ``step`` (in τ) sees them: at the next tick, t = 0 being one. Silence stays silent."""
    return torch.exp(torch.ceil(z.log() / step - 1e-4) * step)  # what is at a tick but for rounding stays there


def robustness(
    model: Model, values: Tensor | SpikeEvents, labels: npt.NDArray[np.int64], kinds: Sequence[str], seed: int = 0
) -> list[dict[str, Any]]:
    """Accuracy under each disturbance of ``kinds`` and each of its levels.

    Args:
        model: for images or tables.
        values: samples as :meth:`Model.values` makes them, with their ``labels``.
        kinds: names of DISTURBANCES.
        seed: of what is random.

    Returns:
        Rows of disturbance, level, accuracy, silent (share of samples without an answer) and tied (share of samples
        with several first outputs, of which the lowest class is the answer).

    Raises:
        InputError: an unknown kind, or a model for spike trains.
    """
    if isinstance(values, SpikeEvents):
        raise InputError("robustness is measured for images and tables, not for spike trains")
    for kind in kinds:
        if kind not in DISTURBANCES:
            raise InputError(f"disturbance must be one of {', '.join(DISTURBANCES)}, got {kind!r}")
    rows = []
    for kind in kinds:
        for level in DISTURBANCES[kind][1]:
            disturbed = _disturbed(model, kind, level, torch.Generator().manual_seed(seed))
            found = judge(disturbed.fire(values).numpy(), labels, model.recipe)
            shares = {"silent": found.silent / len(labels), "tied": found.ties / len(labels)}
            rows.append({"disturbance": kind, "level": level, "accuracy": found.accuracy, **shares})
    return rows


def _disturbed(model: Model, kind: str, level: float, generator: torch.Generator) -> Model:
    """A copy of a model, with its network or its coded inputs disturbed."""
    model = copy.deepcopy(model)
    r, layers = model.recipe, shift_layers(model.network)
    change: Callable[[Tensor], Tensor] = nn.Identity()
    if kind == "bits":
        for layer in layers:
            held.replace(layer, "shift", quantised(layer.shift, int(level)))
    elif kind == "dead":
        for layer in layers[:-1]:
            alive = torch.rand(layer.out_features, generator=generator) >= level
            layer.register_forward_hook(_silencer(alive.to(layer.delay.device)))
    elif kind == "clock" and level:
        for layer in layers:
            layer.register_forward_hook(lambda _layer, _inputs, z: clocked(z, level))
        change = partial(clocked, step=level)
    elif kind == "jitter":
        change = partial(perturbed, jitter=level, deletion=0.0, generator=generator)
    elif kind == "deletion":
        change = partial(perturbed, jitter=0.0, deletion=level, generator=generator)
    encode = of_recipe(r, dense=True)
    model.encode = lambda x: change(cast(Tensor, encode(x)))
    return model


def _silencer(alive: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def silence(_layer: nn.Module, _inputs: Any, z: Tensor) -> Tensor:
        return z.masked_fill(~(alive if z.ndim == 2 else alive[:, None, None]), math.inf)

    return silence
