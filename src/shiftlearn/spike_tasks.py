"""Spike trains that a recipe asks for: generated, or from files; which trials to train on and which to test with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .data.spike_files import read_trials
from .data.spike_trains import Trials, joined
from .data.tca import HIGHEST_TARGET, generate, new_templates
from .data.tca_read import read_mat
from .errors import InputError
from .recipes import Recipe

__all__ = ["SpikeSet", "read_spikes"]

_TEMPLATES, _TRAIN, _TEST = 0, 1, 2  # seeds of the generator


class SpikeSet(NamedTuple):
    """Trials, the numbers of those to train on and to test with, names of the classes, a digest of the files."""

    trials: Trials
    train: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    digest: str | None


def read_spikes(recipe: Recipe, seed: int, parts: Sequence[str]) -> SpikeSet:
    """The spike trains of a recipe; of generated ones only the ``parts`` asked for ("train", "test") are made.

    Generated trials are the same for every ``seed``, as images are. Those of a file are split at random by it, unless
    the recipe names another file to test with.

    Raises:
        InputError: settings that exclude each other, or files that do not serve.
    """
    if recipe.dataset != "tca":
        return _of_files(recipe, seed)
    if recipe.test_file:
        raise InputError(f"test_file is for spike trains of a file, got {recipe.test_file!r} for generated ones")
    if recipe.templates:
        source = read_mat(recipe.templates)
        templates, synapses = source.templates, source.num_synapses
    else:
        templates, synapses = new_templates(_TEMPLATES), 500
    counts = [recipe.trials if "train" in parts else 0, recipe.test_trials if "test" in parts else 0]
    made = [
        generate(count, part_seed, templates, synapses)
        for count, part_seed in zip(counts, (_TRAIN, _TEST), strict=True)
        if count
    ]
    train, test = np.split(np.arange(sum(counts)), counts[:1])
    digest = _digest(recipe.templates) if recipe.templates else None
    return SpikeSet(joined(made), train, test, tuple(map(str, range(HIGHEST_TARGET + 1))), digest)


def _of_files(recipe: Recipe, seed: int) -> SpikeSet:
    if recipe.templates:
        raise InputError(f"templates are for generated spike trains, got {recipe.templates!r} for {recipe.dataset}")
    trials = read_trials(recipe.dataset)
    digest = _digest(recipe.dataset, *([recipe.test_file] if recipe.test_file else []))
    if recipe.test_file:
        tested = read_trials(recipe.test_file)
        if tested.num_synapses != trials.num_synapses:
            raise InputError(
                f"test_file must have the {trials.num_synapses} synapses of {recipe.dataset}, "
                f"got {tested.num_synapses} in {recipe.test_file}"
            )
        train, test = np.split(np.arange(len(trials) + len(tested)), [len(trials)])
        trials = joined([trials, tested])
    else:
        tests = round(recipe.test_share * len(trials))
        if not 1 <= tests < len(trials):
            raise InputError(
                f"test_share must leave one trial or more to train on and to test with, got {recipe.test_share} of the "
                f"{len(trials)} in {recipe.dataset}"
            )
        test, train = np.split(np.random.default_rng(seed).permutation(len(trials)), [tests])
    classes = max(int(trials.target.max()) + 1, recipe.layers[-1])
    return SpikeSet(trials, train, test, tuple(map(str, range(classes))), digest)


def _digest(*paths: str) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(Path(path).read_bytes()).digest() for path in paths)).hexdigest()
