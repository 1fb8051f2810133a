"""Spike trains by the command line, as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("one_thread")
FAST = ("--set", "layers=[0, 8, 0]", "--set", "batch=5", "--set", "lr=3e-2", "--threads", "1", "--epochs", "4")


@pytest.fixture
def trains(tmp_path, monkeypatch):
    """In the current folder: trains.npz, 20 trials whose target, 0 or 1, is the synapse that spikes."""
    monkeypatch.chdir(tmp_path)
    target = np.arange(20) % 2
    np.savez("trains.npz", times=np.linspace(0.1, 0.9, 20), synapses=target, trial=np.arange(20), target=target)
    return tmp_path


def test_train_evaluate_predict(trains, call):
    code, out, err = call("train", "tca-published", "--set", "dataset=trains.npz", "--out", "run", *FAST)
    assert (code, err) == (0, "")
    assert "training accuracy" in out
    rows = [line.split("│")[1:4] for line in out.splitlines() if line.startswith("│")]
    assert [row[0].strip() for row in rows] == ["shiftlearn", "mode", "median", "ridge regression on spike counts"]
    metrics = json.loads((trains / "run/metrics.json").read_text())
    assert rows[0][1].strip() == f"{metrics['test_accuracy']:.2%}"
    code, out, _ = call("evaluate", "run")
    assert code == 0
    assert f"mean absolute error {metrics['mean_absolute_error']:.3f}" in out
    assert "the same as the accuracy stored by the run" in out
    code, out, _ = call("predict", "run", "trains.npz", "--json")
    found = json.loads(out)
    assert code == 0
    assert [row["sample"] for row in found[:2]] == ["trains.npz[0]", "trains.npz[1]"]
    assert len(found) == 20
    assert {row["class"] for row in found} <= {"0", "1"}


def test_mistakes(trains, call):
    for part, arguments in (
        ("no such file", ("train", "tca-published", "--set", "dataset=other.npz")),
        ("--folds is for tables, got tca", ("train", "tca-published", "--folds", "5")),
        ("--repeat is for XOR", ("train", "tca-published", "--repeat", "5")),
        (
            "layers must begin with 2",
            ("train", "tca-published", "--set", "dataset=trains.npz", "--set", "layers=[5, 4, 2]"),
        ),
        ("cannot be read as an .npz file", ("train", "tca-published", "--set", "dataset=bad.npz")),
    ):
        (trains / "bad.npz").write_bytes(b"PK")
        code, _, err = call(*arguments)
        assert code == 2
        assert part.lower() in err.lower()
        assert len(err.splitlines()) == 1
        assert not (trains / "runs").exists()
