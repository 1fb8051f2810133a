"""Runs that are started while others live: each has a folder of its own, or is refused by name."""

from __future__ import annotations

import os

import pytest
from trees import FAST, results

from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.experiments import comparison, sweep
from shiftlearn.runs.folder import hold
from shiftlearn.training import callbacks, run
from shiftlearn.training.cross_validation import cross_validate
from shiftlearn.training.repeats import repeat

pytestmark = pytest.mark.usefixtures("one_thread", "place")


def settings(name, **changed):
    return recipes.override(recipes.read(name), {"epochs": 2} | changed)


def test_a_live_folder_is_refused_by_name(call, place, fails):
    assert call("train", "trees.csv", *FAST, "--out", "run")[0] == 0
    (place / "run/metrics.json").unlink()
    refusal = f"'run' is in use by a running process (pid {os.getpid()} on "
    with hold(place / "run"), hold(place / "compare"):
        fails(refusal, "train", "--resume", "run")
        fails(refusal, "train", "trees.csv", "--out", "run")
        for command in (("compare", "iris"), ("reproduce", "mnist")):
            fails("'compare' is in use by a running process (pid ", *command, "--out", "compare")
        assert call("evaluate", "run")[0] == call("runs", ".")[0] == 0
    code, out, _ = call("train", "--resume", "run")
    assert (code, "\nrun folder: run\n" in out) == (0, True)
    with hold(place / "run"):  # nothing is written: it need not be locked
        assert "nothing is left to do" in call("train", "--resume", "run")[1]


def test_a_default_name_moves_on(call, place):
    with hold(place / "runs/trees-seed0"):
        code, out, _ = call("train", "trees.csv", *FAST)
    assert (code, "\nrun folder: runs/trees-seed0-2\n" in out) == (0, True)
    assert [path.name for path in (place / "runs").iterdir()] == ["trees-seed0-2"]
    assert call("train", "trees.csv", *FAST)[0] == 0
    assert results(place / "runs/trees-seed0") == results(place / "runs/trees-seed0-2")


@pytest.mark.parametrize("way", ["training", "resumed", "cross-validation", "repeats"])
def test_every_way_to_train_holds_its_folder(place, way):
    folder, refused = place / "run", []

    def ready(*_):
        for other in (
            lambda: run.start(settings("iris"), folder, 0, callbacks.Silent()),
            lambda: cross_validate(settings("iris"), folder, 0, 2, 1, callbacks.Silent()),
            lambda: repeat(settings("xor"), folder, 0, 2, callbacks.Silent()),
            lambda: run.resume(folder, callbacks.Silent()),
        ):
            with pytest.raises(InputError, match="run' is in use by a running process") as caught:
                other()
            refused.append(caught)

    if way == "training":
        run.start(settings("iris"), folder, 0, callbacks.Silent(), ready=ready)
    elif way == "resumed":
        run.start(settings("iris"), folder, 0, callbacks.Silent())
        (folder / "metrics.json").unlink()
        run.resume(folder, callbacks.Silent(), ready=ready)
    elif way == "cross-validation":
        cross_validate(settings("iris"), folder, 0, 2, 1, callbacks.Silent(), False, ready)
    else:
        repeat(settings("xor"), folder, 0, 2, callbacks.Silent(), ready)
    assert len(refused) == 4
    assert not list(folder.glob(".*"))


def test_a_sweep_holds_its_folder_and_its_cells(place):
    cells = comparison.grid(settings("iris", layers=[0, 4, 0]), ["exact"], ["sign"], ["error"], 2)
    found = []

    def done(cell, _):
        with pytest.raises(InputError, match="sweep' is in use by a running process"):
            sweep.run(cells, place / "sweep", 1, None, done)
        found.append(cell)

    with hold(place / "sweep" / cells[1].name), pytest.raises(InputError, match="seed1' is in use"):
        sweep.run(cells, place / "sweep", 1, None, done)
    assert found == cells[:1]
    sweep.run(cells, place / "sweep", 1, None, done)
    assert found == [cells[0], *cells]
    assert not list((place / "sweep").rglob(".*"))


@pytest.mark.parametrize("more", [("--log", "tensorboard"), ("--folds", 2), ("--out", "new/er")], ids=lambda x: x[0])
def test_a_run_that_fails_before_its_first_epoch_leaves_nothing(fails, more):
    fails("unknown target column 'kin'", "train", "trees.csv", "--target", "kin", *more)
