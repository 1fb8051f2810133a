"""Weights of 8 bits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftlearn import recipes
from shiftlearn.models.build import build
from shiftlearn.models.model import Model
from shiftlearn.nn import ShiftLinear
from shiftlearn.playground.quantise import LEVELS, dequantised, quantise


def layer(weights, delay=1.0):
    made = ShiftLinear(len(weights), len(weights[0]))
    with torch.no_grad():
        made.shift.copy_(torch.tensor(weights))
        made.delay.fill_(delay)
    return made


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6))
def test_weights_move_by_half_a_level_at_most(seed, size):
    made = layer([[0.0] * 5] * 7)
    with torch.no_grad():
        made.shift.normal_(0, size, generator=torch.Generator().manual_seed(seed))
    small = quantise(made)
    assert small.levels.dtype == torch.int8
    assert (small.levels.abs().amax(0) == LEVELS).all()
    assert ((small.weight() - made.shift.double()).abs() <= small.scale * 0.5 * (1 + 1e-9)).all()


def test_a_neuron_has_a_scale_of_its_own():
    small = quantise(layer([[1.27, -0.1, 0.0], [-0.63, 0.06, 0.0]], delay=1.5))
    assert small.levels.tolist() == [[127, -127, 0], [-63, 76, 0]]
    assert small.scale.tolist() == pytest.approx([0.01, 0.1 / 127, 0.0])
    assert small.delay.tolist() == [1.5] * 3


def test_dequantised_is_the_network_of_the_page_and_leaves_the_model_alone():
    recipe = recipes.override(recipes.read("mnist"), {"layers": [784, 12, 10]})
    model = Model(recipe, build(recipe, torch.Generator().manual_seed(0)).eval(), seed=0)
    before = model.network[0].shift.clone()
    exact = dequantised(model, torch.float64)
    for old, new in zip(model.network, exact.network, strict=True):
        assert torch.equal(new.shift, quantise(old).weight())
        assert torch.equal(new.delay, old.delay.double())
    assert torch.equal(model.network[0].shift, before)
    assert dequantised(model).network[0].shift.dtype == torch.float32
