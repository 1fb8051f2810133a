"""A trained classifier: a network, the coding of its inputs, and the read-out of the first spike."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .coding import encoder
from .errors import InputError
from .nn import ShiftLinear, first_to_fire, spike_time_scores
from .recipes import Recipe

__all__ = ["Model", "build"]

Array = npt.NDArray[np.generic] | Tensor
_CHUNK = 1000  # samples per forward pass when predicting


def build(recipe: Recipe, generator: torch.Generator | None = None) -> nn.Sequential:
    """The network that a recipe describes, with fresh weights."""
    pairs = list(zip(recipe.layers[:-1], recipe.layers[1:], strict=True))
    scales = recipe.init_scale * len(pairs) if len(recipe.init_scale) == 1 else recipe.init_scale
    return nn.Sequential(
        *(
            ShiftLinear(
                inputs,
                outputs,
                rule=recipe.rule,
                feedback=recipe.feedback,
                init_scale=scale,
                min_drive=recipe.min_drive,
                generator=generator,
            )
            for (inputs, outputs), scale in zip(pairs, scales, strict=True)
        )
    )


class Model:
    """What :func:`shiftlearn.load` returns.

    Attributes:
        recipe: the settings it was trained with.
        network: the layers, from coded inputs to the spike times of the classes.
        seed: that of its training.
    """

    def __init__(self, recipe: Recipe, network: nn.Sequential, seed: int) -> None:
        self.recipe, self.network, self.seed = recipe, network, seed
        self.encode = encoder(recipe.coding, recipe.coding_exponent)

    def spike_times(self, x: Array) -> npt.NDArray[np.float32]:
        """(n, classes) z of the output neurons, inf for silence; ``x`` as in :meth:`predict`."""
        values = self._values(x)
        device = next(self.network.parameters()).device
        with torch.no_grad():
            parts = [self.network(self.encode(part.to(device))).cpu().numpy() for part in torch.split(values, _CHUNK)]
        result: npt.NDArray[np.float32] = np.concatenate(parts)
        return result

    def predict(self, x: Array) -> npt.NDArray[np.int64]:
        """Labels (n,) of samples as their dataset holds them.

        Args:
            x: (n, features), or (n, rows, columns) of an image; uint8 from 0 to 255 or floats from 0 to 1.

        Returns:
            The class whose neuron fires first; of tied ones the lowest, 0 if all are silent.

        Raises:
            InputError: another shape, dtype or range.
        """
        labels: npt.NDArray[np.int64] = first_to_fire(torch.from_numpy(self.spike_times(x))).numpy()
        return labels

    def predict_proba(self, x: Array) -> npt.NDArray[np.float32]:
        """(n, classes) softmax(−β z) of the spike times: scores that sum to 1, not calibrated probabilities."""
        times = torch.from_numpy(self.spike_times(x))
        scores: npt.NDArray[np.float32] = spike_time_scores(times, self.recipe.beta).numpy()
        return scores

    def save(self, path: str | Path) -> None:
        """Write settings and weights to the folder ``path``, for :func:`shiftlearn.load`."""
        from .checkpoint import save_model

        save_model(self, Path(path))

    def _values(self, x: Array) -> Tensor:
        array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
        values = torch.from_numpy(_supported(array))
        features = self.recipe.layers[0]
        if values.ndim < 2 or math.prod(values.shape[1:]) != features:
            side = math.isqrt(features)
            image = f" or (n, {side}, {side})" if side * side == features else ""
            raise InputError(f"x must have shape (n, {features}){image}, got {tuple(values.shape)}")
        values = values.reshape(len(values), features)
        return values


def _supported(x: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise InputError(f"x must be uint8 (0 to 255) or floating (0 to 1), got {x.dtype}")
    return np.array(x, dtype=np.float32 if x.dtype != np.uint8 else np.uint8, order="C")
