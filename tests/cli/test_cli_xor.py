"""XOR by the command line, and summaries that are damaged."""

from __future__ import annotations

import json

import pytest
from trees import FAST, metrics, records, results

pytestmark = pytest.mark.usefixtures("one_thread", "place")


def test_xor(call, place):
    code, out, err = call("train", "xor", "--epochs", 150, "--threads", 1)
    assert (code, err) == (0, "")
    run = place / "runs/xor-seed0"
    assert metrics(run)["test_samples"] == 4
    assert f"test accuracy {metrics(run)['test_accuracy']:.2%} on 4 samples" in out
    assert "the same as" in call("evaluate", run)[1]
    (run / "metrics.json").unlink()
    assert call("train", "--resume", run, "--threads", 1)[0] == 0
    assert metrics(run)["test_accuracy"] == 1


def test_repeat_xor(call, place):
    code, out, err = call("train", "xor", "--networks", 20, "--epochs", 60, "--seed", 2, "--threads", 1)
    assert (code, err) == (0, "")
    run = place / "runs/xor-seed2"
    found = metrics(run)
    assert f"solved {found['solved']} of 20 runs within 60 epochs" in out
    assert f"still solved after the last epoch: {found['solved_at_the_end']}" in out
    assert [row["seed"] for row in records(run / "repeats.csv")] == [str(k) for k in range(2, 22)]
    bars = [line for line in out.splitlines() if " to " in line and line.lstrip()[:1].isdigit()]
    assert sum(int(line.split()[-1]) for line in bars) == found["solved"] > 0
    assert call("evaluate", "runs/xor-seed2")[1].splitlines() == out.splitlines()[-len(bars) - 6 :]
    code, out, _ = call("train", "--resume", run)
    assert (code, "nothing is left to do" in out) == (0, True)
    before = results(run)
    (run / "metrics.json").unlink()
    code, _, err = call("evaluate", run)
    assert (code, "--resume" in err) == (2, True)
    assert call("train", "--resume", run, "--threads", 1)[0] == 0
    assert results(run) == before


def test_predict_of_xor(call, fails):
    assert call("train", "xor", "--epochs", 2, "--out", "run")[0] == 0
    message = "files of samples are for models of images, tables or spike trains, this one is of xor"
    fails(message, "predict", "run", "trees.csv")


def test_predict_of_repeated_xor(call, fails):
    assert call("train", "xor", "--epochs", 2, "--networks", 2, "--out", "run")[0] == 0
    code, _, err = call("predict", "run", "trees.csv")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "not finished" not in err


def test_the_published_xor_finishes(call, place):
    assert call("train", "xor-published", "--threads", 1, "--out", "run")[0] == 0


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("repeat", "solved"),
        ("repeat", "frozen"),
        ("folds", "accuracy_sd"),
        *(
            case
            for case in [
                ("repeat", "success_interval_95"),
                ("repeat", "histogram"),
                ("repeat", "median_epochs_to_solution"),
                ("folds", "compared"),
                ("folds", "test_samples"),
            ]
        ),
    ],
)
@pytest.mark.parametrize("command", [("evaluate",), ("train", "--resume")], ids=lambda x: x[0])
def test_a_damaged_summary(call, place, command, kind, key):
    what = {
        "repeat": ("xor", "--networks", 3, "--set", "lr=0.5", "--epochs", 60, "--threads", 1),
        "folds": ("trees.csv", *FAST, "--folds", 2, "--no-compare"),
    }[kind]
    assert call("train", *what, "--out", "run")[0] == 0
    found = metrics(place / "run")
    assert kind == "folds" or found["solved"] > 0
    del found[key]
    (place / "run/metrics.json").write_text(json.dumps(found))
    code, _, err = call(*command, "run")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "metrics.json" in err
