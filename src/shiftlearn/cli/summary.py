"""What a person reads at the end of a run."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path
from typing import Any

from ..errors import InputError, counted
from ..models import class_figures
from ..models.stored import read_config
from ..recipes.network import network_name
from ..runs.results import read_log
from .printing import print_table

_WIDEST = 40  # characters of a histogram's bar


def print_summary(folder: Path, metrics: dict[str, Any]) -> None:
    """The figures of a finished run, by its kind, and how to go on.

    Raises:
        InputError: they are no figures.
    """
    try:
        _print(folder, metrics)
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{folder}: the results are damaged: {type(error).__name__}: {str(error)[:200]}") from error


def _print(folder: Path, metrics: dict[str, Any]) -> None:
    features = read_config(folder).features
    if features and features.dropped:
        print(f"left out, since they do not vary: {', '.join(features.dropped)}")
    if "success_rate" in metrics:
        _repeated(metrics)
        commands = {}
    elif "accuracy_mean" in metrics:
        _cross_validated(folder, metrics)
        commands = {"plot": "confusion"}
    else:
        _trained(folder, metrics)
        commands = {"evaluate": "", "plot": "curves"}
    written = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    _line("files in", f"{folder}: {', '.join(written)}")
    for command, kind in commands.items():
        _line(f"{command} it", f"shiftlearn {command} {shlex.quote(str(folder))} {kind}".rstrip())
    _line("compare it", f"shiftlearn runs {shlex.quote(str(folder.parent))}")


def _line(name: str, text: str) -> None:
    print(f"{name:13} {text}")


def _trained(folder: Path, metrics: dict[str, Any]) -> None:
    _line(
        "test accuracy",
        f"{metrics['test_accuracy']:.2%} on {counted(metrics['test_samples'], 'sample')} "
        f"({metrics['silent_samples']} silent, {metrics['tied_samples']} tied)",
    )
    last = (read_log(folder) or [{}])[-1]
    for name, key in (("validation", "validation_accuracy"), ("training", "train_accuracy")):
        if key in last:
            _line(name, f"{last[key]:.2%} in epoch {last['epoch']}")
    recipe = read_config(folder).recipe
    _line("network", f"{network_name(recipe)} on {recipe.dataset}, seed {metrics['seed']}")
    _line("learning", f"rule {recipe.rule}, feedback {recipe.feedback}, modulator {recipe.modulator}")
    _line("time", f"{counted(metrics['epochs'], 'epoch')} in {metrics['train_seconds']:.0f} s")
    if "frozen_in_epoch" in metrics:
        print(f"the run ended in epoch {metrics['frozen_in_epoch']}, when a delay fell to 0 or below")
    if "mean_absolute_error" in metrics:
        _of_trials(metrics)


def _of_trials(metrics: dict[str, Any]) -> None:
    from rich.table import Table

    print(f"training accuracy {metrics['train_accuracy']:.2%}; on the test trials:")
    table = Table("", "accuracy", "mean absolute error")
    own = {"accuracy": metrics["test_accuracy"], "mean_absolute_error": metrics["mean_absolute_error"]}
    for name, found in {"shiftlearn": own, **metrics["compared"]}.items():
        table.add_row(name, f"{found['accuracy']:.2%}", f"{found['mean_absolute_error']:.2f}")
    print_table(table)


def _repeated(metrics: dict[str, Any]) -> None:
    low, high = metrics["success_interval_95"]
    print(
        f"solved {metrics['solved']} of {counted(metrics['repeats'], 'run')} within "
        f"{counted(metrics['epochs'], 'epoch')}: {metrics['success_rate']:.1%} "
        f"(95 % interval {low:.1%} to {high:.1%}), {metrics['train_seconds']:.0f} s"
    )
    print(f"still solved after the last epoch: {metrics['solved_at_the_end']}")
    print(
        f"frozen because a delay fell to 0 or below: {metrics['frozen']}, "
        f"of them {metrics['frozen_unsolved']} before they had solved it"
    )
    if not metrics["solved"]:
        return
    print(f"epochs to solution (median {metrics['median_epochs_to_solution']:g}):")
    most = max(count for _, _, count in metrics["histogram"])
    for first, after, count in metrics["histogram"]:
        print(f"{first:5} to {after - 1:3}  {'█' * round(_WIDEST * count / most):{_WIDEST}}  {count}")


def _cross_validated(folder: Path, metrics: dict[str, Any]) -> None:
    from rich.table import Table

    with open(folder / "classes.csv", encoding="utf-8", newline="") as file:
        rows = [
            {k: v if k == "class" else int(v) if k == "samples" else float(v) if v else None for k, v in row.items()}
            for row in csv.DictReader(file)
        ]
    print_table(class_figures.table(rows))
    table = Table("", "mean accuracy", "sd over folds")
    for name, found in {"shiftlearn": metrics, **metrics["compared"]}.items():
        table.add_row(name, f"{found['accuracy_mean']:.2%}", f"{found['accuracy_sd']:.2%}")
    print_table(table)
    print(
        f"{metrics['repeats']} x {metrics['folds']} folds in {metrics['train_seconds']:.0f} s, seed {metrics['seed']} "
        f"({metrics['silent_samples']} silent, {metrics['tied_samples']} tied of "
        f"{counted(metrics['test_samples'], 'answer')})"
    )
