"""The same recipe with other rules, pathways, modulators and seeds: a grid of runs, over processes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checkpoint, recipes, records, rules, training
from .errors import InputError
from .figures import new_figure, palette
from .recipes import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Cell", "draw", "grid", "run", "summarise"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of the grid."""

    recipe: Recipe
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.recipe.rule}-{self.recipe.feedback}-{self.recipe.modulator}-seed{self.seed}"


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
        rules.get(rule)
        changed = recipes.override(recipe, {"rule": rule, "feedback": pathway, "modulator": modulator})
        cells += [Cell(changed, seed) for seed in range(seeds)]
    return cells


def run(
    cells: Iterable[Cell], out: Path, jobs: int, data_dir: str | None, done: Callable[[Cell, dict[str, Any]], None]
) -> None:
    """Train what is not finished yet, ``jobs`` runs at a time, each on one thread; tell ``done`` of every run.

    Runs that were interrupted go on from their last whole epoch. joblib carries them: within
    ``joblib.parallel_config("dask")``, for one, a Dask cluster does, as many at a time as it has threads, whatever
    ``jobs`` says. Its workers must reach the folders ``out`` and ``data_dir``.

    Raises:
        InputError: ``jobs`` below 1, or a folder in ``out`` holds a run with other settings.
    """
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    if jobs < 1:
        raise InputError(f"--jobs must be 1 or more, got {jobs}")
    pending = []
    for cell in cells:
        folder = out / cell.name
        if (folder / checkpoint.CONFIG).is_file():
            stored = checkpoint.read_config(folder)
            sizes = zip(cell.recipe.layers, stored.recipe.layers, strict=False)  # 0 stands for what the data has
            asked = dataclasses.replace(cell.recipe, layers=tuple(own or known for own, known in sizes))
            if (asked, cell.seed) != (stored.recipe, stored.seed):
                raise InputError(f"{str(folder)!r} holds a run with other settings; name another --out")
        metrics = checkpoint.read_metrics(folder)
        if metrics is None:
            pending.append(cell)
        else:
            done(cell, metrics)
    # Not every backend can give a result before it has them all.
    early = get_active_backend()[0].supports_return_generator
    work = Parallel(n_jobs=jobs, return_as="generator_unordered" if early else "list")
    for cell, metrics in work(delayed(_train)(cell, out / cell.name, data_dir) for cell in pending):
        done(cell, metrics)


def _train(cell: Cell, folder: Path, data_dir: str | None) -> tuple[Cell, dict[str, Any]]:
    import torch

    torch.set_num_threads(1)
    if (folder / checkpoint.CONFIG).is_file():
        metrics = training.resume(folder, training.Silent(), data_dir=data_dir)
    else:
        metrics = training.start(cell.recipe, folder, cell.seed, training.Silent(), data_dir=data_dir)
    assert metrics is not None
    return cell, metrics


def summarise(found: Iterable[tuple[Cell, dict[str, Any]]], out: Path) -> list[dict[str, Any]]:
    """Mean and sample standard deviation of every combination, best first; also written to ``comparison.csv``."""
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
                "accuracy_sd": float(np.std(accuracy, ddof=1)) if len(accuracy) > 1 else 0.0,
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
    means, sds = ([100 * row[key] for row in rows] for key in ("accuracy_mean", "accuracy_sd"))
    places = range(len(rows))
    axes.errorbar(means, places, xerr=sds, fmt="o", color=palette(axes).categories[0], capsize=3)
    for place, mean, sd in zip(places, means, sds, strict=True):
        axes.annotate(f"{mean:.2f} ± {sd:.2f}", (1.02, place), xycoords=("axes fraction", "data"), va="center")
    axes.set_yticks(places, names)
    axes.set_ylim(len(rows) - 0.5, -0.5)  # the best on top
    axes.grid(axis="x", color=palette(axes).faint, alpha=0.25)
    axes.set_axisbelow(True)
    axes.set_xlabel("test accuracy / %, mean ± sd over seeds")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
