"""What a recipe trains on, how it is split, and the sizes that follow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from shiftlearn import data, recipes
from shiftlearn.data import tasks
from shiftlearn.data.tables.table import load_table
from shiftlearn.data.tasks import fitted, read
from shiftlearn.errors import InputError

BOTH = ("train", "test")


def recipe(name="table", **changed):
    return recipes.override(recipes.read(name), changed)


def table(path, counts, columns=2):
    """A CSV file without header; the first column numbers the rows, the last is the class."""
    names = [name for name, count in counts.items() for _ in range(count)]
    lines = [",".join([*(str(k + c) for c in range(columns)), name]) for k, name in enumerate(names)]
    path.write_text("\n".join(lines) + "\n")
    return recipe(dataset=str(path))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file for Hypothesis to write to again and again."""
    return tmp_path_factory.mktemp("tasks") / "table.csv"


COUNTS = st.lists(st.integers(2, 30), min_size=2, max_size=5).map(lambda n: {f"class{k}": x for k, x in enumerate(n)})


@given(counts=COUNTS, share=st.floats(0.05, 0.95), seed=st.integers(0, 2**40))
def test_a_split_is_complete_disjoint_and_stratified(path, counts, share, seed):
    r = recipes.override(table(path, counts), {"test_share": share})
    try:
        task = read(r, seed, None, BOTH)
    except InputError:
        assume(False)
    n = sum(counts.values())
    assert sorted([*task.train, *task.test]) == list(range(n))
    assert len(task.test) == int(np.ceil(share * n))
    for k, count in enumerate(counts.values()):
        assert abs((task.labels[task.test] == k).sum() - count * len(task.test) / n) <= 1
    again = read(r, seed, None, ["test"])
    assert again.train.tolist() == task.train.tolist()
    assert again.test.tolist() == task.test.tolist()


@given(counts=COUNTS, share=st.floats(0.05, 0.95))
@example(counts={"common": 30, "rare": 2}, share=0.2)
def test_every_class_is_in_both_parts_or_the_split_is_refused(path, counts, share):
    try:
        task = read(recipes.override(table(path, counts), {"test_share": share}), 0, None, BOTH)
    except InputError:
        return
    assert set(task.labels[task.test]) == set(task.labels[task.train]) == set(range(len(counts)))


def test_the_seed_alone_decides(tmp_path):
    r = table(tmp_path / "a.csv", {"x": 20, "y": 20})
    splits = {}
    for seed in (0, 1, 2):
        np.random.seed(seed + 5)  # noqa: NPY002
        splits[seed] = read(r, seed, None, BOTH).test.tolist()
        assert splits[seed] == read(r, seed, None, BOTH).test.tolist()
        assert splits[seed] == read(recipes.override(r, {"epochs": 7, "lr": 0.5}), seed, None, BOTH).test.tolist()
    assert splits[0] != splits[1] != splits[2]
    assert splits[0] != sorted(splits[0])  # the order is random, too


def test_without_parts_a_table_is_left_whole(tmp_path):
    task = read(table(tmp_path / "a.csv", {"x": 1, "y": 3}), 0, None, [])
    assert (len(task.train), len(task.test), len(task.labels)) == (0, 0, 4)


@pytest.mark.parametrize("counts", [{"x": 1, "y": 30}, {"x": 1, "y": 1}, {"x": 2, "y": 1, "z": 9}], ids=str)
def test_a_class_of_one_row_is_refused(tmp_path, counts):
    with pytest.raises(InputError, match=r"little cannot be split into training and test rows.*has 1 of"):
        read(table(tmp_path / "little.csv", counts), 0, None, BOTH)


def test_the_small_class_is_named(tmp_path):
    with pytest.raises(InputError, match="rare"):
        read(table(tmp_path / "little.csv", {"common": 30, "rare": 1}), 0, None, BOTH)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_no_room_is_refused(tmp_path, share):
    r = recipes.override(table(tmp_path / "little.csv", {"x": 6, "y": 6, "z": 6}), {"test_share": share})
    with pytest.raises(InputError, match=f"cannot be split.* test_share is {share}"):
        read(r, 0, None, BOTH)


def test_a_table_of_the_package():
    task, whole = read(recipe("iris"), 4, None, BOTH), load_table("iris")
    assert task.classes == ("setosa", "versicolor", "virginica")
    assert task.names == whole.names
    assert np.bincount(task.labels[task.test]).tolist() == [10, 10, 10]
    assert np.bincount(task.labels[task.train]).tolist() == [40, 40, 40]
    taken = task.take(task.test)
    assert isinstance(taken, tuple)
    for column, rows in zip(whole.columns, taken, strict=True):
        assert column[task.test].tolist() == rows.tolist()


def test_a_file_with_a_target(tmp_path):
    (tmp_path / "my.csv").write_text("kind,length,colour\n" + "a,1.5,red\nb,2.5,\na,?,blue\nb,4,red\n" * 3)
    task = read(recipe(dataset=str(tmp_path / "my.csv"), target="kind", test_share=0.25), 0, None, BOTH)
    assert (task.names, task.classes) == (("length", "colour"), ("a", "b"))
    assert task.labels.tolist() == [0, 1, 0, 1] * 3
    features = task.scale(recipe(), task.train)
    assert (features.names, features.numeric) == (("length", "colour"), (True, False))
    assert fitted(recipe(), task, features).layers == (2 * 3, 50, 2)


def test_scaling_is_fitted_to_the_rows_asked_for(tmp_path):
    task = read(table(tmp_path / "a.csv", {"x": 5, "y": 5}, columns=1), 0, None, [])
    features = task.scale(recipe(), np.array([2, 3, 6]))
    assert features.transform([np.array([2.0, 4.0, 6.0, -50.0, 50.0])]).ravel().tolist() == [0.0, 0.5, 1.0, 0.0, 1.0]


def test_xor():
    task = read(recipe("xor"), 9, None, BOTH)
    assert np.asarray(task.samples).round().astype(int).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert task.labels.tolist() == [0, 1, 1, 0]
    assert task.train.tolist() == task.test.tolist() == [0, 1, 2, 3]
    assert task.classes == ("0", "1")
    assert (task.names, task.scale(recipe("xor"), task.train)) == (None, None)
    assert np.array_equal(task.take(np.array([2])), np.asarray(task.samples)[2:3])


def test_images_of_the_parts_asked_for(monkeypatch):
    asked = []

    def load(name, part, data_dir):
        asked.append((name, part, data_dir))
        n = {"train": 6, "test": 3}[part]
        return np.full((n, 28, 28), n, np.uint8), np.arange(n, dtype=np.uint8)

    monkeypatch.setattr(data, "load", load)
    task = read(recipe("mnist"), 0, "somewhere", ["test"])
    assert asked == [("mnist", "test", "somewhere")]
    assert (task.train.tolist(), task.test.tolist(), task.labels.tolist()) == ([], [0, 1, 2], [0, 1, 2])
    task = read(recipe("mnist"), 0, None, BOTH)
    assert (task.train.tolist(), task.test.tolist()) == ([0, 1, 2, 3, 4, 5], [6, 7, 8])
    assert task.labels.dtype == np.int64
    assert (np.asarray(task.take(task.test)) == 3).all()
    assert (np.asarray(task.take(task.train)) == 6).all()
    assert (task.classes, task.names) == (tuple("0123456789"), None)


@pytest.mark.parametrize(
    ("coding", "factor"), [("latency", 1), ("binarised", 1), ("on-off", 2), ("population", 6), ("population", 4)]
)
def test_sizes_follow_from_the_coding(coding, factor):
    changed = {"coding": coding} | ({"coding_cells": factor} if coding == "population" else {})
    for name, inputs, classes in (("iris", 4, 3), ("xor", 2, 2), ("table", 13, 3)):
        r = recipe(name, layers=[0, 7, 0], **changed, **({"dataset": "wine"} if name == "table" else {}))
        task = read(r, 0, None, BOTH)
        features = task.scale(r, task.train)
        want = (inputs * factor, 7, classes)
        assert fitted(r, task, features).layers == want
        explicit = recipes.override(r, {"layers": list(want)})
        assert fitted(explicit, task, features) == explicit
        for layers in ([want[0] + 1, 7, 0], [0, 7, classes + 1], [want[0] - 1 or 9, 7, classes]):
            with pytest.raises(InputError, match=f"layers must begin with {want[0]} and end with {classes}"):
                fitted(recipes.override(r, {"layers": layers}), task, features)


def test_a_constant_column_has_no_input(tmp_path):
    (tmp_path / "a.csv").write_text("x,c,t,kind\n" + "".join(f"{k},5,{'uvw'[k % 3]},{'ab'[k % 2]}\n" for k in range(9)))
    r = recipe(dataset=str(tmp_path / "a.csv"))
    task = read(r, 0, None, [])
    assert fitted(r, task, task.scale(r, np.arange(9))).layers == (2 * (1 + 3), 50, 2)
    assert fitted(r, task, task.scale(r, np.array([0, 1, 3]))).layers == (2 * (1 + 2), 50, 2)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("mnits", "unknown dataset 'mnits'. Did you mean 'mnist'"),
        ("irsi", "Did you mean 'iris'"),
        ("no.csv", "no.csv: no such file"),
        ("", "unknown dataset ''|is a folder"),
        (".", "is a folder, expected a CSV file"),
    ],
)
def test_what_is_no_dataset(tmp_path, monkeypatch, dataset, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        read(recipe(dataset=dataset), 0, None, BOTH)


def test_an_unknown_target(tmp_path):
    r = recipes.override(table(tmp_path / "a.csv", {"x": 3, "y": 3}), {"target": "kind"})
    with pytest.raises(InputError, match="unknown target column 'kind'"):
        read(r, 0, None, BOTH)


def test_a_task_is_frozen():
    task = tasks.read(recipe("xor"), 0, None, [])
    with pytest.raises(AttributeError):
        task.labels = None
