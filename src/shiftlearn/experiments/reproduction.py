"""The results that the package states: its recipes trained with several seeds, as one table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, recipes
from ..analysis.cost import cost
from ..errors import InputError
from ..files import as_csv, write
from ..models.evaluation import task_of
from ..models.model import load
from ..recipes.description import augmentation, modulator
from ..recipes.network import network_name
from .sweep import Cell

__all__ = ["cells", "default_names", "into", "markdown", "summarise"]

_COSTED = 1000  # samples from which the cost of an answer is taken
_BEGIN, _END = "<!-- reproduce: begin -->", "<!-- reproduce: end -->"


def default_names() -> list[str]:
    """Recipes with a test set of their own; tables and XOR are judged by cross-validation and repeats instead."""
    every = {name: recipes.read(name) for name in recipes.names()}
    return [name for name, recipe in every.items() if recipe.dataset in data.DATASETS or recipe.spike_trains]


def cells(names: Sequence[str], seeds: int) -> list[Cell]:
    """Every recipe with seeds 0 … seeds − 1.

    Raises:
        InputError: an unknown name, one that occurs twice, one that cannot be reproduced so, or fewer than one seed.
    """
    if seeds < 1:
        raise InputError(f"--seeds must be 1 or more, got {seeds}")
    if len(set(names)) != len(names):
        raise InputError(f"recipes must differ, got {', '.join(names)}")
    known = default_names()
    for name in names:
        if name not in known:
            recipes.read(name)
            raise InputError(f"recipe {name!r} has no test set of its own: see 'shiftlearn train --help'; got {name!r}")
    return [Cell(f"{name}-seed{seed}", recipes.read(name), seed) for name in names for seed in range(seeds)]


def summarise(found: Iterable[tuple[Cell, dict[str, Any]]], out: Path, data_dir: str | None) -> list[dict[str, Any]]:
    """A row for each recipe, in the order of the runs; also written to ``results.csv`` in ``out``.

    Accuracies are mean and sample standard deviation over the seeds; the cost of an answer is that of the first seed's
    network, over the first 1000 test samples.
    """
    together: dict[str, list[tuple[Cell, dict[str, Any]]]] = {}
    for cell, metrics in sorted(found, key=lambda pair: pair[0].seed):
        together.setdefault(cell.name.rpartition("-seed")[0], []).append((cell, metrics))
    rows: list[dict[str, Any]] = []
    for name, several in together.items():
        accuracy = [metrics["test_accuracy"] for _, metrics in several]
        model = load(out / several[0][0].name)
        task = task_of(model, data_dir, ["test"])
        price = cost(model, model.values(task.take(task.test[:_COSTED])))
        rows.append(
            {
                "recipe": name,
                "data": model.recipe.dataset + (", edges" if model.recipe.preprocess == "edges" else ""),
                "network": network_name(model.recipe),
                "epochs": model.recipe.epochs,
                "rule": model.recipe.rule,
                "feedback": model.recipe.feedback,
                "modulator": modulator(model.recipe),
                "augmentation": augmentation(model.recipe),
                "accuracy_mean": float(np.mean(accuracy)),
                "accuracy_sd": float(np.std(accuracy, ddof=1)) if len(accuracy) > 1 else None,
                "accuracies": " ".join(f"{x:.4f}" for x in accuracy),
                "train_seconds": float(np.mean([metrics["train_seconds"] for _, metrics in several])),
                "decision_time": price.decision_time,
                "spikes": price.spikes,
                "operations": price.operations,
                "dense_operations": price.dense,
            }
        )
    write(out / "results.csv", as_csv(rows))
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of :func:`summarise` as a Markdown table."""
    heads = ["recipe", "data", "network", "rule", "feedback", "modulator", "augmentation", "epochs"]
    lines = [[*heads, "test accuracy / %", "by seed", "s a run", "spikes", "synaptic operations", "dense"]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        spread = "" if row["accuracy_sd"] is None else f" ± {100 * row['accuracy_sd']:.2f}"
        seeds = ", ".join(f"{100 * float(x):.2f}" for x in row["accuracies"].split())
        lines.append(
            [
                f"`{row['recipe']}`",
                *(str(row[head]) for head in heads[1:]),
                f"{100 * row['accuracy_mean']:.2f}{spread}",
                seeds,
                f"{row['train_seconds']:.0f}",
                f"{row['spikes']:,.0f}",
                f"{row['operations'] / 1000:,.0f}k",
                f"{row['dense_operations'] / 1000:,.0f}k",
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def into(text: str, table: str) -> str:
    """``text`` with the rows of ``table`` between its two markers.

    They take the places of rows of the same recipes; rows of others stay, if the head of the table there is the same.

    Raises:
        InputError: it does not hold each marker once, in order.
    """
    pattern = re.compile(f"{re.escape(_BEGIN)}(.*?){re.escape(_END)}", re.DOTALL)
    if len(found := pattern.findall(text)) != 1:
        raise InputError(f"the file must hold {_BEGIN} and, after it, {_END} once")
    old, new = ([line for line in lines.splitlines() if line.startswith("|")] for lines in (found[0], table))
    rows = old[2:] + new[2:] if old[:2] == new[:2] else new[2:]
    of_recipe = {line.split("|")[1]: line for line in rows}
    merged = "".join(f"{line}\n" for line in (*new[:2], *of_recipe.values()))
    return pattern.sub(lambda _: f"{_BEGIN}\n\n{merged}\n{_END}", text)
