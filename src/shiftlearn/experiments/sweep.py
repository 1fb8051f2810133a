"""Many runs over processes; those that are finished are kept, and those that were interrupted go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models.stored import CONFIG, read_config
from ..recipes import Recipe
from ..recipes.paths import absolute
from ..runs.folder import Claim, hold
from ..runs.results import read_metrics
from ..training.callbacks import Silent
from ..training.run import resume, start

__all__ = ["Cell", "run"]


@dataclass(frozen=True)
class Cell:
    """One run, in the folder ``name``."""

    name: str
    recipe: Recipe
    seed: int


def run(
    cells: Iterable[Cell],
    out: Path | Claim,
    jobs: int,
    data_dir: str | None,
    done: Callable[[Cell, dict[str, Any]], None],
) -> None:
    """Train what is not finished yet, ``jobs`` runs at a time, each on one thread; tell ``done`` of every run.

    Runs that were interrupted go on from their last whole epoch. joblib carries them: within
    ``joblib.parallel_config("dask")``, for one, a Dask cluster does, as many at a time as it has threads, whatever
    ``jobs`` says. Its workers must reach the folders ``out`` and ``data_dir``. ``out`` is locked meanwhile.

    Raises:
        InputError: ``jobs`` below 1, ``out`` is in use, or a folder in it holds a run with other settings.
    """
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    if jobs < 1:
        raise InputError(f"--jobs must be 1 or more, got {jobs}")
    with hold(out) as claim:
        pending = []
        for cell in cells:
            folder = claim.folder / cell.name
            if (folder / CONFIG).is_file():
                stored = read_config(folder)
                if cell.seed != stored.seed or not _same(cell.recipe, stored.recipe):
                    raise InputError(f"{str(folder)!r} holds a run with other settings; name another --out")
            metrics = read_metrics(folder)
            if metrics is None:
                pending.append(cell)
            else:
                done(cell, metrics)
        # Not every backend can give a result before it has them all.
        early = get_active_backend()[0].supports_return_generator
        work = Parallel(n_jobs=jobs, return_as="generator_unordered" if early else "list")
        for cell, metrics in work(delayed(_train)(cell, claim.folder / cell.name, data_dir) for cell in pending):
            done(cell, metrics)


def _same(recipe: Recipe, stored: Recipe) -> bool:
    """Whether settings are those of a run, which has the sizes of its data; words and relative paths do not count."""
    own = dataclasses.replace(recipe.sized(stored.layers), description=stored.description)
    return absolute(own.as_dict(), Path()) == absolute(stored.as_dict(), Path())


def _train(cell: Cell, folder: Path, data_dir: str | None) -> tuple[Cell, dict[str, Any]]:
    import torch

    torch.set_num_threads(1)
    if (folder / CONFIG).is_file():
        metrics = resume(folder, Silent(), data_dir=data_dir)
    else:
        metrics = start(cell.recipe, folder, cell.seed, Silent(), data_dir=data_dir)
    assert metrics is not None
    return cell, metrics
