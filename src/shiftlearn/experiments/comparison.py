"""The same recipe with other rules, pathways, modulators and seeds: a grid of runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import recipes
from ..errors import InputError
from ..files import as_csv, write
from ..ops import rules
from ..recipes import Recipe
from .sweep import Cell

__all__ = ["grid", "summarise"]


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
    write(out / "comparison.csv", as_csv(rows))
    return rows
