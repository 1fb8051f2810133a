"""Paths mean what was typed: relative ones where they were typed, ``~`` home, and a run works from anywhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from trees import FAST, metrics

from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.models.model import load
from shiftlearn.models.stored import read_config
from shiftlearn.runs.results import METRICS

pytestmark = pytest.mark.usefixtures("one_thread", "place")
SPIKES = ("--set", "layers=[0, 4, 0]", "--set", "batch=5", "--threads", "1", "--epochs", "1")


@pytest.fixture
def elsewhere(place, monkeypatch):
    """Change to another folder."""

    def go():
        (place / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(place / "elsewhere")

    return go


@pytest.fixture
def home(place, monkeypatch):
    folder = place / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def trains(path):
    target = np.arange(20) % 2
    np.savez(path, times=np.linspace(0.1, 0.9, 20), synapses=target, trial=np.arange(20), target=target)


def works_from_anywhere(call, elsewhere):
    elsewhere()
    code, out, err = call("evaluate", "../run")
    assert (code, err) == (0, "")
    assert "the same as the accuracy stored by the run" in out
    metrics_file = Path("../run") / METRICS
    metrics_file.unlink()
    assert call("train", "--resume", "../run")[0] == 0
    assert metrics_file.exists()


def test_a_dataset_that_was_set(call, place, elsewhere):
    trains(place / "a.npz")
    trains(place / "b.npz")
    files = ("--set", "dataset=a.npz", "--set", "test_file=b.npz")
    assert call("train", "tca-published", *files, *SPIKES, "--out", "run")[0] == 0
    stored = read_config(place / "run").recipe
    assert (stored.dataset, stored.test_file) == (str(place / "a.npz"), str(place / "b.npz"))
    works_from_anywhere(call, elsewhere)


def test_a_dataset_of_the_package(call, place, elsewhere):
    """The recipe "table" names your.csv, wherever one stands."""
    shutil.copy("trees.csv", "your.csv")
    assert call("train", "table", *FAST, "--out", "run")[0] == 0
    grid = ("compare", "table", "--rules", "exact", "--feedback", "none", "--seeds", 1, "--jobs", 1, "--epochs", 1)
    for _ in range(2):
        assert call(*grid, "--quiet") == (0, "", "")
    works_from_anywhere(call, elsewhere)


def test_a_dataset_of_a_recipe_file(call, place, elsewhere):
    (place / "sub").mkdir()
    shutil.move("trees.csv", "sub")
    text = "".join(
        f"{key} = {json.dumps(value)}\n" for key, value in recipes.read("table").as_dict().items() if key != "dataset"
    )
    (place / "sub/own.toml").write_text(text + 'dataset = "trees.csv"\n')
    assert call("train", "sub/own.toml", *FAST, "--out", "run")[0] == 0
    works_from_anywhere(call, elsewhere)


def test_the_name_of_a_dataset_wins_over_a_file(call, place):
    shutil.copy("trees.csv", "iris")
    for dataset, samples in (("iris", 30), ("./iris", 8)):
        out = f"run{samples}"
        assert call("train", "table", "--set", f"dataset={dataset}", *FAST, "--out", out)[0] == 0
        assert metrics(place / out)["test_samples"] == samples


def test_a_relative_path_of_an_older_run(call, place, elsewhere):
    assert call("train", "trees.csv", *FAST, "--out", "run")[0] == 0
    path = place / "run/config.json"
    path.write_text(path.read_text().replace(str(place / "trees.csv"), "trees.csv"))
    assert call("evaluate", "run")[0] == 0
    elsewhere()
    code, _, err = call("evaluate", "../run")
    assert code == 2
    assert "trees.csv: no such file in" in err
    assert "in the folder where it was started" in err


def test_an_older_sweep_goes_on(call, place):
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in recipes.read("table").as_dict().items())
    (place / "own.toml").write_text(text.replace("your.csv", "trees.csv"))
    grid = ("--rules", "exact", "--feedback", "none", "--seeds", 1, "--jobs", 1, "--quiet", "--out", "grid")
    command = ("compare", "own.toml", "--set", "layers=[0, 4, 0]", "--epochs", 1, *grid)
    assert call(*command)[0] == 0
    (path,) = place.glob("grid/*/config.json")
    stored = json.loads(path.read_text())
    stored["recipe"] |= {"dataset": "trees.csv", "description": "A table: symmetric feedback"}
    path.write_text(json.dumps(stored))
    assert call(*command) == (0, "", "")
    assert call(*command, "--set", "beta=3")[0] == 2


def test_home(call, place, home):
    shutil.move("trees.csv", home)
    assert call("train", "~/trees.csv", *FAST, "--out=~/run")[0] == 0
    (home / "run/metrics.json").unlink()
    assert call("train", "--resume=~/run")[0] == 0
    assert call("evaluate", "~/run")[0] == 0
    assert call("predict", "~/run", "~/trees.csv")[0] == 0
    assert call("inspect", "~/run", "--out=~/layers.csv")[0] == 0
    assert call("robustness", "~/run", "--kinds", "bits", "--out=~/bits.csv")[0] == 0
    assert "run" in call("runs", "~")[1]
    assert call("data", "make", "tca", "--trials", 2, "--out=~/t.mat")[0] == 0
    assert call("data", "make", "tca", "--trials", 2, "--templates=~/t.mat", "--out=~/u.mat")[0] == 0
    assert {path.name for path in home.iterdir()} == {"trees.csv", "run", "layers.csv", "bits.csv", "t.mat", "u.mat"}
    assert not (place / "~").exists()


def test_home_of_pictures_and_data(call, place, home, monkeypatch):
    pytest.importorskip("matplotlib")
    assert call("train", "trees.csv", *FAST, "--out", "run")[0] == 0
    assert call("plot", "run", "raster", "--input=trees.csv", "--out=~/raster.png")[0] == 0
    assert (home / "raster.png").exists()
    (home / "data/mnist").mkdir(parents=True)
    (home / "data/mnist/train-images-idx3-ubyte").touch()
    assert str(home / "data/mnist") in call("data", "--data-dir=~/data")[1]
    monkeypatch.setenv("SHIFTLEARN_DATA", "~/data")
    assert str(home / "data/mnist") in call("data")[1]


def test_a_name_is_looked_for_in_runs(call, place, fails):
    assert call("train", "trees.csv", *FAST)[0] == 0
    for arguments in (
        ("evaluate", "trees-seed0"),
        ("predict", "trees-seed0", "trees.csv"),
        ("inspect", "trees-seed0"),
        ("train", "--resume", "trees-seed0"),
    ):
        assert call(*arguments)[0] == 0, arguments
    assert json.loads(call("evaluate", "trees-seed0", "--json")[1])["run"] == "runs/trees-seed0"
    fails("no run folder 'tree-seed0'. Did you mean 'runs/trees-seed0'?", "evaluate", "tree-seed0")
    fails("no run folder 'trees-seed0'", "evaluate", "./trees-seed0")
    fails("no run folder '../trees-seed0'", "evaluate", "../trees-seed0")
    with pytest.raises(InputError, match="Did you mean 'runs/trees-seed0'"):
        load("trees-seed0")
    (place / "trees-seed0").mkdir()  # what is here comes first
    fails("'trees-seed0' is not a run folder", "evaluate", "trees-seed0")


def test_what_is_announced_is_what_runs(call, place):
    code, out, _ = call("train", "iris", *FAST, "--set", "feedback=random", "--out", "run")
    header = out.partition("run folder")[0]
    assert code == 0
    assert "fixed random feedback (no weight transport)" in header
    assert "symmetric" not in header
    assert "12 epochs" in header
    path = place / "run/config.json"
    stored = json.loads(path.read_text())
    stored["recipe"]["description"] = "Iris, 4-10-3: normalized rule, symmetric feedback"  # as older runs have it
    path.write_text(json.dumps(stored))
    _, out, _ = call("train", "--resume", "run")
    assert out.startswith("iris: 8-6-3, normalized rule, fixed random feedback")
    assert "symmetric" not in out
