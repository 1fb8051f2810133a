"""Tables and XOR by the command line, as a user types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from shiftlearn import checkpoint

FAST = ("--epochs", "12", "--set", "layers=[0, 6, 0]", "--set", "batch=8", "--set", "lr=3e-2", "--threads", "1")
NAMES = ["length", "colour", "width", "kind"]
TIMINGS = ("train_seconds", "seconds", "samples_per_second")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def fails(call, tmp_path):
    """A mistake: exit code 2, one line that says ``part``, and no new files in the current folder."""

    def fails(part, *arguments):
        before = sorted(tmp_path.rglob("*"))
        code, _, err = call(*arguments)
        assert code == 2
        assert err.startswith("shiftlearn: ")
        assert len(err.splitlines()) == 1
        assert part.lower() in err.lower()
        assert sorted(tmp_path.rglob("*")) == before

    return fails


def cells(rows=40, violet=()):
    """Rows of length, colour (text), width (with gaps) and kind; length tells the kind."""
    rng = np.random.default_rng(1)
    found = []
    for k in range(rows):
        label = k % 2
        colour = "violet" if k in violet else ["red", "blue"][rng.integers(2)]
        length, width = label + rng.normal(0, 0.15), rng.normal()
        found.append([f"{length:.4f}", colour, "" if k % 9 == 4 else f"{width:.3f}", ["elm", "oak"][label]])
    return found


def write(path, rows, names=NAMES):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *rows] if names else rows)
    return path


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The current folder, with trees.csv."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "trees.csv", cells())
    return tmp_path


def records(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def results(folder):
    """All files of a run, without the times that they took."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[path.name] = [{k: v for k, v in line.items() if k not in TIMINGS} for line in lines]
        elif path.name == "metrics.json":
            found[path.name] = {k: v for k, v in metrics(folder).items() if k not in TIMINGS}
        elif path.name == checkpoint.CHECKPOINT:  # its metadata hold the time
            found[path.name] = {name: x.tolist() for name, x in load_file(path).items()}
        else:
            found[path.name] = path.read_bytes()
    return found


# ------------------------------------------------------------------------------------- a network for a table


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


# ------------------------------------------------------------------------------------- cross-validation


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


# ------------------------------------------------------------------------------------- XOR


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
    code, out, err = call("train", "xor", "--repeat", 20, "--epochs", 60, "--seed", 2, "--threads", 1)
    assert (code, err) == (0, "")
    run = place / "runs/xor-seed2"
    found = metrics(run)
    assert f"solved {found['solved']} of 20 runs within 60 epochs" in out
    assert f"still solved after the last epoch: {found['solved_at_the_end']}" in out
    assert [row["seed"] for row in records(run / "repeats.csv")] == [str(k) for k in range(2, 22)]
    bars = [line for line in out.splitlines() if " to " in line and line.lstrip()[:1].isdigit()]
    assert sum(int(line.split()[-1]) for line in bars) == found["solved"] > 0
    assert call("evaluate", run)[1].splitlines() == out.splitlines()[-len(bars) - 4 :]
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
    fails(
        "files of samples are for models of images, tables or spike trains, this one is of xor",
        "predict",
        "run",
        "trees.csv",
    )


def test_predict_of_repeated_xor(call, fails):
    assert call("train", "xor", "--epochs", 2, "--repeat", 2, "--out", "run")[0] == 0
    code, _, err = call("predict", "run", "trees.csv")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "not finished" not in err


def test_the_published_xor_finishes(call, place):
    assert call("train", "xor-published", "--threads", 1, "--out", "run")[0] == 0


# ------------------------------------------------------------------------------------- damaged runs


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
        "repeat": ("xor", "--repeat", 3, "--set", "lr=0.5", "--epochs", 60, "--threads", 1),
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


# ------------------------------------------------------------------------------------- data


def test_data_make_tca(call, place, fails):
    from shiftlearn.data.tca_read import read_mat

    for name, more in (("a", ()), ("b", ("--seed", 1, "--templates", "a.mat"))):
        code, out, _ = call("data", "make", "tca", "--trials", 3, "--out", f"{name}.mat", *more)
        assert code == 0
        assert f"{name}.mat: 3 trials" in out
    a, b = read_mat("a.mat"), read_mat("b.mat")
    assert len(a) == len(b) == 3
    assert a.templates.times.tolist() == b.templates.times.tolist()
    assert a.times.tolist() != b.times.tolist()
    fails("--out must end in .mat", "data", "make", "tca", "--out", "a.txt")
    fails("does not exist", "data", "make", "tca", "--out", "no/a.mat")
    fails("no.mat", "data", "make", "tca", "--out", "c.mat", "--templates", "no.mat")
    fails("trials must be an integer of 1 or more, got 0", "data", "make", "tca", "--out", "c.mat", "--trials", 0)


def test_data(call, place, monkeypatch):
    monkeypatch.setenv("SHIFTLEARN_DATA", str(Path(__file__).parents[1] / "datasets"))
    code, out, err = call("data")
    assert (code, err) == (0, "")
    assert "mnist" in out
    code, out, err = call("data", "show", "mnist", "--out", "grid.png", "--count", 4, "--split", "test")
    assert (code, err) == (0, "")
    assert "grid.png: 4 samples of mnist (test)" in out
    assert (place / "grid.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("mnist",), "--out"),
        (("mnits", "--out", "a.png"), "Did you mean 'mnist'"),
        (("mnist", "--out", "a.jpg"), "must end in .png"),
        (("mnist", "--out", "no/a.png"), "does not exist"),
        (("mnist", "--out", "a.png", "--count", "0"), "count"),
        (("mnist", "--out", "a.png", "--split", "all"), "split"),
        (("iris", "--out", "a.png"), "unknown dataset 'iris'"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else "",
)
def test_mistakes_with_pictures(fails, arguments, part):
    fails(part, "data", "show", *arguments)


# ------------------------------------------------------------------------------------- mistakes

MISTAKES = [
    (("train", "no.csv"), "no.csv: no such file"),
    (("train", "trees"), "unknown recipe 'trees'"),
    (("train", "trees.csv", "--target", "kin"), "unknown target column 'kin'. Did you mean 'kind'"),
    (("train", "trees.csv", "--target", "9"), "unknown target column '9'"),
    (("train", "trees.csv", "--target", "length"), "regression"),
    (("train", "iris", "--target", "kind"), "--target names a column of a CSV file, but iris is a recipe"),
    (("train", "single.csv"), "all rows are of one class, 'elm'"),
    (("train", "single.csv", "--folds", "2"), "all rows are of one class, 'elm'"),
    (("train", "rare.csv"), "cannot be split"),
    (("train", "rare.csv", "--folds", "2"), "class 'yew' of"),
    (("train", "flat.csv"), "nothing to learn from"),
    (("train", "flat.csv", "--folds", "2"), "nothing to learn from"),
    (("train", "empty.csv"), "is empty"),
    (("train", "uneven.csv"), "line 3: expected 4 cells"),
    (("train", "trees.csv", "--folds", "21"), "class 'elm' of"),
    (("train", "trees.csv", "--folds", "1"), "--folds must be 2 or more, got 1"),
    (("train", "trees.csv", "--repeats", "2"), "--repeats needs --folds"),
    (("train", "trees.csv", "--repeat", "2"), "--repeat is for xor"),
    (("train", "trees.csv", "--folds", "many"), "--folds"),
    (("train", "trees.csv", "--set", "layers=[3, 6, 2]"), "layers must begin with 8 and end with 2"),
    (("train", "trees.csv", "--set", "validation=32"), "validation must be less than the 32 training samples"),
    (("train", "trees.csv", "--set", "test_share=1"), "test_share must be between 0 and 1"),
    (("train", "trees.csv", "--folds", "2", "--device", "cuda"), "--folds and --repeat run on the CPU"),
    (("train", "mnist", "--repeat", "3"), "--repeat is for xor, got mnist"),
    (("train", "mnist", "--folds", "3"), "--folds is for tables, got mnist"),
    (("train", "xor", "--folds", "3"), "--folds is for tables, got xor"),
    (("train", "xor", "--repeat", "0"), "--repeat must be from 1 to 10000, got 0"),
    (("train", "xor", "--repeat", "2", "--set", "batch=3"), "batch must be 4 or more"),
    (("train", "xor", "--repeat", "2", "--folds", "3"), "--repeat (of XOR) and --folds (of a table) exclude"),
    (("train", "xor", "--repeat", "2", "--device", "cuda"), "--folds and --repeat run on the CPU"),
    (("train", "--resume", "nowhere", "--folds", "3"), "leave out"),
    (("train", "--resume", "nowhere", "--repeat", "3"), "leave out"),
]


@pytest.mark.parametrize(("arguments", "part"), MISTAKES, ids=lambda x: " ".join(x) if isinstance(x, tuple) else "")
def test_a_mistake_gets_one_line_and_leaves_nothing(place, fails, arguments, part):
    write(place / "single.csv", [[*row[:3], "elm"] for row in cells()])
    write(place / "rare.csv", [*cells(), ["1", "red", "1", "yew"]])
    write(place / "flat.csv", [["1", "red", "2", row[3]] for row in cells()])
    write(place / "uneven.csv", [cells()[0], cells()[1][:2]])
    (place / "empty.csv").write_text("")
    fails(part, *arguments)


def test_no_repeats(fails):
    fails("--repeats must be 1 or more, got 0", "train", "trees.csv", *FAST, "--folds", 2, "--repeats", 0)


def test_a_fold_with_nothing_to_learn_from(place, fails):
    write(place / "nearly.csv", [["1" if k == 5 else "0", row[3]] for k, row in enumerate(cells())], ["x", "kind"])
    fails("nothing to learn from", "train", "nearly.csv", "--folds", 2, "--no-compare")


@pytest.mark.parametrize("folds", [(), ("--folds", "2", "--no-compare")], ids=["one", "folds"])
def test_rows_that_do_not_fit(call, place, fails, folds):
    assert call("train", "trees.csv", *FAST, *folds, "--out", "run")[0] == 0
    write(place / "narrow.csv", [row[:2] for row in cells()], NAMES[:2])
    fails("narrow.csv: a column is missing: unknown column 'width'", "predict", "run", "narrow.csv")
    write(place / "bare.csv", [row[:2] for row in cells()], None)
    fails("bare.csv: has 2 columns, expected 3 (length, colour, width)", "predict", "run", "bare.csv")
    write(place / "text.csv", [*cells()[:3], ["long", "red", "1", "elm"]])
    fails("text.csv: line 5, column 'length': 'long' given, expected a number", "predict", "run", "text.csv")
    write(place / "inf.csv", [["inf", "red", "1", "elm"]])
    fails("expected a finite number", "predict", "run", "inf.csv")
    fails("no.csv: no such file", "predict", "run", "no.csv")
    write(place / "head.csv", [])
    fails("no rows below it", "predict", "run", "head.csv")


# ------------------------------------------------------------------------------------- a file that changes


def changed(place, kind):
    rows = cells()
    if kind == "column":
        write(place / "trees.csv", [[*row[:3], "x", row[3]] for row in rows], [*NAMES[:3], "new", "kind"])
    elif kind == "class":
        write(place / "trees.csv", [*rows, *[["0.5", "red", "0", "yew"]] * 4])
    elif kind == "values":
        write(place / "trees.csv", [[f"{3 * float(row[0])}", *row[1:]] for row in rows])
    elif kind == "order":
        write(place / "trees.csv", rows[::-1])
    else:
        (place / "trees.csv").unlink()


@pytest.mark.parametrize(
    "kind",
    [
        "column",
        "values",
        "gone",
        "class",
    ],
)
def test_a_file_that_changed_is_not_resumed(call, place, fails, kind):
    assert call("train", "trees.csv", *FAST, "--out", "run")[0] == 0
    (place / "run/metrics.json").unlink()
    changed(place, kind)
    part = "no such file" if kind == "gone" else "has changed since this run began"
    fails(part, "train", "--resume", "run")


@pytest.mark.parametrize("kind", ["column", "class", "values", "order"])
def test_a_file_that_changed_is_not_cross_validated(call, place, fails, kind):
    assert call("train", "trees.csv", *FAST, "--folds", 2, "--no-compare", "--out", "run")[0] == 0
    (place / "run/metrics.json").unlink()
    changed(place, kind)
    fails("has changed since this run began", "train", "--resume", "run", "--no-compare")


def test_a_file_with_other_labels_is_not_resumed(call, place, fails):
    rows = [[k % 4, k % 3, "ab"[k % 2]] for k in range(48)]
    write(place / "plain.csv", rows, ["x", "y", "kind"])
    assert call("train", "plain.csv", *FAST, "--out", "run")[0] == 0
    (place / "run/metrics.json").unlink()
    write(place / "plain.csv", [[*row[:2], "ab"[k % 5 < 2]] for k, row in enumerate(rows)], ["x", "y", "kind"])
    fails("has changed since this run began", "train", "--resume", "run")


@pytest.mark.parametrize(
    ("kind", "part"), [("column", "has changed"), ("class", "has changed"), ("gone", "no such file")]
)
def test_a_file_that_changed_is_not_evaluated(call, place, fails, kind, part):
    assert call("train", "trees.csv", *FAST, "--out", "run")[0] == 0
    changed(place, kind)
    fails(part, "evaluate", "run")


def test_renamed_and_swapped_columns_are_not_evaluated(call, place, fails):
    rows = [[row[0], row[0][::-1].replace(".", "").replace("-", ""), row[3]] for row in cells()]
    write(place / "trees.csv", rows, ["a", "b", "kind"])
    assert call("train", "trees.csv", *FAST, "--out", "run")[0] == 0
    write(place / "trees.csv", [[b, a, kind] for a, b, kind in rows], ["b", "a", "kind"])
    code, _, err = call("evaluate", "run")
    assert (code, len(err.splitlines())) == (2, 1)
