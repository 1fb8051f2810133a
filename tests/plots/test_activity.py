"""Spikes of the layers and membrane potentials, against the reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shiftlearn import SpikeEvents, recipes
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.models.model import Model
from shiftlearn.nn import ShiftLinear
from shiftlearn.ops import reference
from shiftlearn.plots import LayerActivity, activity, membrane_potential

inf = math.inf


def make(**settings):
    recipe = recipes.override(recipes.read("mnist"), {"layers": [784, 12, 10]} | settings)
    return Model(recipe, build(recipe, torch.Generator().manual_seed(0)).eval(), seed=0)


def layer(shift: list[list[float]], z: list[float], delay: float = 1.0) -> LayerActivity:
    """One layer and what it makes of one row."""
    synapses = ShiftLinear(len(shift), len(shift[0]), dtype=torch.float64)
    heard = torch.tensor([z], dtype=torch.float64)
    with torch.no_grad():
        synapses.shift.copy_(torch.tensor(shift))
        synapses.delay.fill_(delay)
        return LayerActivity(synapses, heard, synapses(heard)[0])


def test_a_potential_worked_by_hand():
    """Inputs at 1, 2 and 8, weights 1, 1, 5: V = 2 - 3 / z from 2 on, so it crosses at z = 3, before the third."""
    found = membrane_potential(layer([[1.0], [1.0], [5.0]], [1.0, 2.0, 8.0], delay=2.0), 0)
    assert (found.u, found.delay) == (pytest.approx(3), 2)
    assert found.causal.tolist() == [True, True, False]
    assert found.weight.tolist() == [1, 1, 5]
    np.testing.assert_allclose(found.at([0.5, 1, 2, 3, 8, 16]), [0, 0, 0.5, 1, 2 - 3 / 8, 7 - 43 / 16])


@given(st.integers(0, 10_000))
def test_the_potential_touches_threshold_where_the_reference_says(seed):
    """Never above it before; S and N of the causal set alone give the same crossing; the drive is its slope."""
    rng = np.random.default_rng(seed)
    inputs = int(rng.integers(1, 12))
    z = np.exp(rng.integers(0, 6, inputs) / 3)  # with ties
    z[rng.random(inputs) < 0.2] = inf
    one = layer(rng.normal(0.3, 1, (inputs, 1)).tolist(), z.tolist())
    events = reference.sort_spikes(one.heard)
    u, count, drive = (float(x) for x in reference.first_spike(*events, one.layer.shift.detach()))
    found = membrane_potential(one, 0)
    assert found.u == pytest.approx(u)
    assert len(found.z) == np.isfinite(z).sum()
    times = np.unique(np.concatenate([found.z, np.linspace(1, 30, 400)]))
    if math.isinf(u):
        assert found.causal.sum() == count == 0
        assert (found.at(times) < 1 + 1e-9).all()
        return
    assert found.at(u) == pytest.approx(1)
    assert (found.at(times[times < u]) < 1 + 1e-9).all()
    listed = int((events[0] < inf).sum())
    assert found.causal.sum() == (count if count <= listed else len(found.z))
    total, moment = found.weight[found.causal].sum(), (found.weight * found.z)[found.causal].sum()
    assert moment / (total - 1) == pytest.approx(u)
    assert total - 1 == pytest.approx(drive)


CONVOLUTIONS = {"layers": [784, 10], "maps": [3, 4], "padding": 1, "init_scale": 8.0}


@pytest.mark.parametrize("settings", [{}, CONVOLUTIONS, {"feedback": "direct"}], ids=["plain", "maps", "direct"])
def test_layers_fire_as_the_network_does(digits, settings):
    model = make(**settings)
    image = digits["test"][0][:1]
    layers = activity(model, image)
    assert torch.equal(layers[-1].z, torch.from_numpy(model.z_out(image))[0])
    rng = np.random.default_rng(0)
    for one in layers:
        for neuron in rng.integers(0, one.neurons, 12).tolist():
            found = membrane_potential(one, neuron)
            assert found.u * found.delay == pytest.approx(float(one.z.flatten()[neuron]), rel=1e-4)
        earliest = one.first(3)
        assert one.z.flatten()[earliest].tolist() == one.z.flatten().sort().values[:3].tolist()


def test_spike_trains_keep_every_spike_of_a_synapse():
    synapses = ShiftLinear(2, 1)
    with torch.no_grad():
        synapses.shift.copy_(torch.tensor([[0.6], [0.2]]))
    events = SpikeEvents(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 1]), torch.tensor([0, 3]), 2)
    found = membrane_potential(LayerActivity(synapses, events, synapses(events)[0]), 0)
    assert found.channel.tolist() == [0, 0, 1]
    np.testing.assert_allclose(found.weight, [0.6, 0.6, 0.2], rtol=1e-6)
    assert found.causal.all()
    assert found.u == pytest.approx((0.6 * 3 + 0.8) / 0.4, rel=1e-5)


def test_mistakes(digits):
    model = make()
    with pytest.raises(InputError, match="x must hold one sample, got 2"):
        activity(model, digits["test"][0][:2])
    one = LayerActivity(ShiftLinear(2, 3), torch.ones(1, 2), torch.ones(3))
    with pytest.raises(InputError, match="neuron must lie in 0 to 2, got 3"):
        membrane_potential(one, 3)


def test_a_network_without_spikes_has_no_first():
    network = nn.Sequential(ShiftLinear(2, 3))
    with torch.no_grad():
        network[0].shift.zero_()
        z = network(torch.ones(1, 2))[0]
    silent = LayerActivity(network[0], torch.ones(1, 2), z)
    assert silent.first(3) == []
    assert membrane_potential(silent, 1).u == inf
