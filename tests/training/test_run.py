"""The training loop, run folders and resuming, on a small slice of the real digits."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from small_runs import Watch, log, results, small

import shiftlearn as sl
from shiftlearn import nn, recipes
from shiftlearn.errors import InputError
from shiftlearn.models.evaluation import Evaluation, evaluate, task_of
from shiftlearn.models.stored import read_config, read_tensors
from shiftlearn.nn import spike_time_scores
from shiftlearn.training import run


@pytest.fixture
def whole(splits, tmp_path):
    """The folder of an uninterrupted run with seed 5."""
    run.start(small(), tmp_path / "whole", 5, Watch())
    return tmp_path / "whole"


def test_it_learns_and_leaves_a_run_folder(splits, digits, tmp_path):
    watch, folder = Watch(), tmp_path / "run"
    metrics = run.start(small(), folder, 0, watch)
    assert metrics["test_accuracy"] > 0.5
    assert (metrics["epochs"], metrics["seed"], metrics["silent_samples"]) == (3, 0, 0)
    assert metrics["train_seconds"] == pytest.approx(sum(r["seconds"] for r in watch.records))
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert [r["epoch"] for r in watch.records] == [1, 2, 3]
    assert watch.records[-1]["loss"] < watch.records[0]["loss"]
    assert [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] == watch.records
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]
    model, labels = sl.load(folder), digits["test"][1]
    rows = np.loadtxt(folder / "test_predictions.csv", delimiter=",", skiprows=1)
    assert rows[:, :2].tolist() == [[k, label] for k, label in enumerate(labels)]
    assert np.array_equal(rows[:, 2], model.predict(digits["test"][0]))
    assert np.array_equal(rows[:, 3:13].astype("f4"), model.predict_proba(digits["test"][0]))
    assert np.array_equal(rows[:, 13:].astype("f4"), model.z_out(digits["test"][0]))
    counts = np.loadtxt(folder / "confusion_matrix.csv", delimiter=",", skiprows=1)[:, 1:]
    assert counts.sum(1).tolist() == np.bincount(labels, minlength=10).tolist()
    assert counts.trace() / 300 == metrics["test_accuracy"] == evaluate(model, task_of(model, None, ["test"])).accuracy


def test_settings_come_first_and_the_test_set_last(splits, tmp_path):
    seen = []

    def look():
        assert splits == ["train"]
        assert not (tmp_path / "run/metrics.json").exists()
        seen.append(read_config(tmp_path / "run"))

    run.start(small(), tmp_path / "run", 7, Watch(look=look))
    assert splits == ["train", "test"]
    assert len(seen) >= 6
    assert all((config.recipe, config.seed) == (small(), 7) for config in seen)


def test_seed_and_nothing_else_decides(whole, tmp_path, threads):
    for name, seed, count in (("one", 5, 1), ("two", 5, 2), ("other", 6, 1)):
        torch.set_num_threads(count)
        run.start(small(), tmp_path / name, seed, Watch())
    one, two, other = (results(tmp_path / name) for name in ("one", "two", "other"))
    assert (one["metrics"].pop("threads"), two["metrics"].pop("threads")) == (1, 2)
    assert one == two
    assert one["weights.safetensors"] == (whole / "weights.safetensors").read_bytes()
    assert one["weights.safetensors"] != other["weights.safetensors"]


def test_the_global_random_state_plays_no_part(whole, tmp_path):
    torch.manual_seed(99)
    state = torch.get_rng_state()
    run.start(small(), tmp_path / "again", 5, Watch())
    assert results(tmp_path / "again") == results(whole)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "stop", [{"stop_after": 1}, {"stop_after": 3}, {"stop_within": 2}, {"stop_within": 1}], ids=str
)
def test_resumed_equals_uninterrupted_bit_for_bit(whole, tmp_path, stop):
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run.start(small(), cut, 5, Watch(**stop))
    with pytest.raises(InputError, match=r"not finished.*--resume"):
        sl.load(cut)
    with open(cut / "metrics.jsonl", "a") as file:  # a crash while a line was written leaves a part of it
        file.write('{"epoch": 9, "lo')
    run.resume(cut, Watch())
    assert results(cut) == results(whole)


def test_resumed_twice(whole, tmp_path):
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run.start(small(), cut, 5, Watch(stop_within=2))
    with pytest.raises(KeyboardInterrupt):
        run.resume(cut, Watch(stop_within=3))
    watch = Watch()
    run.resume(cut, watch)
    assert [r["epoch"] for r in watch.records] == [3]
    assert results(cut) == results(whole)


@pytest.mark.parametrize("name", ["save_state", "save_weights", "write_results"])
def test_cut_off_while_files_are_written(whole, tmp_path, monkeypatch, name):
    def stop(*arguments):
        raise KeyboardInterrupt

    owner = sl.Model if name == "save_weights" else run
    real = getattr(owner, name)
    monkeypatch.setattr(owner, name, stop)
    with pytest.raises(KeyboardInterrupt):
        run.start(small(), tmp_path / "cut", 5, Watch())
    assert not (tmp_path / "cut/metrics.json").exists()
    monkeypatch.setattr(owner, name, real)
    run.resume(tmp_path / "cut", Watch())
    assert results(tmp_path / "cut") == results(whole)


def test_a_log_with_foreign_bytes_is_survived(whole, tmp_path):
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run.start(small(), cut, 5, Watch(stop_after=1))
    with open(cut / "metrics.jsonl", "ab") as file:
        file.write(b"\xff\xfe")
    run.resume(cut, Watch())
    assert results(cut) == results(whole)


def test_a_finished_run_has_nothing_left(whole):
    before = {p.name: p.read_bytes() for p in whole.iterdir()}
    assert run.resume(whole, Watch()) is None
    assert before == {p.name: p.read_bytes() for p in whole.iterdir()}


def test_a_folder_in_use_is_left_alone(splits, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError, match="exists and is not an empty folder"):
            run.start(small(), folder, 0, Watch())
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert splits == []


def test_validation_samples_are_held_out(splits, digits, tmp_path, monkeypatch):
    images, labels = digits["train"]
    recipe = small(validation=300)

    def weights(name, changed):
        other = labels.copy()
        other[changed] = (other[changed] + 1) % 10
        splits = digits | {"train": (images, other)}
        monkeypatch.setattr(sl.data, "load", lambda name, split, *_: splits[split])
        watch = Watch()
        run.start(recipe, tmp_path / name, 0, watch)
        validation = [r["validation_accuracy"] for r in watch.records]
        assert validation == [r["validation_accuracy"] for r in log(tmp_path / name)]
        return (tmp_path / name / "weights.safetensors").read_bytes(), validation[-1]

    plain, validation = weights("plain", slice(0, 0))
    assert validation == np.mean(sl.load(tmp_path / "plain").predict(images[700:]) == labels[700:]) > 0.3
    held_out, wrong = weights("held_out", slice(700, None))
    assert held_out == plain
    assert wrong != validation
    assert weights("trained", slice(699, 700))[0] != plain


def test_without_validation_none_is_recorded(whole):
    assert all("validation_accuracy" not in record for record in log(whole))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"layers": [100, 10]},
            r"layers must begin with 784 and end with 10 for mnist \(or with 0, .*\), got \[100, 10\]",
        ),
        ({"layers": [784, 7]}, "end with 10"),
        ({"validation": 1000}, "validation must be less than the 1000 training samples, got 1000"),
        ({"dataset": "iris", "translate": 1}, "translate is for images, got 1 for iris"),
        ({"rule": "exakt"}, r"unknown rule 'exakt'\. Did you mean 'exact'\?"),
    ],
)
def test_a_recipe_that_does_not_fit(splits, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        run.start(small(init_scale=[8.0], **settings), tmp_path / "run", 0, Watch())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("device", ["abacus", "meta"])
def test_a_device_that_cannot_be_used(splits, tmp_path, device):
    with pytest.raises(InputError, match=f"device '{device}' cannot be used here"):
        run.start(small(), tmp_path / "run", 0, Watch(), device=device)


@pytest.mark.parametrize("rule", ["shifting", "exact"])
@pytest.mark.parametrize("feedback", ["random", "sign", "none"])
def test_every_rule_and_pathway_trains(splits, tmp_path, rule, feedback):
    recipe = small(epochs=6, rule=rule, feedback=feedback)
    # with "none" the hidden layer stays random and the read-out alone learns
    least = 0.15 if feedback == "none" else 0.4
    assert run.start(recipe, tmp_path / "run", 0, Watch())["test_accuracy"] > least


def test_convolutions_train_and_resume(splits, tmp_path):
    recipe = small(layers=[784, 10], maps=[6, 8], pool=3, init_scale=8, epochs=2, lr=1e-2)
    assert run.start(recipe, tmp_path / "whole", 5, Watch())["test_accuracy"] > 0.4
    with pytest.raises(KeyboardInterrupt):
        run.start(recipe, tmp_path / "cut", 5, Watch(stop_after=1))
    run.resume(tmp_path / "cut", Watch())
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def deep(**settings):
    layers = {"layers": [784, 30, 30, 30, 10], "init_share": [0.5, 0.9, 0.9, 0.9], "init_spread": [0.2, 0.2, 0.2, 0.05]}
    return recipes.override(recipes.read("mnist-deep"), layers | {"epochs": 3, "batch": 20, "lr": 3e-3} | settings)


def test_weights_are_fitted_to_training_samples_alone(splits, tmp_path, monkeypatch):
    """Samples that are held out and samples of the test set have no part in it; the seed decides the rest."""
    seen = []

    def initialise(network, inputs, *arguments):
        seen.append(inputs)
        nn.initialise(network, inputs, *arguments)

    monkeypatch.setattr(run, "initialise", initialise)
    run.start(deep(validation=800, epochs=1), tmp_path / "run", 5, Watch())
    (events,) = seen
    assert events.batch == 200
    own = sl.coding.encoder("latency", 2.0)(torch.from_numpy(sl.data.load("mnist", "train")[0][:200].reshape(200, -1)))
    assert sorted(events.rest.tolist()) == sorted(own.rest.tolist())
    torch.testing.assert_close(events.z.sort().values, own.z.sort().values)


def test_a_deep_run_learns_resumes_and_reports_in_t(splits, digits, tmp_path):
    assert run.start(deep(), tmp_path / "whole", 5, Watch())["test_accuracy"] > 0.6
    with pytest.raises(KeyboardInterrupt):
        run.start(deep(), tmp_path / "run", 5, Watch(stop_after=1))
    run.resume(tmp_path / "run", Watch())
    assert results(tmp_path / "run") == results(tmp_path / "whole")
    model = sl.load(tmp_path / "run")
    expected = spike_time_scores(torch.from_numpy(model.z_out(digits["test"][0])), 40.0, "t").numpy()
    assert np.array_equal(model.predict_proba(digits["test"][0]), expected)
    assert np.array_equal(evaluate(model, task_of(model, None, ["test"])).scores, expected)


def test_the_published_recipe_trains(splits, tmp_path):
    settings = {"layers": [784, 16, 10], "epochs": 4, "batch": 50, "lr": 1e-3, "lr_final": 1e-3}
    watch = Watch()
    run.start(recipes.override(recipes.read("mnist-published"), settings), tmp_path / "run", 0, watch)
    assert watch.records[-1]["loss"] < watch.records[0]["loss"]
    assert watch.records[-1]["train_accuracy"] > 0.3


def test_silence_and_ties_are_counted():
    inf = np.inf
    times = np.array([[1, 2, 3], [inf, inf, inf], [2, 2, 5], [inf, 4, 4], [1, 6, 6]], dtype=np.float32)
    result = Evaluation(np.array([0, 1, 1, 1, 2]), times.argmin(1), times, times)
    assert (result.silent, result.ties, result.accuracy) == (1, 2, 0.4)
    assert result.confusion().tolist() == [[1, 0, 0], [2, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(
    ("name", "settings", "reader", "count"),
    [
        ("iris", {}, "data.tasks._table", 1),
        ("tca", {"trials": 20, "test_trials": 10, "layers": [0, 8, 0]}, "data.spike_trains.sets.generate", 2),
    ],
)
def test_the_test_set_is_made_once(tmp_path, monkeypatch, name, settings, reader, count):
    module, function = f"shiftlearn.{reader}".rsplit(".", 1)
    real, calls = getattr(sys.modules[module], function), []
    monkeypatch.setattr(f"shiftlearn.{reader}", lambda *arguments: calls.append(arguments) or real(*arguments))
    run.start(recipes.override(recipes.read(name), {"epochs": 1} | settings), tmp_path / "run", 0, Watch())
    assert len(calls) == count


def test_the_average_is_stored_and_the_network_that_learns_stays_in_its_model(splits, tmp_path):
    mine = run._Run(small(averaging=0.9, epochs=1), 0, "cpu", None)
    mine.finish(tmp_path, Watch())
    stored, learning = read_tensors(tmp_path / "weights.safetensors")[0], mine.model.network.state_dict()
    assert mine.model.network is mine.learner.network
    for name, tensor in mine.learner.average.module.state_dict().items():
        assert torch.equal(stored[name], tensor)
    assert not torch.equal(stored["0.shift"], learning["0.shift"])
