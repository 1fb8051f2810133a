"""What is said of a run that goes wrong, and that nothing is said of one that goes well."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from shiftlearn import ShiftClassifier, recipes
from shiftlearn.errors import InputError, RunWarning
from shiftlearn.models.build import build
from shiftlearn.models.model import load
from shiftlearn.models.stored import WEIGHTS, packed, read_tensors
from shiftlearn.runs.checkpoint import CHECKPOINT
from shiftlearn.runs.results import LOG, METRICS
from shiftlearn.training import callbacks, repeats
from shiftlearn.training.health import Health, explained_memory
from shiftlearn.training.run import start
from shiftlearn.training.step import Learner

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def table(tmp_path):
    """Two classes that one column tells apart: 400 rows."""
    random = np.random.default_rng(0)
    label = np.arange(400) % 2
    rows = np.stack([label + random.normal(0, 0.2, 400), random.normal(0, 1, 400)], 1)
    lines = [f"{a:.4f},{b:.4f},{'ab'[k]}" for (a, b), k in zip(rows, label, strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(["long,wide,kind", *lines]))
    return tmp_path / "x.csv"


def run(table, **settings):
    recipe = {"dataset": str(table), "layers": [0, 8, 0], "batch": 5, "epochs": 2, "lr": 1e-2, "lr_final": 1e-2}
    recipe = recipes.override(recipes.read("table"), recipe | settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start(recipe, table.parent / "run", 0, callbacks.Silent())
    return [str(warning.message) for warning in caught if issubclass(warning.category, RunWarning)]


def test_nothing_is_said_of_a_good_run(table):
    assert run(table) == []


def test_it_changes_no_bit(table, monkeypatch):
    run(table)
    before = (table.parent / "run" / WEIGHTS).read_bytes()
    (table.parent / "run").rename(table.parent / "other")
    for name in ("batch", "layers", "epoch"):
        monkeypatch.setattr(Health, name, lambda *_: None)
    run(table)
    assert (table.parent / "run" / WEIGHTS).read_bytes() == before


def test_silence_is_said_once_with_what_to_change(table):
    (said,) = run(table, homeostasis=0.0, init_scale=0.1)
    assert said == (
        "in epoch 1 no output neuron fires for 100% of the samples, whose answer then is the first class: the weights "
        "have become too small; set homeostasis to 1.2 (now 0), raise init_scale (now [0.1]) or lower lr (now 0.01)"
    )


def test_a_silent_hidden_layer_is_said(table, monkeypatch):
    real = Learner.step

    def step(self, *arguments, **options):
        found = real(self, *arguments, **options)
        with torch.no_grad():
            self.network[0].shift[:, :6] = 0.0
        return found

    monkeypatch.setattr(Learner, "step", step)
    (said,) = run(table, homeostasis=0.0)
    assert said.startswith("75% of the neurons of layer 1 never fire, and so learn nothing; set homeostasis to 1.2")


def test_chance_is_said_with_its_likely_cause(table):
    lines = table.read_text().splitlines()
    kinds = np.random.default_rng(1).permutation([line[-1] for line in lines[1:]])
    table.write_text("\n".join([lines[0], *(line[:-1] + kind for line, kind in zip(lines[1:], kinds, strict=True))]))
    (said,) = run(table, lr=1e-7, lr_final=1e-7)
    assert said.startswith("after 64 steps ")
    assert "hardly more than by chance (50.0%): the loss hardly falls; raise lr (now 1e-07), or change coding" in said


def test_a_loss_that_grows_asks_for_a_lower_rate():
    recipe = recipes.override(recipes.read("iris"), {"layers": [8, 4, 3], "batch": 2})
    watch = Health(recipe, build(recipe), torch.arange(120) % 3)
    watch.batch(1, 1.0, torch.ones(4, 3))
    with pytest.warns(RunWarning, match=r"the loss grows, from 1 to 2; lower lr \(now"):
        watch.epoch(1, 2.0, 0.35)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.epoch(1, 2.0, 0.35)  # once is enough
        watch = Health(recipe, build(recipe), torch.arange(120) % 3)
        watch.epoch(2, 2.0, 0.35)  # judged after the first epoch
        watch.epoch(1, 2.0, 0.6)


FLOORS = pytest.mark.parametrize(
    ("settings", "floor"), [({"rule": "exact", "min_drive": 0.0}, True), ({"rule": "shifting"}, False)], ids=str
)


@FLOORS
def test_a_loss_that_is_nan(settings, floor):
    recipe = recipes.override(recipes.read("iris"), {"layers": [8, 4, 3], "lr": 0.5} | settings)
    watch = Health(recipe, build(recipe), torch.arange(120) % 3)
    with pytest.warns(RunWarning, match=r"the loss is nan in epoch 2: the adjustments are too large; lower lr") as said:
        watch.batch(2, float("nan"), torch.ones(4, 3))
    assert ("set min_drive (now 0) to 1e-3" in str(said[0].message)) == floor


@FLOORS
@pytest.mark.parametrize("last", [False, True])
def test_weights_that_become_nan(table, monkeypatch, settings, floor, last):
    """In the last step of an epoch, or in the one before it, after which delays become NaN too."""
    real, steps = Learner.step, []

    def step(self, *arguments, **options):
        found = real(self, *arguments, **options)
        steps.append(found)
        if len(steps) == 63 + last:
            with torch.no_grad():
                self.network[1].shift[3, 0] = float("nan")
        return found

    monkeypatch.setattr(Learner, "step", step)
    with pytest.raises(InputError, match=r"weights have become NaN or infinite \(.*lower lr \(now 0\.01\)") as told:
        run(table, **settings)
    assert ("set min_drive (now 0) to 1e-3" in str(told.value)) == floor
    assert not (table.parent / "run" / CHECKPOINT).exists()
    assert (table.parent / "run" / LOG).read_text() == ""


def test_a_nan_delay_is_not_taken_for_one_below_zero(table, monkeypatch):
    real = Learner.step

    def step(self, *arguments, **options):
        found = real(self, *arguments, **options)
        with torch.no_grad():
            self.network[0].delay[0] = float("nan")
        return found

    monkeypatch.setattr(Learner, "step", step)
    with pytest.raises(InputError, match=r"weights have become NaN or infinite \(0\.delay\)"):
        run(table, project_delays=False)


def test_networks_side_by_side_that_become_nan(tmp_path):
    recipe = recipes.override(recipes.read("xor"), {"epochs": 3, "lr": 1e30, "delay_lr": 1e30})
    with pytest.raises(InputError, match=r"weights have become NaN or infinite \(.*lower lr \(now 1e\+30\)"):
        repeats.repeat(recipe, tmp_path / "run", 0, 3, callbacks.Silent())
    assert not (tmp_path / "run" / METRICS).exists()


def test_an_estimator_that_becomes_nan():
    x, y = load_iris(return_X_y=True)
    with pytest.raises(InputError, match=r"weights have become NaN .*lower learning_rate \(now 1e\+30\)"):
        ShiftClassifier(learning_rate=1e30, max_iter=2, random_state=0).fit(x, y)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_hold_nan_are_not_loaded(table, value):
    run(table, epochs=1)
    folder = table.parent / "run"
    tensors, _ = read_tensors(folder / WEIGHTS)
    tensors["0.shift"][0, 0] = value
    (folder / WEIGHTS).write_bytes(packed(tensors))
    with pytest.raises(InputError, match=r"weights\.safetensors holds NaN or infinite numbers, in 0\.shift"):
        load(folder)


def fail(recipe, error):
    with explained_memory(recipe):
        raise error


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (RuntimeError("can't allocate memory: you tried to allocate 40000000000 bytes."), "37.3 GiB more"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0"), "2.5 GiB more"),
        (MemoryError("Unable to allocate 29.8 GiB for an array with shape (4000000000,)"), "29.8 GiB more"),
        (MemoryError("std::bad_alloc"), "training takes about 21.9 MiB"),
    ],
    ids=["torch", "cuda", "numpy", "kernel"],
)
def test_out_of_memory_names_size_and_setting(error, needed):
    recipe = recipes.override(recipes.read("mnist"), {"layers": [784, 800, 10], "batch": 200})
    with pytest.raises(InputError, match=rf"out of memory: .*{needed}.*; lower batch \(now 200\)"):
        fail(recipe, error)
    with pytest.raises(InputError, match=r"lower trials \(now \d+\) or test_trials \(now \d+\) or "):
        fail(recipes.read("tca"), error)


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match="shapes"):
        fail(recipes.read("mnist"), RuntimeError("shapes do not fit"))


def test_a_network_that_the_machine_cannot_hold_is_refused(table):
    message = r"out of memory: training takes about 256 TiB, this machine has .*; lower layers \(now .*\) or batch"
    with pytest.raises(InputError, match=message):
        run(table, layers=[0, 2**22, 2**22, 0], init_scale=8.0)


def test_the_command_line_says_it_in_one_line(table, call):
    arguments = ("--set", "homeostasis=0.0", "--set", "init_scale=0.1", "--epochs", "1", "--threads", "1")
    code, _, err = call("train", table, *arguments, "--out", table.parent / "run")
    assert code == 0
    assert err.startswith("shiftlearn: warning: in epoch 1 no output neuron fires")
    assert len(err.splitlines()) == 1
