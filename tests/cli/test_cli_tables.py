"""Tables by the command line, as a user types it."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from trees import FAST, NAMES, cells, metrics, records, results, write

from shiftlearn import recipes
from shiftlearn.data.tables.table import read_csv
from shiftlearn.models.stored import read_config
from shiftlearn.training import callbacks
from shiftlearn.training.run import start

pytestmark = pytest.mark.usefixtures("one_thread", "place")


def test_train_evaluate_and_predict(call, place):
    code, out, err = call("train", "trees.csv", *FAST)
    assert (code, err) == (0, "")
    assert "run folder: runs/trees-seed0" in out
    run = place / "runs/trees-seed0"
    assert f"test accuracy {metrics(run)['test_accuracy']:.2%} on 8 samples" in out
    assert metrics(run)["test_accuracy"] >= 0.75
    config = read_config(run)
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
        assert read_config(out).classes == ("elm", "oak")
    assert read_config(place / "bare").features.names == ("2", "3", "4")
    known, new = (results(place / name)["weights.safetensors"] for name in ("first", "bare"))
    assert known == new
    write(place / "new.csv", [row[1:] for row in rows[:5]], None)
    code, out, _ = call("predict", "bare", "new.csv", "--json")
    assert (code, len(json.loads(out))) == (0, 5)


def test_the_account_is_printed_once_and_stored(call, place):
    rows = [[k, *row[:2], f"{k % 7},25", "<0.1" if k == 3 else k / 8, row[3]] for k, row in enumerate(cells())]
    write(place / "odd.csv", rows, ["", "length", "colour", "weight", "age", "kind"])
    account = [
        "40 rows, comma-separated, header in line 1",
        "1 left out: row numbers (--set row_numbers=true keeps them) · length numeric · colour text, 2 levels · "
        "weight numeric (decimal comma) · age text, 40 levels · kind target, 2 classes",
    ]
    warning = "column 'age' is text because of 1 of 40 cells, such as '<0.1' in line 5"
    for options in ((), ("--folds", 2, "--no-compare"), ("--quiet",)):
        code, out, err = call("train", "odd.csv", *FAST, *options, "--out", "run")
        assert (code, [out.count(line) for line in account]) == (0, [0, 0] if "--quiet" in options else [1, 1])
        assert (err.count(f"shiftlearn: warning: {warning}"), len(err.splitlines())) == (1, 1)
        assert err.endswith("mend the cells, or let them count as missing: --missing '<0.1'\n")
        read = json.loads((place / "run/config.json").read_text())["read"]
        assert (read["account"], len(read["warnings"])) == (account, 1)
        assert read["warnings"][0].startswith(warning)
        assert read_config(place / "run").features.left_out == ("1",)
        shutil.rmtree(place / "run")
    code, out, err = call("train", "odd.csv", *FAST, "--missing", "<0.1", "--set", "row_numbers=true", "--out", "run")
    assert (code, err) == (0, "")
    assert "1 numeric · " in out
    assert "age numeric · " in out


def test_options_on_reading_are_those_of_the_run(call, place):
    rows = [[f"note{k}", *row[:3], {"elm": "NA", "oak": "ölm"}[row[3]]] for k, row in enumerate(cells())]
    lines = ["\t".join(str(cell).replace(".", ",") for cell in row) for row in [["0", "1", "2", "3", "4"], *rows]]
    (place / "odd.txt").write_text("\n".join(lines), encoding="cp1252")
    options = ["--header", "--separator", "tab", "--encoding", "cp1252", "--decimal", ",", "--drop", "0", "--missing"]
    assert call("train", "odd.txt", *options, "", *FAST, "--out", "run")[::2] == (0, "")
    config = read_config(place / "run")
    assert (config.classes, config.features.names) == (("NA", "ölm"), ("1", "2", "3"))
    assert call("evaluate", "run")[0] == 0
    (place / "run/metrics.json").unlink()
    assert call("train", "--resume", "run")[::2] == (0, "")

    def predicted(file, *options):
        code, out, err = call("predict", "run", file, *options, "--json")
        assert (code, err) == (0, "")
        return [row["z"] for row in json.loads(out)]

    known = predicted("odd.txt")
    assert len(known) == 40
    write(place / "point.csv", [row[1:4] for row in rows], ["1", "2", "3"])
    assert predicted("point.csv", "--separator", ",", "--header") == known
    write(place / "bare.csv", [row[1:4] for row in rows], None)
    assert predicted("bare.csv", "--separator", ",", "--no-header", "--encoding", "utf-8") == known
    write(place / "wide.csv", [row[:4] for row in rows], None)  # the column that was left out is none of the features
    code, _, err = call("predict", "run", "wide.csv", "--separator", ",", "--no-header")
    assert (code, "has 4 columns, expected 3 (1, 2, 3)." in err) == (2, True)
    write(place / "comma.csv", [["0,5", "red", "1,5"]], ["1", "2", "3"])
    assert len(predicted("comma.csv", "--separator", ",")) == 1
    code, _, err = call("predict", "run", "comma.csv", "--separator", ",", "--decimal", ".")
    assert (code, "column '1': '0,5' given, expected a number" in err) == (2, True)


def test_reading_options_are_for_tables(call, place, tmp_path):
    recipe = recipes.override(recipes.read("xor"), {"epochs": 1})
    start(recipe, tmp_path / "xor", 0, callbacks.Silent())
    code, _, err = call("predict", "xor", "trees.csv", "--no-header")
    assert (code, err) == (2, "shiftlearn: --header is for CSV files, this model is of xor\n")


def test_a_run_of_an_older_version_goes_on(call, place):
    """It named classes that are numbers by the number, and took an index for a feature."""
    rows = [[k, *row[:3], {"elm": "007", "oak": "8.0"}[row[3]]] for k, row in enumerate(cells())]
    write(place / "old.csv", rows, ["", *NAMES])
    assert call("train", "old.csv", *FAST, "--set", "row_numbers=true", "--out", "run")[0] == 0
    known = results(place / "run")
    config = json.loads((place / "run/config.json").read_text())
    table = read_csv(place / "old.csv", row_numbers=True)
    content = (table.names, ("7", "8"), table.labels.tolist(), [column.tolist() for column in table.columns])
    config |= {"classes": ["7", "8"], "digest": hashlib.sha256(repr(content).encode()).hexdigest()}
    for setting in ("header", "separator", "encoding", "missing", "decimal", "drop", "row_numbers"):
        del config["recipe"][setting]
    (place / "run/config.json").write_text(json.dumps(config))
    assert "the same as" in call("evaluate", "run")[1]
    for name in ("metrics.json", "weights.safetensors", "checkpoint.safetensors"):
        (place / "run" / name).unlink()
    assert call("train", "--resume", "run")[0] == 0
    assert results(place / "run")["weights.safetensors"] == known["weights.safetensors"]
    assert [row["class"] for row in records(place / "run/classes.csv")][:2] == ["7", "8"]
    write(place / "old.csv", rows[1:], ["", *NAMES])
    code, _, err = call("evaluate", "run")
    assert (code, "has changed since this run began, or was read differently by an older version" in err) == (2, True)


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
