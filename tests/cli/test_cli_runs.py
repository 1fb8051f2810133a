"""``shiftlearn runs``: run folders side by side."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from trees import FAST, metrics

from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.runs import listing

pytestmark = pytest.mark.usefixtures("one_thread", "place")


@pytest.fixture
def several(call, place, made_once):
    """Run folders of every kind, the latest last."""

    def make(folder):
        train(call)
        shutil.move("runs", folder / "runs")

    shutil.copytree(made_once("several", make) / "runs", "runs")
    for day, name in enumerate(("some/seed2", "some/seed10", "folds", "xor", "cut")):
        for path in (place / "runs" / name).iterdir():
            os.utime(path, (1.6e9 + 86400 * day,) * 2)
    return place / "runs"


def train(call):
    """In ``runs`` of the current folder, one of them cut off."""
    for seed in (2, 10):
        command = ("train", "iris", *FAST, "--seed", seed, "--out", f"runs/some/seed{seed}")
        assert call(*command, "--set", "validation=20")[0] == 0
    assert call("train", "trees.csv", *FAST, "--folds", 2, "--no-compare", "--out", "runs/folds")[0] == 0
    assert call("train", "xor", "--networks", 3, "--epochs", 20, "--threads", 1, "--out", "runs/xor")[0] == 0
    shutil.copytree("runs/some/seed2", "runs/cut")
    Path("runs/cut/metrics.json").unlink()
    log = Path("runs/cut/metrics.jsonl").read_text().splitlines()
    Path("runs/cut/metrics.jsonl").write_text("\n".join(log[:5]) + "\n")


def found(call, *arguments):
    code, out, err = call("runs", *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def order(call, *arguments):
    return [row["run"].removeprefix("runs/") for row in found(call, *arguments)]


def test_what_is_listed(call, several):
    rows = {row["run"]: row for row in found(call)}
    row, stored = rows["runs/some/seed10"], metrics(several / "some/seed10")
    last = json.loads((several / "some/seed10/metrics.jsonl").read_text().splitlines()[-1])
    assert (row["recipe"], row["seed"], row["kind"], row["finished"]) == ("iris", 10, "training", True)
    assert row["changed"] == {"epochs": 12, "layers": [8, 6, 3], "batch": 8, "validation": 20}
    assert (row["rule"], row["feedback"], row["modulator"]) == ("normalized", "symmetric", "error")
    assert (row["epochs_done"], row["epochs"]) == (12, 12)
    assert row["test_accuracy"] == stored["test_accuracy"]
    assert row["seconds"] == stored["train_seconds"]
    assert (row["train_accuracy"], row["validation_accuracy"]) == (last["train_accuracy"], last["validation_accuracy"])
    assert row["date"][:10] == "2020-09-14"
    cut = rows["runs/cut"]
    assert (cut["epochs_done"], cut["finished"], cut["test_accuracy"]) == (5, False, None)
    assert cut["seconds"] > 0
    assert rows["runs/folds"]["test_accuracy"] == metrics(several / "folds")["accuracy_mean"]
    assert rows["runs/xor"]["test_accuracy"] == metrics(several / "xor")["success_rate"]
    assert [rows[f"runs/{name}"]["kind"] for name in ("folds", "xor")] == ["cross-validation", "repeats"]


def test_order(call, several):
    assert order(call) == ["cut", "xor", "folds", "some/seed10", "some/seed2"]
    assert order(call, "--sort", "name") == ["cut", "folds", "some/seed2", "some/seed10", "xor"]
    by_accuracy = found(call, "--sort", "accuracy")
    figures = [row["test_accuracy"] for row in by_accuracy[:-1]]
    assert figures == sorted(figures, reverse=True)
    assert by_accuracy[-1]["run"] == "runs/cut"
    times = [row["seconds"] for row in found(call, "--sort", "time")]
    assert times == sorted(times)
    assert order(call, "runs/some") == ["some/seed10", "some/seed2"]
    assert order(call, "runs/xor") == ["xor"]


def test_the_table(call, several):
    code, out, err = call("runs")
    assert (code, err) == (0, "")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == order(call)
    assert [row[7] for row in rows] == ["5/12...", "20/20", "12/12", "12/12", "12/12"]
    assert rows[1][10].endswith(" solved")
    assert rows[2][10].endswith(" cv")
    changed = "layers=[8, 6, 3], epochs=12, batch=8, validation=20"
    assert rows[3][1:7] == ["iris", changed, "normalized", "symmetric", "error", "10"]


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal_gets_fewer_columns(call, several, monkeypatch, width):
    from rich.console import Console

    monkeypatch.setattr("shiftlearn.cli.runs.table_console", lambda: Console(width=width, force_terminal=False))
    code, out, _ = call("runs")
    *table, note = out.splitlines()
    assert code == 0
    assert max(map(len, table)) <= width
    assert note.startswith("no room for: ")
    assert ("rule" in table[1]) == (width == 80)
    assert "test" in table[1]


def test_broken_folders_are_named_and_passed_over(call, several):
    (several / "bad").mkdir()
    (several / "bad/config.json").write_text("{")
    (several / "some/seed2/weights.safetensors").unlink()
    (several / "folds/metrics.json").write_text("[]")
    code, out, err = call("runs")
    assert code == 0
    lines = [line for line in err.splitlines() if line.startswith("broken: ")]
    assert sorted(line.split()[1] for line in lines) == ["runs/bad:", "runs/folds:", "runs/some/seed2:"]
    assert "config.json is damaged" in err
    assert "some/seed10" in out
    rows = found(call)
    assert {row["run"] for row in rows if "error" in row} == {"runs/bad", "runs/folds", "runs/some/seed2"}
    assert len(rows) == 6


def test_mistakes(fails, place):
    fails("no folder 'runs'", "runs")
    fails("holds no run folders", "runs", ".")
    fails("unknown sort 'name,date'", "runs", ".", "--sort", "name,date")


def test_a_log_that_is_damaged(call, several):
    (several / "cut/metrics.jsonl").write_text('{"epoch": 1, "train_accuracy": "high", "seconds": 1}\n')
    with pytest.raises(InputError, match="train_accuracy must be a number, got 'high'"):
        listing.read(several / "cut")


def test_recipes_are_known_by_their_descriptions():
    described = [recipes.read(name).description for name in recipes.names()]
    assert len(set(described)) == len(described)


def test_a_run_with_another_description_is_known_by_its_settings(call, place):
    assert call("train", "iris", *FAST[-2:], "--epochs", 160, "--out", "run")[0] == 0
    path = place / "run/config.json"
    for change, expected in ({"description": "as it once was"}, "iris"), ({"beta": 3.0}, None):
        stored = json.loads(path.read_text())
        stored["recipe"] |= change
        path.write_text(json.dumps(stored))
        row = listing.read(place / "run")
        assert (row["recipe"], row["changed"]) == (expected, {})
