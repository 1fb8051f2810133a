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


def test_times_in_ms(trains, call):
    arrays = dict(np.load("trains.npz"))
    np.savez("ms.npz", **arrays | {"times": arrays["times"] * 1000})
    code, _, err = call("train", "tca-published", "--set", "dataset=ms.npz", "--out", "bad", *FAST)
    assert code == 2
    assert "ms.npz: the latest spike is at 900 s, 900 tau (tau = 1 s)" in err
    assert "if times are in ms, read them with --time-unit ms" in err
    call("train", "tca-published", "--set", "dataset=trains.npz", "--out", "s", *FAST)
    code, out, _ = call("train", "tca-published", "--set", "dataset=ms.npz", "--time-unit", "ms", "--out", "ms", *FAST)
    assert code == 0
    assert "time_unit = ms" in out
    assert call("evaluate", "ms")[0] == 0
    expected = json.loads(call("predict", "s", "trains.npz", "--json")[1])
    for run, file, *unit in (("ms", "ms.npz"), ("ms", "trains.npz", "--time-unit", "s")):
        found = json.loads(call("predict", run, file, *unit, "--json")[1])
        assert [row["z"] for row in found] == pytest.approx([row["z"] for row in expected])
    code, _, err = call("predict", "s", "ms.npz")
    assert code == 2
    assert "ms.npz: the latest spike is at 900 s" in err


def test_predict_needs_neither_target_nor_every_synapse(trains, call):
    call("train", "tca-published", "--set", "dataset=trains.npz", "--out", "run", *FAST)
    np.savez("new.npz", times=[0.1, 0.5], synapses=[0, 0], trial=[0, 1])
    code, out, _ = call("predict", "run", "new.npz", "--json")
    assert (code, len(json.loads(out))) == (0, 2)
    np.savez("wide.npz", times=[0.1, 0.5], synapses=[0, 2], trial=[0, 1])
    code, _, err = call("predict", "run", "wide.npz")
    assert code == 2
    assert "wide.npz: num_synapses must be at most 2 for this model, got 3" in err
    code, _, err = call("train", "tca-published", "--set", "dataset=new.npz", "--out", "other", *FAST)
    assert code == 2
    assert "new.npz: lacks target" in err


def test_spikes_that_are_squeezed_together(trains, call):
    wide = ("--set", "dataset=trains.npz", "--set", "tau=10")
    code, _, err = call("train", "tca-published", *wide, "--out", "run", *FAST)
    assert code == 0
    assert "/trains.npz: the latest spike is at 0.9 s, 0.09 tau (tau = 10 s)" in err
    assert "lower tau to about 0.18 s" in err


def test_mistakes(trains, call):
    for part, arguments in (
        ("no such file", ("train", "tca-published", "--set", "dataset=other.npz")),
        ("--folds is for tables, got tca", ("train", "tca-published", "--folds", "5")),
        ("--networks is for XOR", ("train", "tca-published", "--networks", "5")),
        (
            "layers must begin with 2",
            ("train", "tca-published", "--set", "dataset=trains.npz", "--set", "layers=[5, 4, 2]"),
        ),
        ("time_unit is for files of spike trains, got 'ms' for iris", ("train", "iris", "--time-unit", "ms")),
        ("cannot be read as an .npz file", ("train", "tca-published", "--set", "dataset=bad.npz")),
    ):
        (trains / "bad.npz").write_bytes(b"PK")
        code, _, err = call(*arguments)
        assert code == 2
        assert part.lower() in err.lower()
        assert len(err.splitlines()) == 1
        assert not (trains / "runs").exists()
