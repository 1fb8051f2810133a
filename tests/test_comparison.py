"""Grids of runs: every combination once, interrupted ones go on, and what is printed is what was found."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from shiftlearn import comparison, recipes
from shiftlearn.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("--epochs", 3, "--set", "layers=[0, 6, 0]", "--jobs", 1)


def test_the_grid_holds_every_combination_once():
    cells = comparison.grid(recipes.read("iris"), ["shifting", "exact"], ["random", "direct"], ["error", "reward"], 3)
    assert len({cell.name for cell in cells}) == len(cells) == 24
    assert {(c.recipe.rule, c.recipe.feedback, c.recipe.modulator) for c in cells} == {
        (r, f, m) for r in ("shifting", "exact") for f in ("random", "direct") for m in ("error", "reward")
    }
    assert {cell.seed for cell in cells} == {0, 1, 2}
    assert {cell.recipe.epochs for cell in cells} == {recipes.read("iris").epochs}


def test_compare_prints_what_the_runs_found(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(
        "compare", "iris", *SMALL, "--rules", "normalized,exact", "--feedback", "random", "--seeds", 2
    )
    assert (code, err) == (0, "")
    folder = tmp_path / "runs/compare-iris"
    with open(folder / "comparison.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["rule"] for row in rows} == {"normalized", "exact"}
    for row in rows:
        paths = [folder / f"{row['rule']}-random-error-seed{seed}/metrics.json" for seed in (0, 1)]
        accuracy = [json.loads(path.read_text())["test_accuracy"] for path in paths]
        assert float(row["accuracy_mean"]) == pytest.approx(np.mean(accuracy))
        assert float(row["accuracy_sd"]) == pytest.approx(np.std(accuracy, ddof=1))
        assert row["seeds"] == "2"
        assert f"{np.mean(accuracy):.2%}" in out
    assert [float(row["accuracy_mean"]) for row in rows] == sorted(
        (float(r["accuracy_mean"]) for r in rows), reverse=True
    )
    if "not drawn" not in out:
        assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    # One run is not finished: it alone is trained again, to the same end.
    one = folder / "exact-random-error-seed1"
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("weights.safetensors")}
    (one / "metrics.json").unlink()
    assert call("compare", "iris", *SMALL, "--rules", "normalized,exact", "--feedback", "random", "--seeds", 2)[0] == 0
    for path, (when, content) in before.items():
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns == when) == (path.parent != one)
    assert (one / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("iris", "--rules", "shiftin"), "unknown rule 'shiftin'. Did you mean 'shifting'?"),
        (("iris", "--feedback", "telepathy"), "feedback must be one of"),
        (("iris", "--modulators", "dopamine"), "modulator must be one of error, reward"),
        (("iris", "--rules", "exact,exact"), "--rules names one twice"),
        (("iris", "--rules", ","), "must each name one or more"),
        (("iris", "--seeds", 0), "--seeds must be 1 or more, got 0"),
        (("iris", "--jobs", 0), "--jobs must be 1 or more, got 0"),
        (("irsi",), "unknown recipe 'irsi'"),
    ],
)
def test_mistakes(call, tmp_path, monkeypatch, arguments, part):
    monkeypatch.chdir(tmp_path)
    code, _, err = call("compare", *arguments)
    assert code == 2
    assert part in err
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_settings_is_refused(tmp_path):
    recipe = recipes.override(recipes.read("iris"), {"epochs": 2, "layers": [0, 4, 0]})
    (cell,) = comparison.grid(recipe, ["exact"], ["sign"], ["error"], 1)
    comparison.run([cell], tmp_path, 1, None, lambda *_: None)
    (other,) = comparison.grid(recipes.override(recipe, {"lr": 0.5}), ["exact"], ["sign"], ["error"], 1)
    with pytest.raises(InputError, match="holds a run with other settings"):
        comparison.run([other], tmp_path, 1, None, lambda *_: None)
    (wider,) = comparison.grid(recipes.override(recipe, {"layers": [0, 5, 0]}), ["exact"], ["sign"], ["error"], 1)
    with pytest.raises(InputError, match="holds a run with other settings"):
        comparison.run([wider], tmp_path, 1, None, lambda *_: None)
