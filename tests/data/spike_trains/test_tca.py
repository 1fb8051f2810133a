"""Generated trials of temporal credit assignment: their laws, and what may not be asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from shiftlearn.data.spike_trains.tca import generate, new_templates
from shiftlearn.data.spike_trains.trials import Templates, Trials
from shiftlearn.errors import InputError

SMALL = generate(3, 0, new_templates(0, num_synapses=40), num_synapses=40)


def same(a: Any, b: Any) -> None:
    for f in dataclasses.fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        if isinstance(x, Templates):
            same(x, y)
        else:
            assert np.asarray(x).dtype == np.asarray(y).dtype, f.name
            np.testing.assert_array_equal(x, y, err_msg=f.name)


def test_generated_trials_do_not_depend_on_their_number() -> None:
    long, short = generate(5, 7), generate(2, 7)
    end, occurrences = short.offsets[-1], short.feature_offsets[-1]
    np.testing.assert_array_equal(long.times[:end], short.times)
    np.testing.assert_array_equal(long.synapses[:end], short.synapses)
    np.testing.assert_array_equal(long.onsets[:occurrences], short.onsets)
    same(generate(2, 7), short)
    assert not np.array_equal(generate(2, 8).times, short.times)


def statistics(trials: Trials) -> dict[str, float]:
    """Means over trials, synapses or occurrences; the rate is the background's outside features."""
    row = np.repeat(np.arange(len(trials)), np.diff(trials.offsets))
    occurrence = np.repeat(np.arange(len(trials)), np.diff(trials.feature_offsets))
    inside = np.zeros(len(trials.times), np.int64)
    for onset, trial in zip(trials.onsets, occurrence, strict=True):
        inside += (row == trial) & (trials.times > onset - 1e-9) & (trials.times < onset + 1 - 1e-9)
    gaps = np.diff(trials.onsets)[np.diff(occurrence) == 0]
    noise = ~trials.from_feature
    free = trials.lengths.sum() - len(trials.onsets)
    per_cell = np.bincount(row * trials.num_synapses + trials.synapses, minlength=len(trials) * trials.num_synapses)
    return {
        "spikes": len(row) / len(trials),
        "rate": (noise & (inside == 0)).sum() / free / trials.num_synapses,
        "rate sd": per_cell.std() / 10,
        "features": np.diff(trials.feature_offsets).mean(),
        "gap": gaps.mean(),
        "gap sd": gaps.std(),
        "inside": inside.sum() / len(trials.onsets),
        "noise inside": inside[noise].sum() / len(trials.onsets),
        "target": trials.target.mean(),
        "target sd": trials.target.std(),
    }


# Measured on the published file; the tolerances are those of its 50 trials (two standard errors), or of 200.
MEASURED = {
    "spikes": (3940, 180),
    "rate": (0.3718, 0.003),
    "rate sd": (0.2424, 0.01),
    "features": (3.38, 0.3),
    "gap": (2.51, 0.16),
    "gap sd": (0.84, 0.08),
    "inside": (802, 10),
    "noise inside": (155.4, 2.5),
    "target": (8.36, 1.4),
    "target sd": (4.52, 0.8),
}


def check_laws(trials: Trials) -> None:
    found = statistics(trials)
    for name, (expected, tolerance) in MEASURED.items():
        assert abs(found[name] - expected) < tolerance, (name, found[name])
    counts = np.diff(trials.feature_offsets)
    assert (counts.min(), counts.max()) == (1, 5)
    gaps = np.diff(trials.onsets)[np.diff(np.repeat(np.arange(len(trials)), counts)) == 0]
    assert gaps.min() > 1.0995
    assert gaps.max() < 4.1005
    assert trials.target.max() <= 21
    np.testing.assert_array_equal(trials.target, np.add.reduceat(trials.rewards, trials.feature_offsets[:-1]))


def test_generated_statistics() -> None:
    trials = generate(200, 0)
    check_laws(trials)
    assert set(trials.features) == set(range(9))
    spikes = np.diff(trials.templates.offsets) / 500
    assert abs(spikes.mean() - 1.29) < 0.03
    # Within a feature a synapse keeps one background spike at most.
    noise = ~trials.from_feature[: trials.offsets[1]]
    t, s = trials.times[: trials.offsets[1]][noise], trials.synapses[: trials.offsets[1]][noise]
    for onset in trials.onsets[: trials.feature_offsets[1]]:
        assert np.bincount(s[(t > onset - 1e-9) & (t < onset + 1 - 1e-9)]).max() == 1


def test_rate_of_each_synapse() -> None:
    rates = np.linspace(0, 2, 40)
    trials = generate(100, 1, new_templates(1, num_synapses=40), 40, rate=rates)
    found = np.bincount(trials.synapses[~trials.from_feature], minlength=40) / 1000
    assert found[0] == 0
    assert np.corrcoef(found, rates)[0, 1] > 0.98


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"trials": 0}, "trials must be an integer of 1 or more"),
        ({"seed": -1}, "seed must be an integer of 0 or more"),
        ({"rate": -1}, "rate must be"),
        ({"rate": np.ones(3)}, "rate must be"),
        ({"num_synapses": 39}, "num_synapses must be beyond the templates' synapses"),
        ({"templates": new_templates(0, [])}, "templates must hold one feature"),
        ({"templates": dataclasses.replace(SMALL.templates, duration=2.0)}, "templates must last up to 1.1 s"),
        ({"templates": new_templates(0, [5, 6], 40), "highest_target": 4}, "highest_target 4 is too low"),
    ],
)
def test_wrong_generation(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        generate(**{"trials": 1, "seed": 0, "templates": SMALL.templates, "num_synapses": 40} | arguments)
