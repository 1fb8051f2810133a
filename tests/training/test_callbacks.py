"""Who may watch a run: several at once, and TensorBoard."""

from __future__ import annotations

import builtins
import json

import pytest

from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.training import callbacks
from shiftlearn.training.run import resume, start

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = {"epochs": 4, "validation": 20}


@pytest.fixture
def board():
    pytest.importorskip("tensorboard")


def scalars(folder, tag):
    """Steps and values that TensorBoard shows of all event files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return {event.step: event.value for event in EventAccumulator(str(folder)).Reload().Scalars(tag)}


def logged(run, key):
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {line["epoch"]: pytest.approx(line[key]) for line in lines}


def test_several_are_told_the_same():
    class Watch(callbacks.Silent):
        def __init__(self):
            self.heard = []

        def batch(self, *arguments):
            self.heard.append(arguments)

        def epoch(self, record):
            self.heard.append(record)

    one, other = Watch(), Watch()
    both = callbacks.Several([one, other])
    both.batch(1, 0.5, 0.1, 0.9, 100.0)
    both.epoch({"epoch": 1})
    assert one.heard == other.heard == [(1, 0.5, 0.1, 0.9, 100.0), {"epoch": 1}]


def test_events_lie_beside_the_run(board, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ("--epochs", 4, "--set", "validation=20", "--threads", 1)
    code, out, err = call("train", "iris", *options, "--out", "runs/a", "--log", "tensorboard")
    assert (code, err) == (0, "")
    assert "watch it with: tensorboard --logdir runs/tensorboard" in out
    assert call("train", "iris", *options, "--out", "runs/b")[0] == 0
    assert {p.name for p in (tmp_path / "runs/a").iterdir()} == {p.name for p in (tmp_path / "runs/b").iterdir()}
    run, events = tmp_path / "runs/a", tmp_path / "runs/tensorboard/a"
    assert scalars(events, "loss") == logged(run, "loss")
    assert scalars(events, "accuracy/training") == logged(run, "train_accuracy")
    assert scalars(events, "accuracy/validation") == logged(run, "validation_accuracy")
    test = json.loads((run / "metrics.json").read_text())["test_accuracy"]
    assert scalars(events, "accuracy/test") == {4: pytest.approx(test)}
    assert call("runs")[0] == 0
    code, out, _ = call("train", "--resume", "runs/a", "--log", "tensorboard")
    assert (code, "nothing is left to do" in out) == (0, True)
    assert len(list(events.iterdir())) == 1


def test_resumed_runs_go_on_in_their_log(board, tmp_path):
    class Interrupted(callbacks.Silent):
        def epoch(self, record):
            if record["epoch"] == 2:
                raise KeyboardInterrupt

    recipe, run = recipes.override(recipes.read("iris"), SETTINGS), tmp_path / "run"
    with callbacks.TensorBoard(run) as log, pytest.raises(KeyboardInterrupt):
        start(recipe, run, 0, callbacks.Several([log, Interrupted()]))
    assert set(scalars(log.folder, "loss")) == {1, 2}
    (run / "checkpoint.safetensors").unlink()  # as if the machine had gone down before it stood: epoch 1 comes again
    with callbacks.TensorBoard(run) as log:
        metrics = resume(run, log)
        log.end(metrics)
    assert scalars(log.folder, "loss") == logged(run, "loss")
    assert scalars(log.folder, "accuracy/test") == {4: pytest.approx(metrics["test_accuracy"])}


@pytest.mark.parametrize("more", [("--folds", 2), ("--networks", 2)], ids=lambda more: more[0])
def test_many_networks_have_no_log(tmp_path, call, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    code, _, err = call("train", "iris", *more, "--log", "tensorboard")
    assert (code, "--log follows the epochs of one network" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_without_tensorboard(tmp_path, monkeypatch, call):
    original = builtins.__import__

    def missing(name, *arguments, **more):
        if name.startswith("torch.utils.tensorboard"):
            raise ImportError("No module named 'tensorboard'")
        return original(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"pip install 'shiftlearn\[tensorboard\]'"):
        callbacks.TensorBoard(tmp_path / "run")
    code, _, err = call("train", "iris", "--out", tmp_path / "run", "--log", "tensorboard")
    assert (code, len(err.splitlines())) == (2, 1)
    assert list(tmp_path.iterdir()) == []
