"""Who may watch a run besides the command line: several at once, and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import InputError
from ..models.stored import read_config
from ..recipes import Recipe

__all__ = ["Ready", "Reporter", "Several", "Silent", "TensorBoard"]

_SCALARS = {
    "loss": "loss",
    "train_accuracy": "accuracy/training",
    "validation_accuracy": "accuracy/validation",
    "samples_per_second": "samples per second",
}


Ready = Callable[[Recipe, Sequence[str]], None]
"""Receives the recipe, sizes as in the data, and the lines of a table's account, before the first epoch."""


class Reporter(Protocol):
    """Who watches a run."""

    def batch(self, epoch: int, share: float, loss: float, accuracy: float, samples_per_second: float) -> None:
        """Some batches are done; ``share`` of the epoch, means since its start."""

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is done; ``record`` is its line of metrics.jsonl."""


class Silent:
    """A Reporter that says nothing."""

    def batch(self, epoch: int, share: float, loss: float, accuracy: float, samples_per_second: float) -> None:
        pass

    def epoch(self, record: dict[str, Any]) -> None:
        pass


class Several:
    """A :class:`~shiftlearn.training.callbacks.Reporter` that passes on to others what it is told."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self.reporters = reporters

    def batch(self, epoch: int, share: float, loss: float, accuracy: float, samples_per_second: float) -> None:
        for reporter in self.reporters:
            reporter.batch(epoch, share, loss, accuracy, samples_per_second)

    def epoch(self, record: dict[str, Any]) -> None:
        for reporter in self.reporters:
            reporter.epoch(record)


class TensorBoard:
    """A :class:`~shiftlearn.training.callbacks.Reporter` that writes event files; use it as a context manager.

    They go to ``tensorboard/NAME`` beside the run folder ``NAME``, which holds what is checked, and nothing else. A
    run that is resumed goes on there: events of epochs that are trained again are replaced.

    Raises:
        InputError: tensorboard is not installed.
    """

    def __init__(self, run: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(f"tensorboard is not installed ({error}): pip install 'shiftlearn[tensorboard]'") from None
        self.run, self.folder = run, run.parent / "tensorboard" / run.resolve().name
        self._make: Callable[..., Any] = SummaryWriter
        self._writer: Any = None

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def batch(self, epoch: int, share: float, loss: float, accuracy: float, samples_per_second: float) -> None:
        pass

    def epoch(self, record: dict[str, Any]) -> None:
        step = record["epoch"]
        writer = self._open(step)
        for key, name in _SCALARS.items():
            if key in record:
                writer.add_scalar(name, record[key], step)
        writer.flush()  # what was logged survives whatever ends the process

    def end(self, metrics: dict[str, Any]) -> None:
        """Add the test accuracy of a finished run."""
        self._open(metrics["epochs"]).add_scalar("accuracy/test", metrics["test_accuracy"], metrics["epochs"])

    def _open(self, step: int) -> Any:
        """The writer; events of that epoch and later ones, from before an interruption, no longer count."""
        if self._writer is None:
            self._writer = self._make(str(self.folder), purge_step=step)
            config = read_config(self.run)
            settings = json.dumps({"seed": config.seed, **config.recipe.as_dict()}, indent=2)
            self._writer.add_text("settings", f"```\n{settings}\n```", step)
        return self._writer
