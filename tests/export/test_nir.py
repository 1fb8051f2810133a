"""NIR graphs: what is in them, that they compute what the network computes, and what is refused."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from interpreter import nir, run
from networks import random_network, random_times
from torch import nn

import shiftlearn as sl
from shiftlearn import recipes
from shiftlearn.data import tasks
from shiftlearn.errors import InputError
from shiftlearn.export import from_nir, to_nir, write
from shiftlearn.models.build import build
from shiftlearn.models.model import Model
from shiftlearn.nn import DirectFeedback, ShiftLinear
from shiftlearn.recipes.description import describe

pytestmark = pytest.mark.usefixtures("one_thread")

TAU = 5e-3
inf = math.inf


def layer(*shift, delay=1.0):
    """In float64, with weights (in, out) and one delay for all."""
    shift = torch.tensor(shift, dtype=torch.float64)
    made = ShiftLinear(*shift.shape, dtype=torch.float64)
    with torch.no_grad():
        made.shift.copy_(shift)
        made.delay.fill_(delay)
    return made


def assert_same_times(graph, network, times):
    """For (samples, in) times in units of tau: those of the interpreter are the library's, to 1e-10 tau."""
    tau = graph.nodes["layer1_li"].tau[0]
    with torch.no_grad():
        exact = network(torch.from_numpy(np.exp(times))).log().numpy()
    read = np.array([run(graph, row * tau)[0] / tau for row in times])
    np.testing.assert_allclose(read, exact, rtol=0, atol=1e-10)


# --------------------------------------------------------------------------------------------- the graph


def test_the_nodes(tmp_path):
    network = nn.Sequential(layer([2.0, 0.5], [-1.0, 0.25], [3.0, 4.0], delay=2.0), layer([5.0], [6.0]))
    write(network, tmp_path / "net.nir", tau=TAU)
    graph = nir.read(tmp_path / "net.nir")
    order = [f"layer{k}_{kind}" for k in (1, 2) for kind in ("linear", "li", "if", "delay")]
    names = ["input", *order, "output"]
    assert sorted(graph.edges) == sorted(pairwise(names))
    assert (graph.nodes["input"].output_type["output"], graph.nodes["output"].input_type["input"]) == ([3], [1])
    assert graph.nodes["layer1_linear"].weight.tolist() == [[2.0, -1.0, 3.0], [0.5, 0.25, 4.0]]
    for number, outputs in ((1, 2), (2, 1)):
        li, spiking, axon = (graph.nodes[f"layer{number}_{kind}"] for kind in ("li", "if", "delay"))
        values = (li.tau, li.r, li.v_leak, spiking.r, spiking.v_threshold, spiking.v_reset)
        for value, wanted in zip(values, (TAU, 1, 0, 1, 1, -1e6), strict=True):
            assert (value.dtype, value.tolist()) == (np.float64, [wanted] * outputs)
        assert (axon.delay.dtype, axon.delay.shape) == (np.float64, (outputs,))
    assert graph.nodes["layer1_delay"].delay == pytest.approx(TAU * math.log(2), rel=1e-15)
    assert graph.nodes["layer2_delay"].delay.tolist() == [0]
    assert graph.metadata == {"time_unit": "s"}


def test_the_description_of_a_model(trained, tmp_path):
    model = sl.load(trained)
    write(model, tmp_path / "digits.nir")
    graph = nir.read(tmp_path / "digits.nir")
    about = json.loads(graph.metadata["shiftlearn"])
    assert (about["dataset"], about["coding"], about["coding_exponent"]) == ("digits", "on-off", 3.0)
    assert about["description"] == describe(model.recipe)
    assert about["classes"] == [str(k) for k in range(10)]
    assert about["features"] == model.features.as_dict()
    assert about["read_out"].startswith("earliest output wins")
    assert graph.nodes["layer1_li"].tau[0] == 5e-3


def test_tau_of_spike_trains_is_that_of_the_recipe():
    recipe = recipes.override(
        recipes.read("tca"), {"layers": [5, 4, 2], "dataset": "/some/where/mine.npz", "tau": 0.25}
    )
    model = Model(recipe, build(recipe, torch.Generator().manual_seed(0)), 0)
    graph = to_nir(model)
    about = json.loads(graph.metadata["shiftlearn"])
    assert graph.nodes["layer1_li"].tau.tolist() == [0.25] * 4
    assert (about["coding"], about["dataset"], about["cue"]) == ("spike trains", "mine.npz", recipe.cue > 0)
    assert to_nir(model, 0.5).nodes["layer1_li"].tau.tolist() == [0.5] * 4


def test_networks_with_direct_feedback_and_single_layers():
    layers = [ShiftLinear(3, 2, feedback="none"), ShiftLinear(2, 2, feedback="none")]
    direct, plain = to_nir(DirectFeedback(*layers)), to_nir(nn.Sequential(*layers))
    assert direct.edges == plain.edges
    single = to_nir(layers[0])
    assert np.array_equal(single.nodes["layer1_linear"].weight, plain.nodes["layer1_linear"].weight)


# --------------------------------------------------------------------------------------------- what it computes


def test_one_neuron_by_hand():
    """Weight 2 at time 0: 2 (1 − exp(−t / τ)) = 1 at t = τ ln 2. With −0.5 from ln 1.5 on: at ln 2.5, not ln 2."""
    times = np.array([0.0, TAU * math.log(1.5)])
    for inhibition, delay, wanted in ((0.0, 1.0, 2.0), (-0.5, 1.0, 2.5), (-0.5, 3.0, 7.5), (-1.0, 1.0, inf)):
        graph = to_nir(layer([2.0], [inhibition], delay=delay), TAU)
        assert run(graph, times)[0] / TAU == pytest.approx(math.log(wanted))


@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4))
def test_random_networks(tmp_path_factory, seed, sizes):
    rng = np.random.default_rng(seed)
    sizes[0] += 2
    network, times = random_network(rng, sizes), random_times(rng, (1, sizes[0]))
    tau = 10 ** rng.uniform(-3, 0)
    path = tmp_path_factory.getbasetemp() / "random.nir"
    write(network, path, tau=tau)
    graph = nir.read(path)
    assume(run(graph, times[0] * tau)[1] > 1e-3)  # nearer to threshold rounding is enlarged or decides
    assert_same_times(graph, network, times)


def test_some_random_neurons_are_silent_and_some_are_not():
    rng = np.random.default_rng(0)
    z = torch.cat(
        [random_network(rng, (5, 4, 4))(torch.from_numpy(np.exp(random_times(rng, (1, 5))))) for _ in range(50)]
    )
    assert 0.2 < z.isfinite().double().mean() < 0.8


def test_trained_digits(trained, tmp_path):
    model = sl.load(trained)
    task = tasks.read(model.recipe, model.seed, None, ["train", "test"])
    samples = task.take(task.test[:20])
    classes = model.predict(samples)
    assert (classes == task.labels[task.test[:20]]).mean() > 0.7
    write(model, tmp_path / "digits.nir", tau=TAU)
    times = model.encode(model.values(samples)).double().log().numpy()
    graph = nir.read(tmp_path / "digits.nir")
    assert (graph.nodes["layer1_delay"].delay > 1e-3 * TAU).any()
    assert_same_times(graph, model.network.double(), times)
    assert [run(graph, row * TAU)[0].argmin() for row in times] == classes.tolist()


# --------------------------------------------------------------------------------------------- and back


@pytest.mark.parametrize("sizes", [(3, 1), (4, 5, 2), (2, 3, 1, 4)])
def test_there_and_back(sizes, tmp_path):
    network = random_network(np.random.default_rng(0), sizes)
    write(network, tmp_path / "net.nir", tau=TAU)
    back = from_nir(nir.read(tmp_path / "net.nir"))
    assert isinstance(back, nn.Sequential)
    for before, after in zip(network, back, strict=True):
        assert torch.equal(before.shift, after.shift)
        torch.testing.assert_close(before.delay, after.delay, rtol=1e-15, atol=0)
        assert (after.delay >= 1).all()
    again = from_nir(to_nir(back.float(), 1.0)).float()  # float32 goes there and back unchanged
    for before, after in zip(back, again, strict=True):
        assert torch.equal(before.shift, after.shift)
        assert torch.equal(before.delay, after.delay)


def changed(name, key, value):
    graph = to_nir(nn.Sequential(layer([2.0, 1.0]), layer([2.0], [1.0])), TAU)
    setattr(graph.nodes[name], key, np.array(value))
    return graph


def rewired(*edges):
    graph = changed("layer1_li", "tau", [TAU] * 2)
    graph.edges = [e for e in graph.edges if e not in edges] + [e for e in edges if e not in graph.edges]
    return graph


def without_delays():
    graph = to_nir(layer([2.0]), TAU)
    return nir.NIRGraph.from_list(*(graph.nodes[f"layer1_{kind}"] for kind in ("linear", "li", "if")))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            lambda: changed("layer1_li", "tau", [TAU, 2 * TAU]),
            r"LI.tau of layer 1 of the graph must be 2 times 0.005, got",
        ),
        (lambda: changed("layer2_li", "tau", [2 * TAU]), r"LI.tau of layer 2 of the graph must be 1 times 0.005, got"),
        (lambda: changed("layer1_li", "tau", [0.0, 0.0]), "LI.tau of layer 1 of the graph must be positive, got 0"),
        (lambda: changed("layer1_li", "r", [1.0, TAU]), "LI.r of layer 1 of the graph must be 2 times 1, got"),
        (lambda: changed("layer1_li", "v_leak", [0.5, 0]), "LI.v_leak of layer 1 of the graph must be 2 times 0, got"),
        (lambda: changed("layer2_if", "r", [2.0]), "IF.r of layer 2 of the graph must be 1 times 1, got"),
        (lambda: changed("layer2_if", "v_threshold", 1.0), "IF.v_threshold of layer 2 .* must be 1 times 1, got 1.0"),
        (lambda: changed("layer2_if", "v_reset", [0.0]), r"IF.v_reset of layer 2 .* must be 1 times -1e\+06, got"),
        (
            lambda: changed("layer2_delay", "delay", [-1.0]),
            "Delay.delay of layer 2 .* must be 1 numbers of 0 or more, got",
        ),
        (
            lambda: changed("layer2_delay", "delay", [1.0, 2.0]),
            "Delay.delay of layer 2 .* must be 1 numbers of 0 or more",
        ),
        (
            without_delays,
            "graph must be Input, Linear, LI, IF, Delay for each layer, Output; got Input, Linear, LI, IF, Out",
        ),
        (
            lambda: nir.NIRGraph.from_list(nir.Flatten({"input": [2]}, 0)),
            "graph must be Input, Linear, .* got Input, Flatt",
        ),
        (lambda: rewired(("layer2_linear", "layer2_li")), "graph must be one chain from its input, got 10 nodes and"),
        (lambda: rewired(("layer1_delay", "layer1_linear")), "graph must be one chain"),
        (
            lambda: rewired(("layer1_delay", "layer2_linear"), ("layer1_delay", "layer1_linear")),
            "graph must be one chain",
        ),
    ],
)
def test_graphs_of_another_composition(graph, message):
    with pytest.raises(InputError, match=message):
        from_nir(graph())


def test_what_is_no_graph(tmp_path):
    with pytest.raises(InputError, match="graph must be a NIRGraph or the path of a NIR file, got None"):
        from_nir(None)
    (tmp_path / "x.nir").write_bytes(b"no HDF5")
    for name, found in (("x.nir", "file signature not found"), ("y.nir", "No such file or directory")):
        with pytest.raises(InputError, match=rf"{name}: cannot be read as a NIR file of .*{found}"):
            from_nir(tmp_path / name)


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: nn.Sequential(layer([1.0]), layer([1.0], delay=0.5)), "layer 2: delay must be 1 or more .*, got 0.5"),
        (lambda: nn.Sequential(layer([1.0], delay=math.nan)), "layer 1: delay must be 1 or more .*, got nan"),
        (lambda: nn.Sequential(layer([1.0], delay=inf)), "layer 1: delay must be 1 or more and finite .*, got inf"),
        (lambda: nn.Sequential(layer([1.0, inf])), "layer 1: shift must be finite, got inf"),
        (lambda: build(recipes.read("mnist-conv")), r"single ShiftLinear layers, .*ShiftConv2d\(.*EarliestSpikePool2d"),
        (lambda: ShiftLinear(2, 3, members=4), "single ShiftLinear layers, got .*members=4"),
        (lambda: nn.Linear(2, 3), "single ShiftLinear layers, got Linear"),
        (lambda: nn.Sequential(), "single ShiftLinear layers, got none"),
        (lambda: nn.Sequential(layer([1.0, 2.0]), layer([1.0])), "layers must fit together, got 2 outputs to 1 inputs"),
    ],
)
def test_networks_that_nir_does_not_take(network, message, tmp_path):
    with pytest.raises(InputError, match=message):
        write(network(), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tau", [0.0, -1.0, math.nan, inf])
def test_bad_tau(tau):
    with pytest.raises(InputError, match="tau must be positive and finite, in seconds, got"):
        to_nir(layer([2.0]), tau)


def test_bad_paths_and_formats(tmp_path):
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "none" / "net.nir", "the folder .* does not exist")):
        with pytest.raises(InputError, match=message):
            write(layer([2.0]), path)
    with pytest.raises(InputError, match=r"unknown format 'nri'\. Did you mean 'nir'\?"):
        write(layer([2.0]), tmp_path / "net.nir", "nri")


def test_a_file_is_replaced_by_a_whole_one_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "net.nir"
    path.write_text("before")
    with pytest.raises(InputError):
        write(layer([2.0], delay=0.5), path)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", lambda handle: os.close(-1))  # an OSError: the disk is full
        with pytest.raises(OSError, match="Bad file descriptor"):
            write(layer([2.0]), path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("net.nir", "before")]
    write(layer([2.0]), path)
    assert nir.read(path).nodes["layer1_linear"].weight.tolist() == [[2.0]]
    assert len(list(tmp_path.iterdir())) == 1


# --------------------------------------------------------------------------------------------- without nir; commands


def test_without_nir_the_extra_is_named(trained, tmp_path, call, monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    for refused in (lambda: to_nir(layer([2.0])), lambda: from_nir(None)):
        with pytest.raises(InputError, match=r"the format NIR needs nir: pip install 'shiftlearn\[nir\]'"):
            refused()
    code, out, err = call("export", trained, "--out", tmp_path / "net.nir")
    assert (code, out, err) == (2, "", "shiftlearn: the format NIR needs nir: pip install 'shiftlearn[nir]'\n")
    assert not list(tmp_path.iterdir())


def test_a_nir_without_resets_is_too_old(monkeypatch):
    fields = {k: v for k, v in nir.IF.__dataclass_fields__.items() if k != "v_reset"}
    monkeypatch.setattr(nir.IF, "__dataclass_fields__", fields)
    with pytest.raises(InputError, match=r"needs nir 1\.0\.6 or later, got \d"):
        to_nir(layer([2.0]))


def test_the_command(trained, tmp_path, call):
    path = tmp_path / "net.nir"
    code, out, err = call("export", trained, "--format", "nir", "--out", path, "--tau", "2e-3")
    assert (code, err) == (0, "")
    assert out == f"{path}: 120-20-10 neurons, format nir\n"
    graph = nir.read(path)
    assert graph.nodes["layer1_li"].tau.tolist() == [2e-3] * 20
    for before, after in zip(sl.load(trained).network, from_nir(graph), strict=True):
        assert torch.equal(before.shift.double(), after.shift)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "nri"), "unknown format 'nri'. Did you mean 'nir'? Valid: nir."),
        (("--tau", "0"), "tau must be positive and finite, in seconds, got 0.0"),
        (("--tau", "soon"), "Invalid value for '--tau'"),
        (("--out", "no/such/net.nir"), "the folder 'no/such' does not exist"),
    ],
)
def test_mistakes_of_the_command(trained, tmp_path, call, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("export", trained, "--out", "net.nir", *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
    code, _, err = call("export", tmp_path / "none", "--out", "net.nir")
    assert code == 2
    assert "no run folder" in err
    assert not list(tmp_path.iterdir())


def test_the_example_of_the_documentation(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(sl.load(trained), "digits.nir")
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code, {})
    assert "layer1_linear 0.005 on-off 3.0 ['0', '1'" in capsys.readouterr().out
