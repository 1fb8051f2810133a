"""Grids of runs: every combination once, interrupted ones go on, and what is printed is what was found."""

from __future__ import annotations

import csv
import json
import sys

import joblib
import numpy as np
import pytest
from joblib.parallel import ThreadingBackend

from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.experiments import comparison, sweep
from shiftlearn.plots.comparison import draw

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


def test_a_single_seed_has_no_deviation(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    choice = ("compare", "iris", *SMALL, "--rules", "exact", "--feedback", "random", "--seeds", 1)
    code, out, _ = call(*choice)
    assert code == 0
    assert "│ -  │ 1     │" in out
    assert "1 run in" in out
    with open(tmp_path / "runs/compare-iris/comparison.csv", encoding="utf-8", newline="") as file:
        assert [row["accuracy_sd"] for row in csv.DictReader(file)] == [""]
    rows = json.loads(call(*choice, "--json")[1])
    assert [row["accuracy_sd"] for row in rows] == [None]
    pytest.importorskip("matplotlib")
    axes = draw(rows, "one seed").axes[0]
    assert all("±" not in text.get_text() for text in axes.texts)
    assert "sd" not in axes.get_xlabel()


def test_a_rule_of_a_module_makes_folders_that_any_system_can_name():
    (cell,) = comparison.grid(recipes.read("iris"), ["shiftlearn.ops.rules:exact"], ["random"], ["error"], 1)
    assert cell.name == "shiftlearn.ops.rules.exact-random-error-seed0"
    assert cell.recipe.rule == "shiftlearn.ops.rules:exact"


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
    sweep.run([cell], tmp_path, 1, None, lambda *_: None)
    (other,) = comparison.grid(recipes.override(recipe, {"lr": 0.5}), ["exact"], ["sign"], ["error"], 1)
    with pytest.raises(InputError, match="holds a run with other settings"):
        sweep.run([other], tmp_path, 1, None, lambda *_: None)
    (wider,) = comparison.grid(recipes.override(recipe, {"layers": [0, 5, 0]}), ["exact"], ["sign"], ["error"], 1)
    with pytest.raises(InputError, match="holds a run with other settings"):
        sweep.run([wider], tmp_path, 1, None, lambda *_: None)


def without_times(metrics):
    return {key: value for key, value in metrics.items() if key != "train_seconds"}


def collected(cells, out, jobs):
    found = {}
    sweep.run(cells, out, jobs, None, lambda cell, metrics: found.update({cell.name: without_times(metrics)}))
    return found


@pytest.fixture
def cells():
    recipe = recipes.override(recipes.read("iris"), {"epochs": 2, "layers": [0, 4, 0]})
    return comparison.grid(recipe, ["exact", "shifting"], ["sign"], ["error"], 1)


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_dask_cluster_can_carry_the_runs(tmp_path, cells, processes):
    dask = pytest.importorskip("distributed", reason="without Dask")
    # joblib keeps the work to itself where a cluster has a single thread.
    cluster = dask.LocalCluster(n_workers=1, threads_per_worker=2, processes=processes, dashboard_address=None)
    with cluster, dask.Client(cluster) as client, joblib.parallel_config("dask"):
        found = collected(cells, tmp_path / "dask", 2)
        assert client.run(lambda: "shiftlearn.experiments.sweep" in sys.modules) == dict.fromkeys(
            client.nthreads(), True
        )
    assert found == collected(cells, tmp_path / "here", 1)
    for cell in cells:
        one, two = (tmp_path / name / cell.name / "weights.safetensors" for name in ("dask", "here"))
        assert one.read_bytes() == two.read_bytes()


class NoGenerator(ThreadingBackend):
    """A backend that gives its results only when it has them all."""

    supports_return_generator = False


def test_a_backend_need_not_give_results_early(tmp_path, cells):
    joblib.register_parallel_backend("no-generator", NoGenerator)
    with joblib.parallel_config("no-generator"):
        assert collected(cells, tmp_path, 2).keys() == {cell.name for cell in cells}
