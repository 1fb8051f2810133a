"""Tables by the command line: mistakes, and files that change."""

from __future__ import annotations

import pytest
from trees import FAST, NAMES, cells, write

pytestmark = pytest.mark.usefixtures("one_thread", "place")


MISTAKES = [
    (("train", "no.csv"), "no.csv: no such file"),
    (("train", "trees"), "unknown recipe 'trees'"),
    (("train", "trees.csv", "--target", "kin"), "unknown target column 'kin'. Did you mean 'kind'"),
    (("train", "trees.csv", "--target", "9"), "unknown target column '9'"),
    (("train", "trees.csv", "--target", "length"), "regression"),
    (("train", "iris", "--target", "kind"), "--target names a column of a CSV file, but iris is a recipe"),
    (("train", "iris", "--no-header"), "--header says how to read a CSV file, but iris is a recipe"),
    (("train", "mnist", "--drop", "a"), "--drop says how to read a CSV file, but mnist is a recipe"),
    (("train", "trees.csv", "--drop", "colours"), "unknown column to drop 'colours'. Did you mean 'colour'"),
    (("train", "trees.csv", "--separator", "tabs"), "separator: 'tabs' given, expected one character such as"),
    (("train", "trees.csv", "--separator", ";"), "has only one column"),
    (("train", "trees.csv", "--encoding", "utf8000"), "encoding: 'utf8000' given"),
    (("train", "trees.csv", "--decimal", ";"), "decimal must be one of auto, ., ,, got ';'"),
    (("train", "trees.csv", "--no-header", "--target", "kind"), "unknown target column 'kind'"),
    (("train", "trees.csv", "--set", "drop=colour"), 'drop must be a list like ["name", "date"], got'),
    (("train", "gaps.csv"), "'NA' given: it reads as a missing value"),
    (("train", "--resume", "nowhere", "--drop", "a"), "leave out"),
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
    (("train", "trees.csv", "--networks", "2"), "--networks is for xor"),
    (("train", "trees.csv", "--folds", "many"), "--folds"),
    (("train", "trees.csv", "--set", "layers=[3, 6, 2]"), "layers must begin with 8 and end with 2"),
    (("train", "trees.csv", "--set", "validation=32"), "validation must be less than the 32 training samples"),
    (("train", "trees.csv", "--set", "test_share=1"), "test_share must be between 0 and 1"),
    (("train", "trees.csv", "--folds", "2", "--device", "cuda"), "--folds and --networks run on the CPU"),
    (("train", "mnist", "--networks", "3"), "--networks is for xor, got mnist"),
    (("train", "mnist", "--folds", "3"), "--folds is for tables, got mnist"),
    (("train", "xor", "--folds", "3"), "--folds is for tables, got xor"),
    (("train", "xor", "--networks", "0"), "--networks must be from 1 to 10000, got 0"),
    (("train", "xor", "--networks", "2", "--set", "batch=3"), "batch must be 4 or more"),
    (("train", "xor", "--networks", "2", "--folds", "3"), "--networks (of XOR) and --folds (of a table) exclude"),
    (("train", "xor", "--networks", "2", "--device", "cuda"), "--folds and --networks run on the CPU"),
    (("train", "--resume", "nowhere", "--folds", "3"), "leave out"),
    (("train", "--resume", "nowhere", "--networks", "3"), "leave out"),
]


@pytest.mark.parametrize(("arguments", "part"), MISTAKES, ids=lambda x: " ".join(x) if isinstance(x, tuple) else "")
def test_a_mistake_gets_one_line_and_leaves_nothing(place, fails, arguments, part):
    write(place / "single.csv", [[*row[:3], "elm"] for row in cells()])
    write(place / "rare.csv", [*cells(), ["1", "red", "1", "yew"]])
    write(place / "flat.csv", [["1", "red", "2", row[3]] for row in cells()])
    write(place / "uneven.csv", [cells()[0], cells()[1][:2]])
    (place / "empty.csv").write_text("")
    write(place / "gaps.csv", [*cells(), ["1", "red", "1", "NA"]])
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
