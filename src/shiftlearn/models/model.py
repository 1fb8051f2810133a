"""A trained classifier: a network, the coding of its inputs, and the read-out of the first spike."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..coding.edges import edges
from ..data.spike_trains.trials import Trials, to_events
from ..data.tables.features import Features
from ..data.tables.table import Column
from ..errors import InputError, counted
from ..files import write
from ..nn import (
    first_to_fire,
    spike_time_scores,
)
from ..ops.events import SpikeEvents
from ..recipes import Recipe
from ..registry import coded_width
from .build import build, of_recipe
from .stored import CONFIG, WEIGHTS, packed, read_config, read_tensors, require_fit, write_config

__all__ = ["Model", "load"]

Array = npt.NDArray[np.generic] | Tensor
Spikes = Trials | SpikeEvents
CHUNK = 250  # samples at a time, where all would take too much memory


class Model:
    """What :func:`shiftlearn.load` returns.

    Attributes:
        recipe: the settings it was trained with.
        network: the layers, from coded inputs to the spike times of the classes.
        seed: that of its training.
        classes: their names.
        features: how the columns of a table are scaled; None for other data.
        digest: of the table or the files it was trained on (:meth:`shiftlearn.data.tasks.Task.digest`).
    """

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Sequential,
        seed: int,
        classes: Sequence[str] | None = None,
        features: Features | None = None,
        digest: str | None = None,
    ) -> None:
        self.recipe, self.network, self.seed, self.features, self.digest = recipe, network, seed, features, digest
        self.classes = tuple(classes or map(str, range(recipe.layers[-1])))
        dense = bool(recipe.maps or recipe.jitter[0] or recipe.deletion[0])  # what is to be changed is not sorted yet
        self.encode: Callable[[Any], Tensor | SpikeEvents] = (
            (lambda spikes: spikes) if recipe.spike_trains else of_recipe(recipe, dense)
        )

    def z_out(self, x: Array | Sequence[Column] | Spikes) -> npt.NDArray[np.float32]:
        """(n, classes) z = exp(t / τ) of the output neurons, inf for silence; ``x`` as in :meth:`predict`."""
        times: npt.NDArray[np.float32] = self.fire(self.values(x)).numpy()
        return times

    @torch.no_grad()
    def fire(self, values: Tensor | SpikeEvents) -> Tensor:
        """(n, classes) spike times, on the CPU, of what :meth:`values` made of samples."""
        device = next(self.network.parameters()).device
        parts = (values[k : k + CHUNK].to(device) for k in range(0, max(len(values), 1), CHUNK))
        return torch.cat([self.network(self.encode(part)).cpu() for part in parts])

    def predict(self, x: Array | Sequence[Column] | Spikes) -> npt.NDArray[np.int64]:
        """Labels (n,) of samples as their dataset holds them.

        Args:
            x: (n, features), (n, rows, columns) of images or (rows, columns) of one, for which n is 1; uint8 from 0 to
                255 or floats from 0 to 1. For a model of a table (n, columns) of numbers in its own units, or the
                columns as a sequence of arrays. For a model of spike trains, with target or without,
                :class:`shiftlearn.data.spike_trains.Trials`, or SpikeEvents as the first layer takes them
                (z = exp(t / tau); the cue, if there is one, as the last channel).

        Returns:
            The class whose neuron fires first; of tied ones the lowest, 0 if all are silent.

        Raises:
            InputError: another shape, dtype or range.
        """
        labels: npt.NDArray[np.int64] = first_to_fire(torch.from_numpy(self.z_out(x))).numpy()
        return labels

    def predict_proba(self, x: Array | Sequence[Column] | Spikes) -> npt.NDArray[np.float32]:
        """(n, classes) softmax of −β z, or −β t: scores that sum to 1, not calibrated probabilities."""
        times = torch.from_numpy(self.z_out(x))
        scores: npt.NDArray[np.float32] = spike_time_scores(times, self.recipe.beta, self.recipe.readout).numpy()
        return scores

    def save(self, path: str | Path) -> None:
        """Write settings and weights to the folder ``path``, for :func:`shiftlearn.load`."""
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"path must be a folder, {str(folder)!r} is a file")
        folder.mkdir(parents=True, exist_ok=True)
        self.save_settings(folder)
        self.save_weights(folder)

    def save_settings(self, folder: Path, **more: Any) -> None:
        """Write what the model is without its weights, and ``more``."""
        features = None if self.features is None else self.features.as_dict()
        about = {"classes": self.classes, "features": features, "digest": self.digest}
        write_config(folder, self.recipe, self.seed, **about, **more)

    def save_weights(self, folder: Path) -> None:
        """Write the weights alone, to a folder that has its settings."""
        write(folder / WEIGHTS, packed(self.network.state_dict()))

    def values(self, x: Array | Sequence[Column] | Spikes) -> Tensor | SpikeEvents:
        """(n, features) of what is coded: uint8, or floats from 0 to 1; of spike trains, their events.

        An array of uint8 or float32 is not copied, so that a memory map is read only where its samples are used.
        """
        if self.recipe.spike_trains or isinstance(x, Spikes):
            return self._events(x)
        if self.features is not None:
            return torch.from_numpy(self.features.transform(_columns(x, len(self.features.names))))
        array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
        array = _supported(array)
        features = self.recipe.layers[0] // coded_width(self.recipe.coding, 1, self.recipe.coding_cells)
        side = math.isqrt(features)
        if side * side == features and array.shape == (side, side):
            array = array[None]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nor is it written to
            values = torch.from_numpy(edges(array) if self.recipe.preprocess == "edges" else array)
        if values.ndim < 2 or math.prod(values.shape[1:]) != features:
            image = f" or (n, {side}, {side})" if side * side == features else ""
            raise InputError(f"x must have shape (n, {features}){image}, got {tuple(values.shape)}")
        values = values.reshape(len(values), features)
        return values

    def _events(self, x: object) -> SpikeEvents:
        channels, cue = self.recipe.layers[0], self.recipe.cue > 0
        if self.recipe.spike_trains:
            if isinstance(x, SpikeEvents) and x.num_channels == channels:
                return x
            if isinstance(x, Trials) and x.num_synapses == channels - cue:
                parts = range(0, max(len(x), 1), CHUNK)  # the way there takes several times the memory of the events
                return SpikeEvents.cat([to_events(x, slice(k, k + CHUNK), tau=self.recipe.tau, cue=cue) for k in parts])
            wanted = (
                f"trials of {counted(channels - cue, 'synapse')}, or SpikeEvents of {counted(channels, 'channel')},"
            )
            hint = "; num_synapses (of from_arrays, read_trials, or in an .npz file) counts silent synapses too"
        else:
            wanted, hint = "no spike trains", ""
        found = type(x).__name__
        if isinstance(x, Trials):
            found += f" of {counted(x.num_synapses, 'synapse')}{hint}"
        elif isinstance(x, SpikeEvents):
            found += f" of {counted(x.num_channels, 'channel')}"
        raise InputError(f"x must be {wanted} for this model, got {found}")


def load(path: str | Path) -> Model:
    """The trained model of a run folder, or of a folder that :meth:`Model.save` wrote.

    Raises:
        InputError: the folder does not hold one, the run is not finished, or a file is damaged.
    """
    folder = Path(path)
    config = read_config(folder)
    if config.repeats and not config.folds:
        raise InputError(f"{str(folder)!r} holds repeated runs, which keep no weights")
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{str(folder)!r} holds no {WEIGHTS}: the run is not finished; "
            f"go on with `shiftlearn train --resume {folder}`"
        )
    tensors, _ = read_tensors(folder / WEIGHTS)
    try:
        with torch.device("meta"):  # settings may ask for any size: memory follows what the file holds
            require_fit(build(config.recipe, torch.Generator()), tensors, folder / WEIGHTS)
    except (RuntimeError, OverflowError) as error:
        raise InputError(f"{folder / CONFIG} asks for a network that cannot be: {error}") from None
    network = build(config.recipe, torch.Generator())  # not the global one: loading must not disturb it
    network.load_state_dict(tensors)
    return Model(config.recipe, network.eval(), config.seed, config.classes, config.features, config.digest)


def _columns(x: Array | Sequence[Column], count: int) -> Sequence[Column]:
    if isinstance(x, list | tuple):
        return x
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if array.ndim != 2 or array.shape[1] != count:
        raise InputError(f"x must have shape (n, {count}), one column per feature, got {tuple(array.shape)}")
    if not np.issubdtype(array.dtype, np.number):
        raise InputError(f"x must hold numbers, or be a sequence of {counted(count, 'column')}, got {array.dtype}")
    return list(array.T.astype(np.float64))


def _supported(x: npt.NDArray[np.generic]) -> npt.NDArray[Any]:
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise InputError(f"x must be uint8 (0 to 255) or floating (0 to 1), got {x.dtype}")
    return np.ascontiguousarray(x, dtype=np.float32 if x.dtype != np.uint8 else np.uint8)
