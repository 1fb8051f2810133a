"""Spike trains of a recipe: generated, from files, and a network that learns from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shiftlearn import ops, recipes
from shiftlearn.analysis.baselines import of_trials
from shiftlearn.data import tasks
from shiftlearn.data.spike_trains.tca import generate, new_templates
from shiftlearn.data.spike_trains.tca_write import write_mat
from shiftlearn.data.spike_trains.trials import Trials, from_arrays, to_events
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.models.model import load
from shiftlearn.recipes import Recipe
from shiftlearn.training import run

pytestmark = pytest.mark.usefixtures("one_thread")
BOTH = ("train", "test")


def recipe(**changes: Any) -> Recipe:
    return recipes.override(recipes.read("tca-published"), {"trials": 4, "test_trials": 3} | changes)


def read(r: Recipe, seed: int = 0, parts: Any = BOTH) -> tuple[tasks.Task, Trials]:
    task = tasks.read(r, seed, None, parts)
    assert isinstance(task.samples, Trials)
    return task, task.samples


def counted(path: Path, n: int = 60, synapses: int = 5, seed: int = 0) -> str:
    """Trials whose target is told by which synapse spikes: 0, 1 or 2. (All begin with a spike of synapse 3.)"""
    random = np.random.default_rng(seed)
    target = np.arange(n) % 3
    times = np.concatenate([np.zeros(n), random.uniform(0.2, 0.9, n), random.uniform(0.2, 0.9, n)])
    who = np.concatenate([np.full(n, 3), target, target])
    np.savez(path, times=times, synapses=who, trial=np.tile(np.arange(n), 3), target=target, num_synapses=synapses,
             length=1.0)  # fmt: skip
    return str(path)


def test_generated_trials() -> None:
    task, trials = read(recipe())
    assert (len(trials), task.train.tolist(), task.test.tolist()) == (7, [0, 1, 2, 3], [4, 5, 6])
    assert task.classes == tuple(map(str, range(22)))
    assert task.digest is None
    train, test = trials[task.train], trials[task.test]
    assert np.array_equal(train.times, generate(4, 1, new_templates(0)).times)
    assert not np.array_equal(train.times[:50], test.times[:50])
    other, same = read(recipe(), seed=9, parts=["test"])  # only what is asked for, whatever the seed
    assert np.array_equal(same.times, test.times)
    assert (other.train.tolist(), other.test.tolist()) == ([], [0, 1, 2])


def test_templates_of_a_file(tmp_path: Path) -> None:
    made = generate(2, 5, new_templates(3, rewards=(1, 2), num_synapses=40), num_synapses=40)
    write_mat(tmp_path / "x.mat", made)
    task, trials = read(recipe(templates=str(tmp_path / "x.mat")))
    assert trials.num_synapses == 40
    assert set(trials.rewards.tolist()) <= {1, 2}
    assert tasks.fitted(recipe(layers=[0, 8, 0]), task, None).layers == (40, 8, 22)
    assert task.digest is not None


def test_a_file_is_split_by_the_seed(tmp_path: Path) -> None:
    r = recipe(dataset=counted(tmp_path / "x.npz"), layers=[0, 4, 0], test_share=0.25)
    task, trials = read(r)
    assert sorted([*task.train, *task.test]) == list(range(60))
    assert len(task.test) == 15
    assert task.classes == ("0", "1", "2")
    assert read(r, 0)[0].test.tolist() == task.test.tolist() != read(r, 1)[0].test.tolist()
    assert tasks.fitted(r, task, None).layers == (5, 4, 3)
    assert tasks.fitted(recipes.override(r, {"cue": 1.5}), task, None).layers == (6, 4, 3)
    assert len(read(recipes.override(r, {"layers": [5, 4, 7]}))[0].classes) == 7
    assert trials.target.tolist() == task.labels.tolist()


def test_a_file_of_its_own_to_test_with(tmp_path: Path) -> None:
    r = recipe(dataset=counted(tmp_path / "a.npz", 6), test_file=counted(tmp_path / "b.npz", 9, seed=1))
    task, trials = read(r)
    assert (task.train.tolist(), task.test.tolist()) == (list(range(6)), list(range(6, 15)))
    digest = task.digest
    counted(tmp_path / "b.npz", 9, seed=2)
    task, _ = read(r)
    assert task.digest != digest
    with pytest.raises(InputError, match="has changed since this run began"):
        tasks.require_same(task, r, digest)
    counted(tmp_path / "b.npz", 9, synapses=6)
    with pytest.raises(InputError, match=r"test_file must have the 5 synapses of .*a\.npz, got 6 in .*b\.npz"):
        read(r)
    assert len(trials.times) == 45
    trial = np.arange(4)
    np.savez(tmp_path / "b.npz", times=np.full(4, 0.5), synapses=trial, trial=trial, target=trial % 3)
    assert read(r, parts=["test"])[1].num_synapses == 5  # the file does not state it, and synapse 4 is silent
    np.savez(tmp_path / "b.npz", times=np.full(4, 0.5), synapses=trial, trial=trial)
    with pytest.raises(InputError, match=r"b\.npz: lacks target"):
        read(r)


def test_the_unit_of_time_is_that_of_all_files(tmp_path: Path) -> None:
    counted(tmp_path / "a.npz", 6)
    arrays = dict(np.load(tmp_path / "a.npz"))
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, **arrays | {"times": arrays["times"] * 1e6, "length": 1e6})
    r = recipe(dataset=str(tmp_path / "a.npz"), test_file=str(tmp_path / "b.npz"), time_unit="us")
    _, trials = read(r)
    assert trials.times.max() < 1
    assert trials.lengths.tolist() == 12 * [1.0]
    np.savez(tmp_path / "b.npz", **arrays | {"times": arrays["times"] * 1e9, "length": 1e9})
    with pytest.raises(InputError, match=r"b\.npz: the latest spike is at [\d,]+ us, \d+ tau"):
        read(r)
    made = generate(2, 5, new_templates(3, num_synapses=40), num_synapses=40)
    write_mat(tmp_path / "x.mat", made)
    _, trials = read(recipe(templates=str(tmp_path / "x.mat"), time_unit="ms"))
    assert trials.templates.duration == made.templates.duration / 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_file": "y.npz"}, "y.npz: no such file"),
        ({"test_file": "FILE"}, "test_file must have the 500 synapses of tca, got 5 in "),
        ({"dataset": "FILE", "templates": "x.mat"}, "templates are for generated spike trains, got '.*x.mat'"),
        ({"dataset": "FILE", "test_share": 0.001}, "test_share must leave one trial or more .* got 0.001 of the 60"),
        ({"dataset": "FILE", "preprocess": "edges"}, "preprocess is for images"),
        ({"templates": "x.mat"}, r"x\.mat"),
        ({"trials": 0}, "trials must be 1 or more, got 0"),
        ({"tau": 0.0}, "tau must be positive"),
        (
            {"tau": 0.01, "cue": 1.0, "dataset": "FILE"},
            r"x\.npz: the cue at the end of the longest trial is at 1 s, 100 tau",
        ),
        ({"time_unit": "min", "dataset": "FILE"}, "time_unit must be one of s, ms, us, got 'min'"),
        ({"time_unit": "ms"}, "time_unit is for files of spike trains, got 'ms' for tca"),
        ({"cue": -1.0}, "cue must be 0 or more"),
    ],
)
def test_settings_that_do_not_serve(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = counted(tmp_path / "x.npz")
    changes = {key: path if value == "FILE" else value for key, value in changes.items()}
    with pytest.raises(InputError, match=message):
        tasks.read(recipe(**changes), 0, None, BOTH)


def test_generated_trials_can_be_tested_with_those_of_a_file(tmp_path: Path) -> None:
    made = generate(3, 5, new_templates(3, num_synapses=40), num_synapses=40)
    path = str(tmp_path / "x.mat")
    write_mat(path, made)
    task, trials = read(recipe(templates=path, test_file=path))
    assert (task.train.tolist(), task.test.tolist()) == ([0, 1, 2, 3], [4, 5, 6])
    assert trials[task.test].target.tolist() == made.target.tolist()
    assert np.array_equal(trials[task.train].times, generate(4, 1, made.templates, 40).times)
    same, alone = read(recipe(templates=path, test_file=path), parts=["test"])
    assert np.array_equal(alone.times, trials[task.test].times)
    assert same.digest == task.digest


def test_layers_must_fit_the_trials(tmp_path: Path) -> None:
    task, _ = read(recipe(dataset=counted(tmp_path / "x.npz"), layers=[0, 4, 0]))
    with pytest.raises(InputError, match="layers must begin with 5 and end with 3"):
        tasks.fitted(recipe(layers=[500, 4, 3]), task, None)


def test_the_cue_has_weights_of_its_own() -> None:
    plain, cued = (build(recipe(layers=[4, 3, 2], cue=cue), torch.Generator().manual_seed(0)) for cue in (0.0, 1.5))
    assert torch.equal(plain[0].shift[:3], cued[0].shift[:3])
    assert (cued[0].shift[3] == 1.5).all()
    assert (plain[0].shift[3] < 1.5).all()


def test_baselines_against_their_definition() -> None:
    def trials(targets: list[int]) -> Trials:
        """As many spikes of synapse 0 as the target says, and one of synapse 1."""
        trial = np.repeat(np.arange(len(targets)), np.array(targets) + 1)
        first = np.r_[True, np.diff(trial) > 0]
        return from_arrays(np.linspace(0, 1, len(trial)), first.astype(int), trial, targets, num_synapses=2)

    train, test = trials([0, 1, 1, 1, 2, 4, 6, 8]), trials([1, 1, 3, 9])
    found = of_trials(to_events(train), train.target, to_events(test), test.target)
    assert found["mode"] == {"accuracy": 0.5, "mean_absolute_error": 2.5}
    assert found["median"] == {"accuracy": 0.0, "mean_absolute_error": (0.5 + 0.5 + 1.5 + 7.5) / 4}
    ridge = found["ridge regression on spike counts"]
    assert ridge == {"accuracy": 0.75, "mean_absolute_error": 0.25}  # 9 spikes more than ever in training: 8


class Watch:
    def batch(self, *_: Any) -> None:
        pass

    def epoch(self, record: dict[str, Any]) -> None:
        pass


def learning(tmp_path: Path, **changes: Any) -> Recipe:
    settings = {
        "dataset": counted(tmp_path / "x.npz"),
        "layers": [0, 12, 0],
        "epochs": 15,
        "batch": 5,
        "shuffle": True,
        "loss": "cross-entropy",
        "beta": 2.0,
        "lr": 3e-2,
        "lr_final": 3e-3,
        "project_delays": True,
        "cue": 1.5,
        "homeostasis": 1.2,
    }
    return recipe(**settings | changes)


def test_it_learns_from_a_users_spike_trains(tmp_path: Path) -> None:
    metrics = run.start(learning(tmp_path), tmp_path / "run", 0, Watch())
    assert metrics["test_accuracy"] > 0.9
    assert metrics["train_accuracy"] > 0.9
    assert metrics["mean_absolute_error"] < 0.2
    assert metrics["compared"]["mode"]["accuracy"] < 0.6
    model = load(tmp_path / "run")
    task, trials = read(model.recipe)
    own = trials[task.test]
    assert np.mean(model.predict(own) == own.target) == metrics["test_accuracy"]
    assert np.array_equal(model.predict(own)[3:5], model.predict(own[3:5]))
    events = to_events(own, cue=True)
    for layer in model.network:
        events = ops.fire(events, layer.shift, layer.delay)
    assert np.array_equal(events.detach().numpy(), model.z_out(own))
    assert np.array_equal(model.predict(to_events(own, cue=True)), model.predict(own))
    unlabelled = dataclasses.replace(own, target=np.full(len(own), -1))
    assert np.array_equal(model.predict(unlabelled), model.predict(own))
    wanted = "x must be trials of 5 synapses, or SpikeEvents of 6 channels, for this model, got "
    for wrong, found in (
        (dataclasses.replace(own, num_synapses=9), "Trials of 9 synapses; num_synapses .* counts silent synapses too"),
        (to_events(own), "SpikeEvents of 5 channels"),
        (np.zeros((3, 5)), "ndarray"),
    ):
        with pytest.raises(InputError, match=wanted + found):
            model.predict(wrong)


def test_without_shuffling_the_order_is_that_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    step = run.Learner.step

    def spy(self: Any, inputs: Any, target: torch.Tensor, **rest: Any) -> Any:
        seen.append(target.tolist())
        return step(self, inputs, target, **rest)

    monkeypatch.setattr(run.Learner, "step", spy)
    r = learning(tmp_path, shuffle=False, epochs=2, validation=3)
    run.start(r, tmp_path / "run", 0, Watch())
    task, _ = read(r)
    expected = task.labels[task.train][:-3].tolist()
    assert sum(seen, []) == 2 * expected  # noqa: RUF017
