"""What a person reads at the end of a run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import typer

from .. import records
from ..errors import InputError
from .printing import print_table

_WIDEST = 40  # characters of a histogram's bar


def print_summary(folder: Path, metrics: dict[str, Any]) -> None:
    """The figures of a finished run, by its kind.

    Raises:
        InputError: they are no figures.
    """
    try:
        _print(folder, metrics)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{folder}: the results are damaged: {type(error).__name__}: {str(error)[:200]}") from error


def _print(folder: Path, metrics: dict[str, Any]) -> None:
    if "success_rate" in metrics:
        _repeated(metrics)
    elif "accuracy_mean" in metrics:
        _cross_validated(folder, metrics)
    else:
        typer.echo(
            f"test accuracy {metrics['test_accuracy']:.2%} on {metrics['test_samples']} samples "
            f"({metrics['silent_samples']} silent, {metrics['tied_samples']} tied), "
            f"{metrics['epochs']} epochs in {metrics['train_seconds']:.0f} s, seed {metrics['seed']}"
        )
        if "frozen_in_epoch" in metrics:
            typer.echo(f"the run ended in epoch {metrics['frozen_in_epoch']}, when a delay fell to 0 or below")
        if "mean_absolute_error" in metrics:
            _of_trials(metrics)
        typer.echo(f"check it with: shiftlearn evaluate {folder}")


def _of_trials(metrics: dict[str, Any]) -> None:
    from rich.table import Table

    typer.echo(f"training accuracy {metrics['train_accuracy']:.2%}; on the test trials:")
    table = Table("", "accuracy", "mean absolute error")
    own = {"accuracy": metrics["test_accuracy"], "mean_absolute_error": metrics["mean_absolute_error"]}
    for name, found in {"shiftlearn": own, **metrics["compared"]}.items():
        table.add_row(name, f"{found['accuracy']:.2%}", f"{found['mean_absolute_error']:.2f}")
    print_table(table)


def _repeated(metrics: dict[str, Any]) -> None:
    low, high = metrics["success_interval_95"]
    typer.echo(
        f"solved {metrics['solved']} of {metrics['repeats']} runs within {metrics['epochs']} epochs: "
        f"{metrics['success_rate']:.1%} (95 % interval {low:.1%} to {high:.1%}), {metrics['train_seconds']:.0f} s"
    )
    typer.echo(f"still solved after the last epoch: {metrics['solved_at_the_end']}")
    typer.echo(
        f"frozen because a delay fell to 0 or below: {metrics['frozen']}, "
        f"of them {metrics['frozen_unsolved']} before they had solved it"
    )
    if not metrics["solved"]:
        return
    typer.echo(f"epochs to solution (median {metrics['median_epochs_to_solution']:g}):")
    most = max(count for _, _, count in metrics["histogram"])
    for first, after, count in metrics["histogram"]:
        typer.echo(f"{first:5} to {after - 1:3}  {'█' * round(_WIDEST * count / most):{_WIDEST}}  {count}")


def _cross_validated(folder: Path, metrics: dict[str, Any]) -> None:
    from rich.table import Table

    with open(folder / "classes.csv", encoding="utf-8", newline="") as file:
        rows = [
            {k: v if k == "class" else int(v) if k == "samples" else float(v) if v else None for k, v in row.items()}
            for row in csv.DictReader(file)
        ]
    print_table(records.table(rows))
    table = Table("", "mean accuracy", "sd over folds")
    for name, found in {"shiftlearn": metrics, **metrics["compared"]}.items():
        table.add_row(name, f"{found['accuracy_mean']:.2%}", f"{found['accuracy_sd']:.2%}")
    print_table(table)
    typer.echo(
        f"{metrics['repeats']} x {metrics['folds']} folds in {metrics['train_seconds']:.0f} s, seed {metrics['seed']} "
        f"({metrics['silent_samples']} silent, {metrics['tied_samples']} tied of {metrics['test_samples']} answers)"
    )
