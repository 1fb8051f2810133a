"""What a person sees while a network trains: a live bar in a terminal, one plain line an epoch elsewhere."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import RunWarning
from ..training.callbacks import Reporter

_LINES = 50  # about so many for a whole run, at most twice that


class Display(Reporter, Protocol):
    """A reporter that also prints lines of text."""

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""


@contextmanager
def reporter(epochs: int) -> Iterator[Display]:
    """The reporter that suits standard output."""
    console = Console()
    if not (sys.stdout.isatty() and console.is_terminal):
        yield _Lines(console, epochs)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        TextColumn("{task.percentage:3.0f}%"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(console, epochs, progress)


@contextmanager
def run_warnings() -> Iterator[None]:
    """A RunWarning becomes one line on standard error."""
    with warnings.catch_warnings():
        plain = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            if issubclass(category, RunWarning):
                sys.stderr.write(f"shiftlearn: warning: {message}\n")
            else:
                plain(message, category, *rest)

        warnings.showwarning = show  # type: ignore[assignment]
        warnings.simplefilter("always", RunWarning)
        yield


class _Lines:
    def __init__(self, console: Console, epochs: int) -> None:
        self.console, self.epochs = console, epochs
        self.began: float | None = None
        self.first = 1

    def say(self, text: str) -> None:
        self.console.out(text, highlight=False)

    def batch(self, epoch: int, share: float, loss: float, accuracy: float, samples_per_second: float) -> None:
        if self.began is None:
            self.began, self.first = time.perf_counter(), epoch

    def epoch(self, record: dict[str, Any]) -> None:
        if record["epoch"] % max(1, self.epochs // _LINES) and record["epoch"] != self.epochs:
            return
        left = self._left(record["epoch"])
        validation = record.get("validation_accuracy")
        parts = [
            f"epoch {record['epoch']:>{len(str(self.epochs))}}/{self.epochs}",
            f"loss {record['loss']:.4f}",
            f"training {record['train_accuracy']:.2%}",
            *([f"validation {validation:.2%}"] if validation is not None else []),
            f"{record['samples_per_second']:,.0f} samples/s",
            f"{left:.0f} s left",
        ]
        self.say("  ".join(parts))

    def _left(self, epoch: int) -> float:
        elapsed = time.perf_counter() - (self.began or time.perf_counter())
        return elapsed / (epoch - self.first + 1) * (self.epochs - epoch)


class _Bar(_Lines):
    def __init__(self, console: Console, epochs: int, progress: Progress) -> None:
        super().__init__(console, epochs)
        self.progress = progress
        self.task = progress.add_task("reading the data", total=epochs)

    def batch(self, epoch: int, share: float, loss: float, accuracy: float, samples_per_second: float) -> None:
        super().batch(epoch, share, loss, accuracy, samples_per_second)
        figures = [] if math.isnan(loss) else [f"loss {loss:.4f}"]
        figures += [] if math.isnan(accuracy) else [f"training {accuracy:.2%}"]
        text = "  ".join([f"epoch {epoch}/{self.epochs}", *figures, f"{samples_per_second:,.0f}/s"])
        self.progress.update(self.task, completed=epoch - 1 + share, description=text)
