"""Every example of the gallery runs, without a screen."""

from __future__ import annotations

import ast
import runpy
import warnings
from pathlib import Path

import pytest
import torch

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("plot_*.py"))
LONG = ("plot_own_pathway", "plot_own_rule", "plot_three_factors")  # the build of the documentation runs them too


@pytest.mark.parametrize(
    "path", [pytest.param(x, id=x.stem, marks=[pytest.mark.slow] * (x.stem in LONG)) for x in EXAMPLES]
)
def test_it_runs_and_draws(path: Path, monkeypatch: pytest.MonkeyPatch, own_names: None, one_thread: None) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    if path.stem == "plot_export":
        pytest.importorskip("nir")
    shown = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(len(pyplot.get_fignums())))
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        runpy.run_path(str(path), run_name="__main__")
    pyplot.close("all")
    assert shown
    assert min(shown) == 1


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_begins_with_a_title(path: Path) -> None:
    title, underline, *_ = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=True).splitlines()
    assert set(underline) == {"="}
    assert len(underline) == len(title)
