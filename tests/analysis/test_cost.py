"""Spikes and synaptic operations until the decision, against a count one by one."""

from __future__ import annotations

import math

import pytest
import torch

from shiftlearn import recipes
from shiftlearn.analysis.cost import cost
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.models.model import Model

pytestmark = pytest.mark.usefixtures("one_thread")


def model(**settings):
    recipe = recipes.override(recipes.read("mnist"), {"layers": [16, 7, 3], "init_scale": [12.0]} | settings)
    return Model(recipe, build(recipe, torch.Generator().manual_seed(3)), 0)


def images(count, side=4):
    return (torch.rand(count, side * side, generator=torch.Generator().manual_seed(1)) * 400 - 144).clamp(0).byte()


@pytest.mark.parametrize("scale", [12.0, 4.0, 0.5])  # early and late decisions, and none
def test_counts_are_those_made_one_by_one(scale):
    some = model(init_scale=[scale])
    x = images(5)
    found = cost(some, x)
    spikes = operations = 0
    decisions = []
    with torch.no_grad():
        for row in x:
            inputs = torch.exp(2 * (1 - row.float() / 255))
            hidden = some.network[0](inputs[None])[0]
            outputs = some.network[1](hidden[None])[0]
            decision = outputs.min()
            decisions.append(math.log(decision))
            early = [[bool(z <= decision and z < math.inf) for z in layer] for layer in (inputs, hidden)]
            spikes += sum(early[0]) + sum(early[1]) + bool(decision < math.inf)
            operations += sum(early[0]) * 7 + sum(early[1]) * 3
    assert found.spikes == pytest.approx(spikes / 5)
    assert found.operations == pytest.approx(operations / 5)
    assert found.dense == 16 * 7 + 7 * 3
    assert found.decision_time == pytest.approx(sorted(decisions)[2], rel=1e-5)


def test_a_convolution_sends_a_pixel_to_every_window_that_holds_it():
    some = model(layers=[16, 3], maps=[2], kernel=3, padding=1, pool=2, init_scale=[40.0])
    x = images(4)
    found = cost(some, x)
    spikes = operations = 0
    with torch.no_grad():
        for row in x:
            inputs = torch.exp(2 * (1 - row.float() / 255)).view(1, 1, 4, 4)
            convolved = some.network[1](some.network[0](inputs.flatten(1)))
            pooled = some.network[2](convolved).flatten()
            decision = some.network[4](pooled[None]).min()
            for i in range(4):
                for j in range(4):
                    if inputs[0, 0, i, j] <= decision:
                        spikes += 1
                        operations += 2 * sum(
                            0 <= i + di < 4 and 0 <= j + dj < 4 for di in (-1, 0, 1) for dj in (-1, 0, 1)
                        )
            spikes += int((convolved <= decision).sum()) + bool(decision < math.inf)
            operations += 3 * int(((pooled <= decision) & pooled.isfinite()).sum())
    assert (found.spikes, found.operations) == (pytest.approx(spikes / 4), pytest.approx(operations / 4))
    assert found.dense == 2 * sum((3 - (i in (0, 3))) * (3 - (j in (0, 3))) for i in range(4) for j in range(4)) + 8 * 3


def test_no_samples():
    with pytest.raises(InputError, match="one sample or more"):
        cost(model(), images(0))
