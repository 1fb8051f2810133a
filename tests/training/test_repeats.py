"""XOR learned again and again: what is counted, and what it follows from."""

from __future__ import annotations

import csv
import json
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from shiftlearn import recipes
from shiftlearn.data import tasks
from shiftlearn.errors import InputError
from shiftlearn.nn import first_to_fire
from shiftlearn.training import repeats
from shiftlearn.training.ensemble import Ensemble
from shiftlearn.training.repeats import histogram, repeat

TIMINGS = {"train_seconds"}


pytestmark = pytest.mark.usefixtures("one_thread")


class Watch:
    """A reporter that keeps what it hears."""

    def __init__(self):
        self.heard = []

    def batch(self, epoch, share, loss, accuracy, samples_per_second):
        self.heard.append((epoch, accuracy))

    def epoch(self, record):
        raise AssertionError("an ensemble has no line of metrics per epoch")


def xor(name="xor", **settings):
    return recipes.override(recipes.read(name), settings)


def unprojected(**settings):
    """Delays move fast, so that some members are frozen before and others after they have solved the task."""
    base = {"epochs": 60, "delay_lr": 0.05, "delay_lr_final": 0.05, "project_delays": False}
    return xor(**(base | settings))


def rows(folder):
    with open(folder / "repeats.csv", encoding="utf-8", newline="") as file:
        return [{k: int(v) if v else None for k, v in row.items()} for row in csv.DictReader(file)]


def without_times(metrics):
    return {k: v for k, v in metrics.items() if k not in TIMINGS}


def by_hand(recipe, seed, count):
    """Rows of repeats.csv from an ensemble that is asked before every epoch."""
    task = tasks.read(recipe, seed, None, ["train"])
    recipe = tasks.fitted(recipe, task, None)
    z = repeats._Runs(recipe, range(1), task).z[0]
    labels = torch.from_numpy(task.labels)
    ensemble = Ensemble(recipe, range(seed, seed + count))
    loop = ensemble.loop(z.expand(count, *z.shape), labels, [torch.arange(4)] * count, 1)
    found = [{"seed": s, "epochs_to_solution": None, "frozen_in_epoch": None} for s in ensemble.seeds]
    for epoch in range(recipe.epochs + 1):
        for member, row in enumerate(found):
            frozen = bool(ensemble.learner.frozen[member])
            right = not frozen and bool((first_to_fire(ensemble.fire(member, z)) == labels).all())
            if right and row["epochs_to_solution"] is None:
                row["epochs_to_solution"] = epoch
            if frozen and row["frozen_in_epoch"] is None:
                row["frozen_in_epoch"] = epoch
            row["solved_at_the_end"] = int(right)
        if epoch < recipe.epochs:
            loop.epoch(epoch + 1)
    return found


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """Twenty runs with seeds from 3 on: recipe, folder, metrics, reporter."""
    recipe, folder, watch = xor(epochs=60), tmp_path_factory.mktemp("xor") / "run", Watch()
    return recipe, folder, repeat(recipe, folder, 3, 20, watch), watch


@pytest.fixture(scope="module")
def freezing(tmp_path_factory):
    """Runs of which some are frozen: recipe, folder, metrics."""
    recipe, folder = unprojected(), tmp_path_factory.mktemp("freezing") / "run"
    return recipe, folder, repeat(recipe, folder, 0, 16, Watch())


@pytest.mark.parametrize("which", ["twenty", "freezing"])
def test_each_run_is_what_its_answers_say(which, request):
    recipe, folder, metrics, *_ = request.getfixturevalue(which)
    assert rows(folder) == by_hand(recipe, metrics["seed"], metrics["repeats"])


@pytest.mark.parametrize("which", ["twenty", "freezing"])
def test_the_summary_counts_the_rows(which, request):
    recipe, folder, metrics, *_ = request.getfixturevalue(which)
    found = rows(folder)
    solved = [row["epochs_to_solution"] for row in found if row["epochs_to_solution"] is not None]
    frozen = [row for row in found if row["frozen_in_epoch"] is not None]
    assert [row["seed"] for row in found] == list(range(metrics["seed"], metrics["seed"] + metrics["repeats"]))
    assert 0 < len(solved) < len(found)
    assert metrics["solved"] == len(solved)
    assert metrics["success_rate"] == len(solved) / len(found)
    assert metrics["median_epochs_to_solution"] == statistics.median(solved)
    assert metrics["solved_at_the_end"] == sum(row["solved_at_the_end"] for row in found)
    assert metrics["frozen"] == len(frozen)
    assert metrics["frozen_unsolved"] == sum(row["epochs_to_solution"] is None for row in frozen)
    assert all(0 <= epoch <= recipe.epochs for epoch in solved)
    assert all(1 <= row["frozen_in_epoch"] <= recipe.epochs for row in frozen)
    assert not any(row["solved_at_the_end"] for row in frozen)
    assert sum(count for _, _, count in metrics["histogram"]) == len(solved)
    for first, after, count in metrics["histogram"]:
        assert count == sum(first <= epoch < after for epoch in solved)


def test_some_are_frozen_before_and_some_after(freezing):
    metrics = freezing[2]
    assert 0 < metrics["frozen_unsolved"] < metrics["frozen"]


def test_the_files(twenty):
    _, folder, metrics, watch = twenty
    assert {path.name for path in folder.iterdir()} == {"config.json", "metrics.json", "repeats.csv"}
    stored = json.loads((folder / "metrics.json").read_text())
    assert stored == json.loads(json.dumps(metrics))
    config = json.loads((folder / "config.json").read_text())
    assert (config["seed"], config["repeats"], config["recipe"]["layers"]) == (3, 20, [4, 8, 2])
    assert [epoch for epoch, _ in watch.heard] == [20, 40, 60]
    assert all(0 <= share <= 1 for _, share in watch.heard)
    head = (folder / "repeats.csv").read_text().splitlines()[0]
    assert head == "seed,epochs_to_solution,frozen_in_epoch,solved_at_the_end"


def test_the_interval_is_wilsons(twenty):
    metrics = twenty[2]
    n, p, z = 20, metrics["success_rate"], norm.ppf(0.975)
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    expected = [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]
    assert metrics["success_interval_95"] == pytest.approx(expected)
    assert 0 <= metrics["success_interval_95"][0] < p < metrics["success_interval_95"][1] <= 1


def test_the_seed_decides(twenty, tmp_path):
    recipe, folder, metrics, _ = twenty
    torch.manual_seed(7)
    again = repeat(recipe, tmp_path / "again", 3, 20, Watch())
    assert without_times(again) == without_times(metrics)
    for name in ("repeats.csv", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_run_is_that_of_its_seed_alone(twenty, freezing, tmp_path):
    for recipe, folder, metrics, *_ in (twenty, freezing):
        for k in (0, 5, 11):
            name = tmp_path / f"{recipe.project_delays}{k}"
            repeat(recipe, name, metrics["seed"] + k, 1, Watch())
            assert rows(name) == rows(folder)[k : k + 1]


def test_an_unfinished_run_is_done_again(twenty, tmp_path):
    recipe, folder, metrics, _ = twenty
    repeat(xor(epochs=1), tmp_path, 3, 20, Watch())
    (tmp_path / "metrics.json").unlink()
    assert without_times(repeat(recipe, tmp_path, 3, 20, Watch())) == without_times(metrics)
    assert (tmp_path / "repeats.csv").read_bytes() == (folder / "repeats.csv").read_bytes()


def test_nothing_solved(tmp_path):
    metrics = repeat(xor(epochs=1, lr=1e-9, lr_final=1e-9), tmp_path, 0, 2, Watch())
    assert (metrics["solved"], metrics["success_rate"], metrics["median_epochs_to_solution"]) == (0, 0.0, None)
    assert sum(count for _, _, count in metrics["histogram"]) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["median_epochs_to_solution"] is None


def test_more_runs_than_samples_in_the_published_recipe(tmp_path):
    metrics = repeat(xor("xor-published", epochs=5), tmp_path, 0, 3, Watch())
    assert (metrics["rule"], metrics["loss"], metrics["repeats"]) == ("shifting", "published", 3)


def test_solved_by_the_weights_before_the_step_that_freezes():
    recipe = xor(epochs=60)
    task = tasks.read(recipe, 0, None, ["train"])
    recipe = tasks.fitted(recipe, task, None)
    solved = repeats._Runs(recipe, range(1, 2), task)
    for epoch in range(1, 61):
        solved.epoch(epoch)
    solved.look(60)
    assert solved.right.all()
    fatal = recipes.override(recipe, {"project_delays": False, "delay_lr": 50.0, "delay_lr_final": 50.0})
    runs = repeats._Runs(fatal, range(1, 2), task)
    runs.ensemble.network.load_state_dict(solved.ensemble.network.state_dict())
    runs.epoch(1)
    assert runs.ensemble.learner.frozen.all()
    assert runs.frozen.tolist() == [1]
    runs.look(1)
    assert not runs.right.any()  # it ends unsolved
    assert runs.first.tolist() == [0]  # but what it had solved until then counts


@given(st.lists(st.integers(0, 2000), max_size=60), st.integers(1, 2000))
def test_the_histogram_covers_every_solved_run_once(epochs, last):
    found = histogram(epochs, last)
    assert 1 <= len(found) <= 13
    assert found[0][0] == 0
    assert all(first < after for first, after, _ in found)
    assert [after for _, after, _ in found[:-1]] == [first for first, _, _ in found[1:]]
    assert len({after - first for first, after, _ in found}) == 1
    assert all(count == sum(first <= epoch < after for epoch in epochs) for first, after, count in found)
    assert sum(count for *_, count in found) == len(epochs)
    if epochs:
        assert found[-1][2] > 0  # no empty ranges behind the last


@pytest.mark.parametrize(
    ("recipe", "count", "message"),
    [
        (recipes.read("iris"), 3, "--networks is for xor, got iris"),
        (recipes.read("mnist"), 3, "--networks is for xor, got mnist"),
        (xor(), 0, "--networks must be from 1 to 10000, got 0"),
        (xor(), -1, "got -1"),
        (xor(), 10_001, "got 10001"),
        (xor(batch=3), 2, "batch must be 4 or more.*got 3"),
        (xor(layers=[3, 8, 2]), 2, "layers must begin with 4 and end with 2 for xor"),
    ],
    ids=lambda x: str(x) if isinstance(x, int | str) else "",
)
def test_refusals_leave_nothing(tmp_path, recipe, count, message):
    with pytest.raises(InputError, match=message):
        repeat(recipe, tmp_path / "run", 0, count, Watch())
    assert list(tmp_path.iterdir()) == []


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(InputError, match="seed must be 0 or more"):
        repeat(xor(), tmp_path / "run", -1, 2, Watch())
    assert not (tmp_path / "run").exists()


def test_what_is_returned_is_what_is_stored(twenty):
    assert json.loads((twenty[1] / "metrics.json").read_text()) == twenty[2]
