"""Brian2 simulates exported graphs: it finds every spike within a time step of the exact one, never before it."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from interpreter import chain, nir
from networks import random_network, random_times

import shiftlearn as sl
from shiftlearn.data import tasks

try:
    with warnings.catch_warnings(action="ignore"):  # some hundred deprecations of pyparsing
        import brian2
except (ImportError, AttributeError) as error:  # Brian2 2.9 on NumPy 2.4: no attribute ptp
    pytest.skip(f"Brian2 is not installed, or does not work here ({error})", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
brian2.prefs.codegen.target = "numpy"
TAU = 5e-3
STEP = 1e-3  # of the simulation, in units of tau


def simulate(graph, times, until):
    """Spike times (samples, n) of each layer, before its delays, in units of tau.

    Args:
        graph: as ``nir.read`` gives it.
        times: (samples, in), as above, on the grid; inf for no spike.
        until: when to stop.
    """
    samples, dt = len(times), STEP * TAU
    index = np.argwhere(np.isfinite(times))
    before = brian2.SpikeGeneratorGroup(
        times.size,
        np.ravel_multi_index(tuple(index.T), times.shape),
        times[tuple(index.T)] * TAU * brian2.second,
        dt=dt * brian2.second,
    )
    axons, objects, monitors = np.zeros(times.shape[1]), [before], []
    nodes = chain(graph)[1:-1]
    for linear, li, neuron, axon in zip(*(nodes[k::4] for k in range(4)), strict=True):
        outputs, inputs = linear.weight.shape
        group = brian2.NeuronGroup(
            samples * outputs,
            """dI/dt = (leak - I) / tau : Hz
            dv/dt = r * I : 1
            leak : Hz
            tau : second
            r : 1
            v_threshold : 1
            v_reset : 1""",
            threshold="v > v_threshold",
            reset="v = v_reset",
            method="rk4",
            dt=dt * brian2.second,
        )
        group.tau = np.tile(li.tau, samples) * brian2.second
        group.leak = np.tile(li.v_leak, samples) * brian2.Hz
        for name in ("r", "v_threshold", "v_reset"):
            setattr(group, name, np.tile(getattr(neuron, name), samples))
        synapses = brian2.Synapses(before, group, "w : Hz", on_pre="I_post += w", dt=dt * brian2.second)
        sample, i, j = (x.ravel() for x in np.indices((samples, inputs, outputs)))
        synapses.connect(i=sample * inputs + i, j=sample * outputs + j)
        synapses.w = (linear.weight[j, i] * li.r[j] / li.tau[j]) * brian2.Hz
        synapses.delay = axons[i] * brian2.second
        monitors.append(brian2.SpikeMonitor(group))
        objects += [group, synapses, monitors[-1]]
        before, axons = group, axon.delay
    brian2.Network(*objects).run(until * TAU * brian2.second)
    found = []
    for monitor in monitors:
        where, when = np.asarray(monitor.i), np.rint(np.asarray(monitor.t) / dt) * STEP
        assert len(set(where)) == len(where)  # one spike each
        spikes = np.full(len(monitor.source), math.inf)
        spikes[where] = when
        found.append(spikes.reshape(samples, -1))
    return found


def assert_simulated(network, simulated, times, until):
    """Layer by layer, given the spikes that reached it in the simulation: 0 < simulated − exact ≤ a time step."""
    for layer, spikes in zip(network, simulated, strict=True):
        assert (layer.shift < 0).any()
        events = sl.ops.sort_spikes(torch.from_numpy(np.exp(times)))
        exact = sl.ops.first_spike(events, layer.shift.detach())[0].log().numpy()
        heard = exact < until - STEP
        assert np.isinf(spikes[exact > until]).all()
        late = spikes[heard] - exact[heard]
        assert (late > 0).all()
        assert (late <= STEP * (1 + 1e-9)).all()
        delay = layer.delay.detach().log().numpy()
        times = np.rint((spikes + delay) / STEP) * STEP
    return times


def on_grid(x):
    return np.rint(x / STEP) * STEP


@torch.no_grad()
def test_digits(trained, tmp_path):
    model = sl.load(trained)
    task = tasks.read(model.recipe, model.seed, None, ["train", "test"])
    samples = task.take(task.test[:6])
    classes = model.predict(samples)
    for layer in model.network.double():
        layer.delay.copy_(torch.from_numpy(np.exp(on_grid(layer.delay.log().numpy()))))
    assert (model.network[0].delay > 1).any()
    sl.export.write(model, tmp_path / "digits.nir", tau=TAU)
    times = on_grid(model.encode(model.values(samples)).double().log().numpy())
    exact = model.network(torch.from_numpy(np.exp(times)))
    until = on_grid(exact.min(1).values.max().log().item() + 0.1)
    simulated = simulate(nir.read(tmp_path / "digits.nir"), times, until)
    outputs = assert_simulated(model.network, simulated, times, until)
    assert outputs.argmin(1).tolist() == exact.argmin(1).tolist() == classes.tolist()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_random_networks(seed, tmp_path):
    rng = np.random.default_rng(seed)
    network = random_network(rng, (8, 7, 6, 5), STEP)
    times = random_times(rng, (5, 8), STEP)
    sl.export.write(network, tmp_path / "random.nir", tau=TAU)
    simulated = simulate(nir.read(tmp_path / "random.nir"), times, 7.0)
    assert_simulated(network, simulated, times, 7.0)
    for spikes in simulated:
        assert 0 < np.isinf(spikes).mean() < 1
