"""What ``shiftlearn compare`` and ``shiftlearn reproduce`` have in common: many runs, told of as they end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import counted
from ..experiments.sweep import Cell, run
from ..runs.folder import hold
from .printing import Voice


def sweep(
    cells: Sequence[Cell], folder: Path, jobs: int, data_dir: str | None, voice: Voice
) -> list[tuple[Cell, dict[str, Any]]]:
    """Train what is not finished in a folder; the runs and their metrics, in the order of ``cells``.

    Raises:
        InputError: as :func:`shiftlearn.experiments.sweep.run`.
    """
    found: dict[str, dict[str, Any]] = {}

    def done(cell: Cell, metrics: dict[str, Any]) -> None:
        found[cell.name] = metrics
        voice.say(f"{len(found)}/{len(cells)}  {cell.name}  test accuracy {metrics['test_accuracy']:.2%}")

    try:
        with hold(folder) as claim:
            voice.say(f"{counted(len(cells), 'run')} in {folder}")
            run(cells, claim, jobs, data_dir, done)
    except (KeyboardInterrupt, SystemExit) as stop:  # Ctrl-C; SIGTERM
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        sys.exit(stop.code if isinstance(stop, SystemExit) else 130)
    return [(cell, found[cell.name]) for cell in cells]
