"""Tables by the command line, as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from trees import FAST, NAMES, cells, metrics, records, results, write

from shiftlearn import checkpoint

pytestmark = pytest.mark.usefixtures("one_thread", "place")


def test_train_evaluate_and_predict(call, place):
    code, out, err = call("train", "trees.csv", *FAST)
    assert (code, err) == (0, "")
    assert "run folder: runs/trees-seed0" in out
    run = place / "runs/trees-seed0"
    assert f"test accuracy {metrics(run)['test_accuracy']:.2%} on 8 samples" in out
    assert metrics(run)["test_accuracy"] >= 0.75
    config = checkpoint.read_config(run)
    assert (config.classes, config.recipe.layers) == (("elm", "oak"), (8, 6, 2))
    assert config.features.names == ("length", "colour", "width")

    code, out, err = call("evaluate", run)
    assert (code, err) == (0, "")
    assert "the same as the accuracy stored by the run" in out
    assert [word in out for word in ("elm", "oak", "macro average", "AUC")] == [True] * 4

    code, out, err = call("predict", run, "trees.csv", "--json")
    assert (code, err) == (0, "")
    known = json.loads(out)
    assert [row["sample"] for row in known] == [f"trees.csv[{k}]" for k in range(1, 41)]
    assert np.mean([row["class"] == cell[3] for row, cell in zip(known, cells(), strict=True)]) > 0.8
    assert len(records(run / "test_predictions.csv")) == 8

    rows = [[row[2], row[0], row[1]] for row in cells()]
    write(place / "new.csv", rows, ["width", "length", "colour"])
    code, out, _ = call("predict", run, "new.csv", "--json")
    assert code == 0
    assert [row["z"] for row in json.loads(out)] == [row["z"] for row in known]
    write(place / "bare.csv", [row[:3] for row in cells()], None)
    code, out, _ = call("predict", run, "bare.csv", "--json")
    assert [row["z"] for row in json.loads(out)] == [row["z"] for row in known]
    write(place / "extra.csv", [["x", *row] for row in cells()], ["note", *NAMES])
    code, out, _ = call("predict", run, "extra.csv", "new.csv", "--json")
    both = json.loads(out)
    assert [row["z"] for row in both] == [row["z"] for row in known] * 2
    assert [both[0]["sample"], both[40]["sample"]] == ["extra.csv[1]", "new.csv[1]"]

    code, out, err = call("predict", run, "new.csv")
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if "new.csv[" in line]
    assert len(lines) == 40
    for line, row in zip(lines, known, strict=True):
        assert row["class"] in line
        assert f"{row['score']:.4f}" in line


def test_one_row_and_rows_with_gaps_and_unknown_text(call, place):
    assert call("train", "trees.csv", *FAST, "--out", "run")[0] == 0
    write(place / "one.csv", [["0.99", "red", "0.1"]], NAMES[:3])
    code, out, _ = call("predict", "run", "one.csv", "--json")
    assert (code, [row["class"] for row in json.loads(out)]) == (0, ["oak"])
    write(place / "odd.csv", [["?", "red", ""], ["0.0", "no such colour", "1e9"], ["0.0", "", "NA"]], NAMES[:3])
    code, out, err = call("predict", "run", "odd.csv", "--json")
    assert (code, err, len(json.loads(out))) == (0, "", 3)


def test_target_and_header(call, place):
    rows = [[row[3], *row[:3]] for row in cells()]
    write(place / "first.csv", rows, ["kind", "length", "colour", "width"])
    write(place / "bare.csv", rows, None)
    for name, target in (("first.csv", "kind"), ("bare.csv", "1")):
        out = place / name.removesuffix(".csv")
        assert call("train", name, "--target", target, *FAST, "--out", out)[0] == 0
        assert checkpoint.read_config(out).classes == ("elm", "oak")
    assert checkpoint.read_config(place / "bare").features.names == ("2", "3", "4")
    known, new = (results(place / name)["weights.safetensors"] for name in ("first", "bare"))
    assert known == new
    write(place / "new.csv", [row[1:] for row in rows[:5]], None)
    code, out, _ = call("predict", "bare", "new.csv", "--json")
    assert (code, len(json.loads(out))) == (0, 5)


def test_a_run_does_not_depend_on_the_current_folder(call, place, monkeypatch):
    assert call("train", "trees.csv", *FAST, "--out", "run")[0] == 0
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert "the same as" in call("evaluate", "../run")[1]


@pytest.mark.parametrize("cut", ["summary", "weights", "everything"])
def test_resume_a_table(call, place, cut):
    for name in ("run", "other"):
        assert call("train", "trees.csv", *FAST, "--seed", 3, "--out", name)[0] == 0
    code, out, _ = call("train", "--resume", "run")
    assert (code, "nothing is left to do" in out) == (0, True)
    kept = {"summary": {"metrics.json"}, "weights": {"metrics.json", "weights.safetensors"}}
    for path in (place / "run").iterdir():
        if path.name in kept.get(cut, {path.name}) and path.name != "config.json":
            path.unlink()
    code, _, err = call("train", "--resume", "run", "--threads", 1)
    assert (code, err) == (0, "")
    assert results(place / "run") == results(place / "other")


@pytest.mark.parametrize("compare", [True, False])
def test_folds(call, place, compare):
    options = () if compare else ("--no-compare",)
    code, out, err = call("train", "trees.csv", *FAST, "--folds", 3, "--repeats", 2, *options, "--out", "run")
    assert (code, err) == (0, "")
    found = metrics(place / "run")
    assert (found["folds"], found["repeats"], found["test_samples"]) == (3, 2, 80)
    assert f"{found['accuracy_mean']:.2%}" in out
    assert "2 x 3 folds in" in out
    assert [("RBF SVM" in out), ("MLP" in out), ("RBF SVM" in found["compared"])] == [compare] * 3
    again = call("evaluate", "run")
    assert again[0] == 0
    assert again[1].splitlines() == out.splitlines()[-len(again[1].splitlines()) :]
    code, out, _ = call("predict", "run", "trees.csv", "--json")
    assert code == 0
    assert np.mean([row["class"] == cell[3] for row, cell in zip(json.loads(out), cells(), strict=True)]) > 0.8


def test_folds_alone_mean_one_partition(call, place):
    assert call("train", "trees.csv", *FAST, "--folds", 2, "--no-compare", "--out", "run")[0] == 0
    assert (metrics(place / "run")["repeats"], metrics(place / "run")["test_samples"]) == (1, 40)


def test_resume_folds(call, place):
    for name in ("run", "other"):
        assert call("train", "trees.csv", *FAST, "--folds", 2, "--repeats", 2, "--no-compare", "--out", name)[0] == 0
    code, out, _ = call("train", "--resume", "run")
    assert (code, "nothing is left to do" in out, "2 x 2 folds" in out) == (0, True, True)
    (place / "run/metrics.json").unlink()
    code, _, err = call("evaluate", "run")
    assert (code, "go on with `shiftlearn train --resume run`" in err) == (2, True)
    code, _, err = call("train", "--resume", "run", "--no-compare", "--threads", 1)
    assert (code, err) == (0, "")
    assert results(place / "run") == results(place / "other")


def test_resume_folds_of_different_width(call, place):
    write(place / "violet.csv", cells(violet=[6]))
    for name in ("run", "other"):
        assert call("train", "violet.csv", *FAST, "--folds", 3, "--no-compare", "--out", name)[0] == 0
    (place / "run/metrics.json").unlink()
    code, _, err = call("train", "--resume", "run", "--no-compare", "--threads", 1)
    assert (code, err) == (0, "")
    assert results(place / "run") == results(place / "other")


def test_resume_keeps_no_compare(call, place):
    assert call("train", "trees.csv", *FAST, "--folds", 2, "--no-compare", "--out", "run")[0] == 0
    (place / "run/metrics.json").unlink()
    assert call("train", "--resume", "run")[0] == 0
    assert metrics(place / "run")["compared"] == {}
