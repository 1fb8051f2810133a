"""The table of results: what is in it is what the runs found, and it goes where its markers are."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from shiftlearn import recipes
from shiftlearn.analysis.cost import cost
from shiftlearn.data import load
from shiftlearn.errors import InputError
from shiftlearn.experiments import reproduction
from shiftlearn.models.model import load as load_model

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("mnist-random", "mnist")
PAGE = "before\n<!-- reproduce: begin -->\nold\n<!-- reproduce: end -->\nafter\n"


@pytest.fixture
def small(monkeypatch):
    """The package's recipes, but small networks that see 500 images once."""
    read = recipes.read
    changes = {"layers": [784, 8, 10], "epochs": 1, "validation": 59_500}
    monkeypatch.setattr(recipes, "read", lambda name: recipes.override(read(name), changes if name in SMALL else {}))


def test_what_can_be_reproduced():
    names = reproduction.default_names()
    assert {"mnist", "fashion-mnist", "mnist-published", "tca"} <= set(names)
    assert not {"iris", "table", "xor"} & set(names)
    cells = reproduction.cells(["mnist", "tca"], 2)
    assert [(cell.name, cell.seed) for cell in cells] == [
        ("mnist-seed0", 0), ("mnist-seed1", 1), ("tca-seed0", 0), ("tca-seed1", 1)
    ]  # fmt: skip
    assert cells[0].recipe == recipes.read("mnist")


@pytest.mark.parametrize(
    ("names", "seeds", "message"),
    [
        (["mnist"], 0, "--seeds must be 1 or more, got 0"),
        (["mnist", "mnist"], 1, "recipes must differ, got mnist, mnist"),
        (["iris"], 1, "'iris' has no test set of its own"),
        (["mnits"], 1, "recipe"),
    ],
)
def test_what_cannot(names, seeds, message):
    with pytest.raises(InputError, match=message):
        reproduction.cells(names, seeds)


def test_the_command_writes_what_it_found(call, small, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    options = ("--seeds", 2, "--jobs", 1, "--out", tmp_path / "runs", "--into", page)
    code, _, err = call("reproduce", *SMALL, *options)
    assert (code, err) == (0, "")
    with open(tmp_path / "runs/results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["recipe"] for row in rows] == ["mnist-random", "mnist"]
    for row in rows:
        folders = [tmp_path / f"runs/{row['recipe']}-seed{seed}" for seed in (0, 1)]
        accuracy = [json.loads((folder / "metrics.json").read_text())["test_accuracy"] for folder in folders]
        assert float(row["accuracy_mean"]) == pytest.approx(np.mean(accuracy))
        assert float(row["accuracy_sd"]) == pytest.approx(np.std(accuracy, ddof=1))
        model = load_model(folders[0])
        price = cost(model, model.values(load("mnist", "test")[0][:1000]))
        assert float(row["operations"]) == pytest.approx(price.operations)
        assert int(row["dense_operations"]) == 784 * 8 + 80
        assert f"{100 * np.mean(accuracy):.2f} ± {100 * np.std(accuracy, ddof=1):.2f}" in page.read_text()
    assert [row["feedback"] for row in rows] == ["random", "symmetric"]
    text = page.read_text()
    assert text.startswith("before\n<!-- reproduce: begin -->\n\n| recipe")
    assert text.endswith("|\n\n<!-- reproduce: end -->\nafter\n")
    assert (tmp_path / "runs/results.md").read_text() in text
    weights = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")}
    assert call("reproduce", *SMALL, *options)[0] == 0
    assert weights == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")}
    assert page.read_text() == text


def test_rows_of_other_recipes_stay():
    def table(*rows, head="| recipe | n |"):
        return "".join(f"{line}\n" for line in (head, "| --- | --- |", *rows))

    first = reproduction.into(PAGE, table("| `a` | 1 |", "| `b` | 2 |"))
    both = reproduction.into(first, table("| `c` | 3 |", "| `a` | 4 |"))
    assert both == reproduction.into(PAGE, table("| `a` | 4 |", "| `b` | 2 |", "| `c` | 3 |"))
    other = table("| `a` | 5 |", head="| recipe | m |")
    assert reproduction.into(both, other) == reproduction.into(PAGE, other)


@pytest.mark.parametrize("text", ["", "<!-- reproduce: begin -->", PAGE + PAGE])
def test_a_page_without_its_place_is_refused_before_any_work(call, tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    code, out, err = call("reproduce", "mnist", "--out", tmp_path / "runs", "--into", page)
    assert (code, out) == (2, "")
    assert "<!-- reproduce: begin -->" in err
    assert page.read_text() == text
    assert not (tmp_path / "runs").exists()
    code, _, err = call("reproduce", "mnist", "--into", tmp_path / "none.md")
    assert (code, "a file that is there" in err) == (2, True)
