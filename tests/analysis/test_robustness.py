"""Disturbances: each does what its name says, none at level 0, and the model stays as it is."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from shiftlearn import recipes
from shiftlearn.analysis.robustness import DISTURBANCES, clocked, quantised, robustness
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.models.model import Model
from shiftlearn.nn import first_to_fire

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model():
    recipe = recipes.override(recipes.read("mnist"), {"layers": [16, 30, 3]})
    return Model(recipe, build(recipe, torch.Generator().manual_seed(3)), 0)


@pytest.fixture(scope="module")
def samples(model):
    x = torch.randint(256, (200, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return x, first_to_fire(model.fire(x)).numpy()


def test_quantised_shifts_are_few_even_and_near():
    shift = torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    for bits in (8, 4, 2):
        found = quantised(shift, bits)
        step = shift.abs().max() / (2 ** (bits - 1) - 1)
        assert len(found.unique()) <= 2**bits - 1
        assert (found - shift).abs().max() <= step * 0.5001
        torch.testing.assert_close((found / step).round() * step, found)
    assert torch.equal(quantised(torch.zeros(3, 2), 4), torch.zeros(3, 2))
    with pytest.raises(InputError, match="bits must be 2 or more, got 1"):
        quantised(shift, 1)


def test_a_clock_delays_to_the_next_tick():
    t = torch.tensor([0.0, 0.1, 0.25, 0.4, 3.0])
    assert clocked(t.exp(), 0.2).log().tolist() == pytest.approx([0, 0.2, 0.4, 0.4, 3.0], abs=1e-5)
    assert clocked(torch.tensor([math.inf]), 0.1).item() == math.inf


def test_nothing_changes_at_level_0_and_nothing_stays_changed(model, samples):
    x, answers = samples
    before = copy.deepcopy(model.network.state_dict())
    rows = robustness(model, x, answers, list(DISTURBANCES))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.network.state_dict().items())
    assert not any(layer._forward_hooks for layer in model.network)
    assert [(row["disturbance"], row["level"]) for row in rows] == [
        (kind, level) for kind, (_, levels) in DISTURBANCES.items() for level in levels
    ]
    none = [row["accuracy"] for row in rows if row["level"] == 0]
    assert none == [1.0] * 4  # its own answers
    assert next(row["accuracy"] for row in rows if row["level"] == 8) > 0.9
    worst = {row["disturbance"]: row["accuracy"] for row in rows}
    assert all(worst[kind] < 1 for kind in DISTURBANCES)
    assert rows == robustness(model, x, answers, list(DISTURBANCES))


def test_dead_neurons_and_ties_are_counted(model, samples):
    x, answers = samples
    network = copy.deepcopy(model.network)
    with torch.no_grad():
        network[1].shift.fill_(1.0)  # all outputs fire at once
    tied = robustness(Model(model.recipe, network, 0), x, answers, ["dead"])
    assert tied[0]["tied"] == 1.0
    with torch.no_grad():
        network[1].shift.fill_(1.1 / 30)  # which takes all but two of the hidden neurons
    silent = robustness(Model(model.recipe, network, 0), x, answers, ["dead"])
    assert (silent[0]["silent"], silent[-1]["silent"]) == (0, 1)


def test_what_cannot_be_disturbed(model, samples):
    x, answers = samples
    with pytest.raises(InputError, match=r"disturbance must be one of jitter.*got 'heat'"):
        robustness(model, x, answers, ["heat"])
    with pytest.raises(InputError, match="not for spike trains"):
        robustness(model, model.encode(x), answers, ["jitter"])
