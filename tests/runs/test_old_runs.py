"""Run folders of earlier versions can be read, used and finished."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import shiftlearn as sl
from shiftlearn.data.tables.table import read_rows
from shiftlearn.errors import InputError
from shiftlearn.models.evaluation import evaluate, task_of
from shiftlearn.models.stored import read_config
from shiftlearn.runs.results import read_metrics
from shiftlearn.training import callbacks
from shiftlearn.training.run import resume

OLD = Path(__file__).parent / "old_runs"


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the old run folders, in the folder where they were started."""
    shutil.copytree(OLD, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["table", "trials"])
def test_evaluates_as_stored(old, name):
    evaluates_as_stored(old, name)


def test_images_evaluate_as_stored(mnist_files, old, monkeypatch):
    monkeypatch.setenv("SHIFTLEARN_DATA", str(mnist_files.parent))
    evaluates_as_stored(old, "image")


def evaluates_as_stored(old, name):
    stored = json.loads((old / name / "metrics.json").read_text())
    model = sl.load(old / name)
    found = evaluate(model, task_of(model, None, ["test"]))
    assert found.accuracy == stored["test_accuracy"]
    assert len(found.labels) == stored["test_samples"]
    if name == "trials":
        assert found.mean_absolute_error == pytest.approx(stored["mean_absolute_error"])


def test_table_predicts_as_stored(old):
    model = sl.load(old / "table")
    task = task_of(model, None, ["test"])
    with open("table/test_predictions.csv", encoding="utf-8", newline="") as file:
        stored = list(csv.DictReader(file))
    test = task.take(task.test)
    assert task.labels[task.test].tolist() == [int(row["label"]) for row in stored]
    assert model.predict(test).tolist() == [int(row["predicted"]) for row in stored]
    times = [[float(row[f"z_{k}"]) for k in range(3)] for row in stored]
    np.testing.assert_allclose(model.z_out(test), times, rtol=1e-5)


def test_new_rows_are_read_as_in_training(old):
    model = sl.load(old / "table")
    (old / "new.csv").write_text("length;width;colour\n6,5;2,5;red\n?;2,5;green\n")
    length, width, colour = read_rows("new.csv", model.features.names, model.features.numeric)
    assert length[0] == 6.5
    assert np.isnan(length[1])
    assert width.tolist() == [2.5, 2.5]
    assert colour.tolist() == ["red", "green"]
    assert model.predict((length, width, colour)).shape == (2,)


@pytest.mark.parametrize("name", ["folds", "ensemble"])
def test_many_networks_are_shown_as_stored(old, call, name):
    code, printed, _ = call("evaluate", name, "--json")
    stored = json.loads((old / name / "metrics.json").read_text())
    assert code == 0
    assert json.loads(printed).items() >= stored.items()


def test_runs_are_listed(old, call):
    code, printed, _ = call("runs", ".", "--json")
    assert code == 0
    assert {Path(run["run"]).name for run in json.loads(printed)} == {
        "table", "unfinished", "image", "trials", "folds", "ensemble"
    }  # fmt: skip


def test_unfinished_run_is_finished(old):
    metrics = resume(old / "unfinished", callbacks.Silent())
    assert metrics["test_accuracy"] == json.loads((old / "table" / "metrics.json").read_text())["test_accuracy"]
    weights = (sl.load(old / name).network.state_dict() for name in ("unfinished", "table"))
    for a, b in zip(*(w.values() for w in weights), strict=True):
        assert a.allclose(b, rtol=1e-5)
    assert read_metrics(old / "unfinished") == metrics


def test_features_without_columns_are_damage(old):
    path = old / "table" / "config.json"
    config = json.loads(path.read_text())
    config["features"]["columns"] = []
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="damaged"):
        read_config(old / "table")
