"""The same recipe with other rules, pathways, modulators and seeds: a grid of runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checkpoint, recipes, records, rules
from .errors import InputError
from .figures import new_figure, palette
from .recipes import Recipe
from .sweep import Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "grid", "summarise"]


def grid(
    recipe: Recipe, rules_: Sequence[str], feedback: Sequence[str], modulators: Sequence[str], seeds: int
) -> list[Cell]:
    """All combinations, each with seeds 0 … seeds − 1.

    Raises:
        InputError: an unknown name, one that occurs twice, or fewer than one seed.
    """
    if seeds < 1:
        raise InputError(f"--seeds must be 1 or more, got {seeds}")
    if not (rules_ and feedback and modulators):
        raise InputError("--rules, --feedback and --modulators must each name one or more")
    for option, names in (("--rules", rules_), ("--feedback", feedback), ("--modulators", modulators)):
        if len(set(names)) != len(names):
            raise InputError(f"{option} names one twice: {', '.join(names)}")
    cells = []
    for rule, pathway, modulator in itertools.product(rules_, feedback, modulators):
        rules.require(rule)
        changed = recipes.override(recipe, {"rule": rule, "feedback": pathway, "modulator": modulator})
        named = rule.replace(":", ".")  # it becomes a folder
        cells += [Cell(f"{named}-{pathway}-{modulator}-seed{seed}", changed, seed) for seed in range(seeds)]
    return cells


def summarise(found: Iterable[tuple[Cell, dict[str, Any]]], out: Path) -> list[dict[str, Any]]:
    """Mean and sample standard deviation of every combination, best first; also written to ``comparison.csv``.

    The deviation of a single seed is None, and an empty cell.
    """
    together: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for cell, metrics in found:
        r = cell.recipe
        together.setdefault((r.rule, r.feedback, r.modulator), []).append(metrics)
    rows: list[dict[str, Any]] = []
    for (rule, feedback, modulator), several in together.items():
        accuracy = [metrics["test_accuracy"] for metrics in several]
        rows.append(
            {
                "rule": rule,
                "feedback": feedback,
                "modulator": modulator,
                "accuracy_mean": float(np.mean(accuracy)),
                "accuracy_sd": float(np.std(accuracy, ddof=1)) if len(accuracy) > 1 else None,
                "seeds": len(accuracy),
                "train_seconds": float(np.mean([metrics["train_seconds"] for metrics in several])),
            }
        )
    rows.sort(key=lambda row: -row["accuracy_mean"])
    checkpoint.write(out / "comparison.csv", records.as_csv(rows))
    return rows


def draw(rows: Sequence[dict[str, Any]], title: str) -> Figure:
    """The accuracies with their standard deviations; the axis begins where they do.

    Raises:
        InputError: matplotlib is not installed.
    """
    figure = new_figure(7, 1.4 + 0.35 * len(rows))
    axes = figure.subplots()
    names = [f"{row['rule']}, {row['feedback']}, {row['modulator']}" for row in rows]
    means = [100 * row["accuracy_mean"] for row in rows]
    sds = [None if row["accuracy_sd"] is None else 100 * row["accuracy_sd"] for row in rows]
    places = range(len(rows))
    axes.errorbar(means, places, xerr=[sd or 0 for sd in sds], fmt="o", color=palette(axes).categories[0], capsize=3)
    for place, mean, sd in zip(places, means, sds, strict=True):
        text = f"{mean:.2f}" if sd is None else f"{mean:.2f} ± {sd:.2f}"
        axes.annotate(text, (1.02, place), xycoords=("axes fraction", "data"), va="center")
    axes.set_yticks(places, names)
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the best on top
    axes.grid(axis="x", color=palette(axes).faint, alpha=0.25)
    axes.set_axisbelow(True)
    axes.set_xlabel("test accuracy / %" if None in sds else "test accuracy / %, mean ± sd over seeds")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
