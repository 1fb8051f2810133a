"""Trials with the statistics of the published task of temporal credit assignment (Rapp, Nawrot & Stern 2018).

The laws below were measured on the authors' validation file (50 trials, 500 synapses, 169 occurrences of 9 features).

- Templates: a synapse spikes 0, 1, 2 or 3 times (in 1.1, 69.5, 28.7, 0.7 % of all cases: far more regular than a
  Poisson process), at times that are uniform and independent.
- Features: which one occurs is uniform and independent; gaps between onsets are uniform in 1.1 … 4.1 s, as far as the
  trial is long enough; the first onset lies at 5 … 9 ms.
- Background: a Poisson process of one rate for all synapses and times, on the grid of dt. Within a feature a synapse
  keeps one of its background spikes, whichever it is, and loses the others (16 %).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from .trials import Floats, Ints, Synapses, Templates, Trials, bounds, ranges

__all__ = ["HIGHEST_TARGET", "RATE", "REWARDS", "generate", "new_templates"]

REWARDS = (5, 0, 2, 0, 4, 0, 3, 6, 1)
"""Rewards of the nine published features."""

RATE = 0.3716
"""Of the background, in Hz, before features take 16 % of the spikes within them."""

HIGHEST_TARGET = 21
"""The published task has 22 classes."""

_SPIKE_COUNTS = (49, 3127, 1292, 32)  # synapses of templates with 0, 1, 2, 3 spikes
_FEATURE_COUNTS = (5, 1, 18, 22, 4)  # trials with 1 … 5 features
_GAPS = (1.1, 4.1)
_FIRST_ONSETS = (5, 9)  # in steps of dt, both possible
_LENGTH, _DT = 10.0, 0.001
_DRAWS = 1000  # of a trial's features, at most
_TRIALS, _TEMPLATES = 0, 1  # streams of random numbers


def new_templates(seed: int, rewards: Sequence[int] = REWARDS, num_synapses: int = 500) -> Templates:
    """New features of 1 s.

    Args:
        seed: an integer of 0 or more.
        rewards: of each feature, integers of 0 or more.
        num_synapses: 1 or more.

    Raises:
        InputError: an argument is not as above.
    """
    _check_integer("seed", seed, 0)
    _check_integer("num_synapses", num_synapses, 1)
    for reward in rewards:
        _check_integer("rewards", reward, 0)
    random = _random(seed, _TEMPLATES)
    law = np.array(_SPIKE_COUNTS) / sum(_SPIKE_COUNTS)
    counts = random.choice(len(law), (len(rewards), num_synapses), p=law)
    feature, synapses = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    times = random.random(int(counts.sum()))
    order = np.lexsort((synapses, times, feature))
    return Templates(
        times[order], synapses[order].astype(np.int32), bounds(counts.sum(1)), np.array(rewards, np.int64), 1.0
    )


def generate(
    trials: int,
    seed: int,
    templates: Templates | None = None,
    num_synapses: int = 500,
    rate: float | Floats = RATE,
    highest_target: int = HIGHEST_TARGET,
) -> Trials:
    """New trials of 10 s. Trial k depends on seed, templates and rate, and not on the number of trials.

    For a training and a test set give different seeds and the same templates. 200 trials take about 1 s.

    Args:
        trials: how many, 1 or more.
        seed: an integer of 0 or more.
        templates: the features, each as likely as any other, of 1.1 s or less; default: those of
            :func:`new_templates` for this seed.
        num_synapses: 1 or more, and beyond all synapses of the templates.
        rate: of the background in Hz, one number or (num_synapses,), 0 … 1000.
        highest_target: features are drawn again where the sum of their rewards is larger; with the published rewards
            this is so in 1 of 1000 trials.

    Raises:
        InputError: an argument is not as above, or 1000 draws of features are all above ``highest_target``.
    """
    _check_integer("trials", trials, 1)
    _check_integer("seed", seed, 0)
    _check_integer("num_synapses", num_synapses, 1)
    _check_integer("highest_target", highest_target, 0)
    rates = np.asarray(rate, np.float64)
    if rates.shape not in ((), (num_synapses,)) or not ((rates >= 0) & (rates <= 1 / _DT)).all():
        raise InputError(f"rate must be one number or ({num_synapses},) of 0 … {1 / _DT:g} Hz, got {rate}")
    rates = np.broadcast_to(rates, num_synapses)
    if templates is None:
        templates = new_templates(seed, num_synapses=num_synapses)
    _check_templates(templates, num_synapses)
    parts = [_trial(_random(seed, _TRIALS, k), templates, rates, highest_target) for k in range(trials)]
    times, synapses, marks, onsets, features = zip(*parts, strict=True)
    feature = np.concatenate(features)
    occurrences = bounds(np.array([len(x) for x in onsets]))
    rewards = templates.rewards[feature]
    return Trials(
        times=np.concatenate(times),
        synapses=np.concatenate(synapses),
        from_feature=np.concatenate(marks),
        offsets=bounds(np.array([len(x) for x in times])),
        onsets=np.concatenate(onsets),
        features=feature,
        rewards=rewards,
        feature_offsets=occurrences,
        target=np.add.reduceat(rewards, occurrences[:-1]),
        lengths=np.full(trials, _LENGTH),
        num_synapses=num_synapses,
        dt=_DT,
        templates=templates,
    )


_Trial = tuple[Floats, Synapses, npt.NDArray[np.bool_], Floats, Synapses]


def _trial(random: np.random.Generator, templates: Templates, rates: Floats, highest: int) -> _Trial:
    """Times, synapses, marks of feature spikes, onsets and features of one trial."""
    onsets = _onsets(random, templates.duration)
    draws = random.integers(len(templates), size=(_DRAWS, len(onsets)))
    fits = templates.rewards[draws].sum(1) <= highest
    if not fits.any():
        raise InputError(f"highest_target {highest} is too low for the rewards {templates.rewards.tolist()}")
    features = draws[fits.argmax()]
    counts = np.diff(templates.offsets)[features]
    spikes = ranges(templates.offsets[features], counts)
    starts: Floats = onsets.astype(np.float64) * _DT
    times, synapses = np.repeat(starts, counts) + templates.times[spikes], templates.synapses[spikes]

    steps, noise_synapses = _background(random, rates)
    kept = _thinned(random, steps, noise_synapses, onsets, round(templates.duration / _DT), len(rates))
    all_times: Floats = np.concatenate((steps[kept] * _DT, np.minimum(times, _LENGTH)))
    all_synapses = np.concatenate((noise_synapses[kept], synapses)).astype(np.int32)
    marks = np.arange(len(all_times)) >= len(kept)
    order = np.lexsort((marks, all_synapses, all_times))
    return all_times[order], all_synapses[order], marks[order], starts, features.astype(np.int32)


def _onsets(random: np.random.Generator, duration: float) -> Ints:
    """Onsets in steps of dt, the last feature within the trial."""
    law = np.array(_FEATURE_COUNTS) / sum(_FEATURE_COUNTS)
    gaps = int(random.choice(len(law), p=law))  # one fewer than features
    first = int(random.integers(_FIRST_ONSETS[0], _FIRST_ONSETS[1], endpoint=True))
    while True:  # with 5 features a draw of gaps fits in one of 5 cases
        onsets = first + bounds(np.round(random.uniform(*_GAPS, gaps) / _DT).astype(np.int64))
        if onsets[-1] * _DT + duration <= _LENGTH:
            return onsets


def _background(random: np.random.Generator, rates: Floats) -> tuple[Ints, Ints]:
    """Times in steps of dt, and synapses; at most one spike per step and synapse."""
    steps = round(_LENGTH / _DT) + 1
    top = float(rates.max())
    size = steps * len(rates)
    spikes = random.choice(size, random.binomial(size, top * _DT), replace=False, shuffle=False)
    synapses = spikes // steps
    # Where rates differ, draw at the highest and thin.
    kept = random.random(len(spikes)) * top < rates[synapses]
    return spikes[kept] % steps, synapses[kept]


def _thinned(
    random: np.random.Generator, steps: Ints, synapses: Ints, onsets: Ints, duration: int, num_synapses: int
) -> Ints:
    """Which background spikes are kept: within a feature one per synapse, elsewhere all."""
    shuffled = random.permutation(len(steps))
    occurrence = np.searchsorted(onsets, steps[shuffled], "right") - 1
    inside = (occurrence >= 0) & (steps[shuffled] < onsets[occurrence] + duration)
    _, first = np.unique(occurrence[inside] * num_synapses + synapses[shuffled[inside]], return_index=True)
    return np.concatenate((shuffled[~inside], shuffled[inside][first]))


def _check_templates(templates: Templates, num_synapses: int) -> None:
    if len(templates) == 0:
        raise InputError("templates must hold one feature or more")
    if not 0 < templates.duration <= _GAPS[0]:
        raise InputError(f"templates must last up to {_GAPS[0]:g} s, got {templates.duration:g}")
    if (highest := templates.synapses.max(initial=-1)) >= num_synapses:
        raise InputError(f"num_synapses must be beyond the templates' synapses, {highest}, got {num_synapses}")


def _random(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def _check_integer(name: str, given: int, least: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < least:
        raise InputError(f"{name} must be an integer of {least} or more, got {given!r}")
