"""The training loop, run folders and resuming, on a small slice of the real digits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import shiftlearn as sl
from shiftlearn import checkpoint, recipes, training
from shiftlearn.errors import InputError
from shiftlearn.evaluation import Evaluation, evaluate

TIMINGS = {"seconds", "samples_per_second"}


class Watch:
    """A reporter that keeps what it hears and may interrupt the run."""

    def __init__(self, stop_after: int = 0, stop_within: int = 0):
        self.records, self.stop_after, self.stop_within = [], stop_after, stop_within

    def batch(self, epoch, share, loss, accuracy, samples_per_second):
        assert 0 < share <= 1
        if epoch == self.stop_within:
            raise KeyboardInterrupt

    def epoch(self, record):
        self.records.append(record)
        if record["epoch"] == self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture
def splits(monkeypatch):
    """1,000 training and 300 test digits; the list of the splits that were read."""
    real = sl.data.load
    digits = {"train": [x[:1000] for x in real("mnist", "train")], "test": [x[:300] for x in real("mnist", "test")]}
    read = []

    def load(name, split, data_dir=None, progress=True):
        read.append(split)
        return tuple(digits[split])

    monkeypatch.setattr(sl.data, "load", load)
    return read


def small(**settings):
    base = {"layers": [784, 20, 10], "init_scale": [20.0, 8.0], "epochs": 3, "batch": 50, "lr": 5e-3, "lr_final": 1e-3}
    return recipes.override(recipes.read("mnist"), base | settings)


def weights(folder):
    return sl.load(folder).network.state_dict()


def log(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMINGS} for line in lines]


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in a) and a.keys() == b.keys()


def test_it_learns_and_leaves_a_run_folder(splits, tmp_path):
    watch = Watch()
    metrics = training.start(small(), tmp_path / "run", 0, watch)
    assert metrics["test_accuracy"] > 0.6
    assert {"train_seconds", "epochs", "seed", "silent_samples", "tied_samples"} <= metrics.keys()
    assert [r["epoch"] for r in watch.records] == [1, 2, 3]
    assert watch.records[-1]["loss"] < watch.records[0]["loss"]
    assert json.loads((tmp_path / "run/metrics.json").read_text()) == metrics
    assert len(log(tmp_path / "run")) == 3
    rows = (tmp_path / "run/test_predictions.csv").read_text().splitlines()
    assert len(rows) == 301
    assert rows[0].startswith("index,label,predicted,score_0,")
    counts = np.loadtxt(tmp_path / "run/confusion_matrix.csv", delimiter=",", skiprows=1)[:, 1:]
    assert counts.sum() == 300
    assert counts.trace() / 300 == metrics["test_accuracy"]
    assert evaluate(sl.load(tmp_path / "run")).accuracy == metrics["test_accuracy"]


def test_the_test_set_is_read_only_after_the_last_epoch(splits, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        training.start(small(), tmp_path / "run", 0, Watch(stop_after=3))
    assert splits == ["train"]


def test_seed_and_nothing_else_decides(splits, tmp_path):
    threads = torch.get_num_threads()
    for name, seed, count in (("a", 0, 1), ("b", 0, 2), ("c", 1, 1)):
        torch.set_num_threads(count)
        training.start(small(epochs=1), tmp_path / name, seed, Watch())
    torch.set_num_threads(threads)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.parametrize("stop", [{"stop_after": 1}, {"stop_within": 2}, {"stop_within": 1}])
def test_resumed_equals_uninterrupted_bit_for_bit(splits, tmp_path, stop):
    training.start(small(), tmp_path / "whole", 5, Watch())
    with pytest.raises(KeyboardInterrupt):
        training.start(small(), tmp_path / "cut", 5, Watch(**stop))
    with pytest.raises(InputError, match=r"not finished.*--resume"):
        sl.load(tmp_path / "cut")
    # a crash while a line was written leaves a part of it
    with open(tmp_path / "cut/metrics.jsonl", "a") as file:
        file.write('{"epoch": 9, "lo')
    training.resume(tmp_path / "cut", Watch())
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert log(tmp_path / "whole") == log(tmp_path / "cut")


def test_a_finished_run_has_nothing_left(splits, tmp_path):
    training.start(small(epochs=1), tmp_path / "run", 0, Watch())
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    assert training.resume(tmp_path / "run", Watch()) is None
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}


def test_a_folder_in_use_is_left_alone(splits, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        training.start(small(), tmp_path, 0, Watch())
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_validation_samples_are_held_out(splits, tmp_path, monkeypatch):
    seen = []
    step = training._Run._step
    monkeypatch.setattr(training._Run, "_step", lambda self, x, y: seen.append(len(x)) or step(self, x, y))
    watch = Watch()
    training.start(small(epochs=1, validation=300), tmp_path / "run", 0, watch)
    assert sum(seen) == 700
    assert 0.3 < watch.records[0]["validation_accuracy"] <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": [100, 10]}, r"layers must begin with 784 and end with 10 for mnist, got \[100, 10\]"),
        ({"layers": [784, 7]}, "end with 10"),
        ({"validation": 1000}, "validation must be less than the 1000"),
    ],
)
def test_a_recipe_that_does_not_fit_the_data(splits, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        training.start(small(init_scale=[8.0], **settings), tmp_path / "run", 0, Watch())
    assert not (tmp_path / "run").exists()


def test_an_unknown_device(splits, tmp_path):
    with pytest.raises(InputError, match="device 'abacus' cannot be used here"):
        training.start(small(), tmp_path / "run", 0, Watch(), device="abacus")


@pytest.mark.parametrize("rule", ["shifting", "exact"])
@pytest.mark.parametrize("feedback", ["random", "sign", "none"])
def test_every_rule_and_pathway_trains(splits, tmp_path, rule, feedback):
    recipe = small(epochs=8, rule=rule, feedback=feedback)
    # with "none" the hidden layer stays random and the read-out alone learns
    least = 0.15 if feedback == "none" else 0.4
    assert training.start(recipe, tmp_path / "run", 0, Watch())["test_accuracy"] > least


def test_silence_and_ties_are_counted():
    inf = np.inf
    times = np.array([[1, 2, 3], [inf, inf, inf], [2, 2, 5], [inf, 4, 4]], dtype=np.float32)
    result = Evaluation(np.array([0, 1, 1, 1]), times.argmin(1), times, times)
    assert (result.silent, result.ties, result.accuracy) == (1, 2, 0.5)
    assert result.confusion().tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_damaged_files_are_named(splits, tmp_path, name, damage):
    training.start(small(epochs=1), tmp_path / "run", 0, Watch())
    path = tmp_path / "run" / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[3 if name.startswith("w") else 0] ^= 0xFF
    path.write_bytes({"cut": content[: len(content) // 2], "flip": content, "text": b"hello"}[damage])
    with pytest.raises(InputError, match=name):
        sl.load(tmp_path / "run")


def test_weights_of_another_shape_are_refused(splits, tmp_path):
    training.start(small(epochs=1), tmp_path / "a", 0, Watch())
    training.start(small(epochs=1, layers=[784, 21, 10]), tmp_path / "b", 0, Watch())
    (tmp_path / "a/weights.safetensors").write_bytes((tmp_path / "b/weights.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"does not fit its recipe: 0\.delay"):
        sl.load(tmp_path / "a")


def test_a_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    checkpoint.write(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
