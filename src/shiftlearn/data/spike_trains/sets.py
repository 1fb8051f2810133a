"""Spike trains that a recipe asks for: generated, or from files; which trials to train on and which to test with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...recipes import Recipe
from .files import read_trials
from .tca import HIGHEST_TARGET, generate, new_templates
from .tca_read import read_mat
from .time_units import require_range
from .trials import Trials, joined

__all__ = ["SpikeSet", "read_spikes"]

_MANY_CLASSES = 10_000
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
    if recipe.dataset == "tca":
        train, test, synapses = _generated(recipe, parts)
    elif recipe.templates:
        raise InputError(f"templates are for generated spike trains, got {recipe.templates!r} for {recipe.dataset}")
    else:
        train, test = [_labelled(recipe.dataset, recipe)], []
        synapses = train[0].num_synapses
    if recipe.test_file and "test" in parts:
        test = [_labelled(recipe.test_file, recipe, synapses)]
        if test[0].num_synapses != synapses:
            raise InputError(
                f"test_file must have the {synapses} synapses of {recipe.templates or recipe.dataset}, got "
                f"{test[0].num_synapses} in {recipe.test_file}; num_synapses in an .npz file tells how many there are"
            )
    trials = joined([*train, *test])
    if recipe.dataset == "tca" or recipe.test_file:
        first, last = np.split(np.arange(len(trials)), [sum(map(len, train))])
        least = HIGHEST_TARGET if recipe.dataset == "tca" else 0
    else:
        first, last = _split(recipe, seed, len(trials))
        least = 0
    classes = max(int(trials.target.max()), least, recipe.layers[-1] - 1) + 1
    if classes > _MANY_CLASSES:
        raise InputError(f"{recipe.dataset}: targets must be below {_MANY_CLASSES}, one class each, got {classes - 1}")
    return SpikeSet(trials, first, last, tuple(map(str, range(classes))), _digest(recipe.spike_files))


def _labelled(path: str, recipe: Recipe, num_synapses: int | None = None) -> Trials:
    """The trials of a file, which must have targets, and times that suit the recipe's tau."""
    trials = read_trials(path, recipe.time_unit, num_synapses)
    if (trials.target < 0).any():
        raise InputError(f"{path}: lacks target, the class of each trial; only predict works without it")
    require_range(trials, recipe.tau, recipe.cue > 0, source=path)
    return trials


def _generated(recipe: Recipe, parts: Sequence[str]) -> tuple[list[Trials], list[Trials], int]:
    if recipe.templates:
        source = read_mat(recipe.templates, recipe.time_unit)
        templates, synapses = source.templates, source.num_synapses
    else:
        templates, synapses = new_templates(_TEMPLATES), 500
    train = [generate(recipe.trials, _TRAIN, templates, synapses)] if "train" in parts else []
    wanted = "test" in parts and not recipe.test_file
    return train, [generate(recipe.test_trials, _TEST, templates, synapses)] if wanted else [], synapses


def _split(recipe: Recipe, seed: int, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    tests = round(recipe.test_share * count)
    if not 1 <= tests < count:
        raise InputError(
            f"test_share must leave one trial or more to train on and to test with, got {recipe.test_share} of the "
            f"{count} in {recipe.dataset}"
        )
    test, train = np.split(np.random.default_rng(seed).permutation(count), [tests])
    return train, test


def _digest(paths: Iterable[str]) -> str | None:
    """Of the content of some files; None if there are none."""
    digests = [hashlib.sha256(Path(path).read_bytes()).digest() for path in paths]
    return hashlib.sha256(b"".join(digests)).hexdigest() if digests else None
