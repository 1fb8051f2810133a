"""Cross-validation: every row is answered by a network that has learned nothing of it."""

from __future__ import annotations

import csv
import itertools
import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import shiftlearn as sl
from shiftlearn import recipes
from shiftlearn.data.tables.features import Features
from shiftlearn.data.tables.table import load_table, read_csv
from shiftlearn.errors import InputError
from shiftlearn.models.stored import read_config
from shiftlearn.training import cross_validation
from shiftlearn.training.cross_validation import cross_validate
from shiftlearn.training.ensemble import Ensemble

pytestmark = pytest.mark.usefixtures("one_thread")


class Watch:
    """A reporter that keeps what it hears."""

    def __init__(self):
        self.heard = []

    def batch(self, epoch, share, loss, accuracy, samples_per_second):
        self.heard.append(epoch)

    def epoch(self, record):
        raise AssertionError("an ensemble has no line of metrics per epoch")


def recipe(**changed):
    base = {"layers": [0, 6, 0], "epochs": 12, "batch": 8, "lr": 3e-2}
    return recipes.override(recipes.read("table"), base | changed)


def table(path, rows=24, alter=lambda lines: None):
    """Three columns (numbers, text, numbers with gaps) and a class that the first tells; ``alter`` edits the rows."""
    rng = np.random.default_rng(3)
    lines = []
    for k in range(rows):
        label = k % 2
        gap = "" if k % 7 == 3 else f"{rng.normal():.3f}"
        lines.append(
            [f"{label + rng.normal(0, 0.2):.4f}", ["red", "blue"][rng.integers(2)], gap, ["elm", "oak"][label]]
        )
    alter(lines)
    path.write_text("\n".join(",".join(line) for line in [["size", "colour", "gap", "kind"], *lines]) + "\n")
    return str(path)


def predictions(folder):
    with open(folder / "test_predictions.csv", encoding="utf-8", newline="") as file:
        return [{k: float(v) if "_" in k else int(v) for k, v in row.items()} for row in csv.DictReader(file)]


def folds_of(folder):
    """{(repeat, fold): row numbers}, in the order of the file."""
    found = {}
    for row in predictions(folder):
        found.setdefault((row["repeat"], row["fold"]), []).append(row["row"])
    return found


def times(folder, fold=None):
    """{(repeat, fold, row): spike times}, of one fold of the first repeat or of all."""
    return {
        (row["repeat"], row["fold"], row["row"]): [row["z_0"], row["z_1"]]
        for row in predictions(folder)
        if fold in (None, row["fold"])
    }


def results(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics.pop("train_seconds")
    names = ("test_predictions.csv", "weights.safetensors", "config.json", "classes.csv", "roc.csv")
    return metrics, {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """Iris, four folds, twice: folder, what was returned, reporter."""
    folder, watch = tmp_path_factory.mktemp("iris") / "run", Watch()
    return folder, cross_validate(recipe(dataset="iris", batch=16), folder, 5, 4, 2, watch), watch


# ---------------------------------------------------------------------------------------------------- folds


def test_every_row_is_tested_once_per_repeat(iris):
    found = folds_of(iris[0])
    assert list(found) == [(r, f) for r in range(2) for f in range(4)]
    for repeat in range(2):
        rows = [row for (r, _), rows in found.items() if r == repeat for row in rows]
        assert sorted(rows) == list(range(150))
    assert found[0, 0] != found[1, 0]


def test_folds_are_stratified(iris):
    labels = load_table("iris").labels
    for rows in folds_of(iris[0]).values():
        assert 37 <= len(rows) <= 38
        counts = np.bincount(labels[rows], minlength=3)
        assert counts.min() >= 12
        assert counts.max() <= 13
    assert all(row["label"] == labels[row["row"]] for row in predictions(iris[0]))


def test_the_figures_are_those_of_the_predictions(iris):
    folder, metrics, _ = iris
    found = predictions(folder)
    own = []
    for repeat, fold in folds_of(folder):
        part = [row for row in found if (row["repeat"], row["fold"]) == (repeat, fold)]
        own.append(sum(row["label"] == row["predicted"] for row in part) / len(part))
    assert metrics["accuracies"] == pytest.approx(own)
    assert metrics["accuracy_mean"] == pytest.approx(sum(own) / 8)
    assert metrics["accuracy_sd"] == pytest.approx(np.std(own))
    assert metrics["accuracy_mean"] > 0.7
    assert metrics["test_samples"] == len(found) == 300
    assert (metrics["folds"], metrics["repeats"], metrics["seed"]) == (4, 2, 5)
    for row in found:
        z = [row[f"z_{k}"] for k in range(3)]
        assert row["predicted"] == int(np.argmin(z))
    counts = np.loadtxt(folder / "confusion_matrix.csv", delimiter=",", skiprows=1, usecols=(1, 2, 3))
    assert counts.sum() == 300
    assert counts.trace() == sum(row["label"] == row["predicted"] for row in found)
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_the_folder(iris):
    folder, _, watch = iris
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "metrics.json", "weights.safetensors", "test_predictions.csv", "confusion_matrix.csv",
        "classes.csv", "roc.csv",
    }  # fmt: skip
    config = read_config(folder)
    assert (config.folds, config.repeats, config.seed, config.recipe.layers) == (4, 2, 5, (8, 6, 3))
    assert watch.heard == [10]


def test_it_is_deterministic(tmp_path):
    r = recipe(dataset=table(tmp_path / "a.csv"))
    for name in ("one", "two"):
        torch.manual_seed(len(name) * 17)
        np.random.seed(len(name))  # noqa: NPY002
        cross_validate(r, tmp_path / name, 2, 2, 2, Watch())
    assert results(tmp_path / "one") == results(tmp_path / "two")
    cross_validate(r, tmp_path / "other", 9, 2, 2, Watch(), compare=False)
    assert folds_of(tmp_path / "other") != folds_of(tmp_path / "one")


def test_a_repeat_is_that_of_the_next_seed(tmp_path):
    r = recipe(dataset=table(tmp_path / "a.csv"))
    cross_validate(r, tmp_path / "both", 2, 3, 2, Watch(), compare=False)
    cross_validate(r, tmp_path / "second", 3, 3, 1, Watch(), compare=False)
    second = times(tmp_path / "second")
    both = {(0, *key[1:]): z for key, z in times(tmp_path / "both").items() if key[0] == 1}
    assert both.keys() == second.keys()
    for key, z in both.items():
        assert z == pytest.approx(second[key], rel=1e-4)


def test_how_many_folds_are_trained_at_once_does_not_matter(tmp_path, monkeypatch):
    r = recipe(dataset=table(tmp_path / "a.csv"))  # three folds of 16 training rows
    cross_validate(r, tmp_path / "together", 0, 3, 1, Watch(), compare=False)
    monkeypatch.setattr(cross_validation, "_VALUES", 1)
    cross_validate(r, tmp_path / "alone", 0, 3, 1, Watch(), compare=False)
    alone = times(tmp_path / "alone")
    for key, z in times(tmp_path / "together").items():
        assert z == pytest.approx(alone[key], rel=1e-4)


@pytest.mark.parametrize("cause", ["width", "rows"])
def test_folds_of_different_width_or_size_do_not_matter_to_each_other(tmp_path, monkeypatch, cause):
    def violet(lines):
        lines[4][1] = "violet"

    path = table(tmp_path / "a.csv", 24, violet) if cause == "width" else table(tmp_path / "a.csv", 26)
    r = recipe(dataset=path, batch=8 if cause == "width" else 9)
    cross_validate(r, tmp_path / "together", 0, 3, 1, Watch(), compare=False)
    monkeypatch.setattr(cross_validation, "_VALUES", 1)
    cross_validate(r, tmp_path / "alone", 0, 3, 1, Watch(), compare=False)
    alone = times(tmp_path / "alone")
    for key, z in times(tmp_path / "together").items():
        assert z == pytest.approx(alone[key], rel=1e-4)


# ---------------------------------------------------------------------------------------------------- no leaks


@pytest.mark.parametrize(
    ("column", "value", "scaling"),
    [
        *itertools.product([0], ["1e6"], ["minmax", "quantile", "robust"]),
        *itertools.product([2], [""], ["minmax", "quantile", "robust"]),
        (0, "-77", "quantile"),
        (1, "violet", "minmax"),  # text is not scaled
        (2, "500", "robust"),
    ],
)
def test_a_test_row_teaches_its_fold_nothing(tmp_path, monkeypatch, column, value, scaling):
    """Whatever is in row 0, the other rows of the fold that is tested with it are answered as before."""
    monkeypatch.setattr(cross_validation, "_VALUES", 1)  # each fold by itself: a new category widens the others

    def alter(lines):
        lines[0][column] = value

    for name, path in (("before", table(tmp_path / "a.csv")), ("after", table(tmp_path / "b.csv", alter=alter))):
        cross_validate(recipe(dataset=path, scaling=scaling), tmp_path / name, 0, 3, 1, Watch(), compare=False)
    own = next(fold for (_, fold), rows in folds_of(tmp_path / "before").items() if 0 in rows)
    before, after = times(tmp_path / "before"), times(tmp_path / "after")
    assert [key for key in before if key[1] == own and key[2] != 0 and before[key] != after[key]] == []
    assert [key for key in before if key[1] != own and before[key] != after[key]]  # the others have learned from it


@pytest.mark.parametrize("compare", [False, True])
def test_scaling_is_fitted_to_training_rows(tmp_path, monkeypatch, compare):
    fits = []
    fit = Features.fit

    def note(names, columns, *more, **settings):
        fits.append(np.array(columns[0]).tolist())
        return fit(names, columns, *more, **settings)

    monkeypatch.setattr(Features, "fit", note)
    path = table(tmp_path / "a.csv")
    cross_validate(recipe(dataset=path), tmp_path / "run", 0, 2, 1 if compare else 2, Watch(), compare=compare)
    sizes = read_csv(path).columns[0]
    assert sorted(fits[0]) == sorted(sizes)  # for the network of all rows
    wanted = [np.delete(sizes, sorted(rows)).tolist() for rows in folds_of(tmp_path / "run").values()]
    assert fits[1:] == wanted


def test_a_fold_without_a_category_answers_rows_that_have_it(tmp_path):
    def violet(lines):
        lines[4][1] = "violet"

    cross_validate(recipe(dataset=table(tmp_path / "a.csv", 24, violet)), tmp_path / "run", 0, 3, 2, Watch())
    assert len(predictions(tmp_path / "run")) == 48
    model = sl.load(tmp_path / "run")
    assert model.recipe.layers == (2 * (1 + 3 + 1), 6, 2)
    assert json.loads((tmp_path / "run/metrics.json").read_text())["accuracy_mean"] > 0.6


def test_constant_and_missing_columns(tmp_path):
    def dull(lines):
        for line in lines:
            line[1] = "same"
        lines[0][1] = ""  # a category or nothing: only the fold that is tested with row 0 has a constant there

    def empty(lines):
        for line in lines:
            line[1], line[2] = "same", "?"

    for name, alter, width in (("dull", dull, 3), ("empty", empty, 1)):
        path = table(tmp_path / f"{name}.csv", alter=alter)
        metrics = cross_validate(recipe(dataset=path), tmp_path / name, 0, 3, 1, Watch())
        assert sl.load(tmp_path / name).features.width == width
        assert metrics["accuracy_mean"] > 0.6
        assert metrics["compared"]["RBF SVM"]["accuracy_mean"] > 0.8


# ------------------------------------------------------------------------------------------- comparison, model


def test_the_comparison(iris, tmp_path):
    folder, metrics, _ = iris
    whole = load_table("iris")
    compared = metrics["compared"]
    assert list(compared) == ["logistic regression", "RBF SVM", "MLP"]
    for name, classifier in (("logistic regression", LogisticRegression(max_iter=1000)), ("RBF SVM", SVC())):
        own = []
        for rows in folds_of(folder).values():
            train = np.setdiff1d(np.arange(150), rows)
            x = Features.fit(whole.names, whole.take(train)).transform(whole.columns)
            fitted = make_pipeline(StandardScaler(), classifier).fit(x[train], whole.labels[train])
            own.append(fitted.score(x[rows], whole.labels[rows]))
        assert compared[name]["accuracy_mean"] == pytest.approx(np.mean(own))
        assert compared[name]["accuracy_sd"] == pytest.approx(np.std(own))
    assert 0.9 < compared["MLP"]["accuracy_mean"] <= 1


def test_without_comparison(iris, tmp_path):
    r = recipe(dataset="iris", batch=16)
    metrics = cross_validate(r, tmp_path / "run", 5, 4, 2, Watch(), compare=False)
    assert metrics["compared"] == {}
    assert metrics["accuracies"] == iris[1]["accuracies"]
    for name in ("test_predictions.csv", "weights.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (iris[0] / name).read_bytes()


def test_the_model_has_learned_from_all_rows(iris):
    folder = iris[0]
    model, whole = sl.load(folder), load_table("iris")
    assert model.classes == whole.classes
    assert model.features == Features.fit(whole.names, whole.columns, model.recipe.scaling)
    assert (model.predict(whole.columns) == whole.labels).mean() > 0.8
    assert model.predict(np.stack(whole.columns, 1)).tolist() == model.predict(whole.columns).tolist()
    z = model.encode(model.values(whole.columns))
    alone = Ensemble(model.recipe, [5])
    loop = alone.loop(z[None], torch.from_numpy(whole.labels), [torch.arange(150)], -(-150 // model.recipe.batch))
    for epoch in range(1, 13):
        loop.epoch(epoch)
    assert np.array_equal(model.z_out(whole.columns), alone.fire(0, z).numpy())


def test_the_model_does_not_depend_on_the_folds(iris, tmp_path):
    cross_validate(recipe(dataset="iris", batch=16), tmp_path / "run", 5, 2, 1, Watch(), compare=False)
    assert (tmp_path / "run/weights.safetensors").read_bytes() == (iris[0] / "weights.safetensors").read_bytes()


def test_the_global_random_state_plays_no_part(tmp_path):
    before = torch.get_rng_state()
    cross_validate(recipe(dataset=table(tmp_path / "a.csv"), epochs=1), tmp_path / "run", 0, 2, 1, Watch(), False)
    assert torch.equal(torch.get_rng_state(), before)


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("dataset", "folds", "repeats", "message"),
    [
        ("mnist", 3, 1, "--folds is for tables, got mnist"),
        ("xor", 3, 1, "--folds is for tables, got xor"),
        ("iris", 1, 1, "--folds must be 2 or more, got 1"),
        ("iris", 0, 1, "--folds must be 2 or more, got 0"),
        ("iris", -3, 1, "got -3"),
        ("iris", 3, 0, "--repeats must be 1 or more, got 0"),
        ("iris", 3, -1, "got -1"),
        ("iris", 51, 1, "class 'setosa' of iris has 50, got 51 folds"),
        ("irsi", 3, 1, "unknown dataset 'irsi'"),
        ("no.csv", 3, 1, "no such file"),
    ],
)
def test_refusals_leave_nothing(tmp_path, dataset, folds, repeats, message):
    with pytest.raises(InputError, match=message):
        cross_validate(recipe(dataset=dataset), tmp_path / "run", 0, folds, repeats, Watch())
    assert list(tmp_path.iterdir()) == []


def test_a_small_class_is_named(tmp_path):
    def rare(lines):
        lines[3][3] = lines[8][3] = "yew"

    path = table(tmp_path / "a.csv", alter=rare)
    with pytest.raises(InputError, match=r"class 'yew' of .*a\.csv has 2, got 3 folds"):
        cross_validate(recipe(dataset=path), tmp_path / "run", 0, 3, 1, Watch())
    assert not (tmp_path / "run").exists()
    assert cross_validate(recipe(dataset=path), tmp_path / "run", 0, 2, 1, Watch(), False)["folds"] == 2


def test_a_fold_with_nothing_to_learn_from_leaves_nothing(tmp_path):
    (tmp_path / "a.csv").write_text("x,kind\n" + "".join(f"{5 * (k == 3)},{'ab'[k % 2]}\n" for k in range(12)))
    with pytest.raises(InputError, match="nothing to learn from"):
        cross_validate(recipe(dataset=str(tmp_path / "a.csv")), tmp_path / "run", 0, 2, 1, Watch())
    assert not (tmp_path / "run").exists()


def test_a_negative_seed_is_refused(tmp_path):
    with pytest.raises(InputError, match="seed must be 0 or more"):
        cross_validate(recipe(dataset="iris"), tmp_path / "run", -1, 2, 1, Watch())
    assert not (tmp_path / "run").exists()
