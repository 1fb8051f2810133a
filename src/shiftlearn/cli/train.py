"""``shiftlearn train`` and ``shiftlearn evaluate``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .. import recipes
from ..errors import InputError, counted, unknown_name
from ..models import class_figures
from ..models.evaluation import evaluate as measure
from ..models.evaluation import task_of
from ..models.model import load
from ..models.stored import CONFIG, read_config
from ..recipes.description import describe
from ..runs.folder import Claim, hold, hold_next
from ..runs.results import read_metrics
from ..training import callbacks, run
from ..training.cross_validation import cross_validate
from ..training.distributed import World, join
from ..training.health import explained_memory
from ..training.repeats import repeat
from .printing import Voice
from .progress import reporter, run_warnings
from .summary import print_summary


@dataclass(frozen=True)
class Plan:
    """Whether one network is trained, or many."""

    folds: int | None = None
    repeats: int | None = None
    compare: bool = True
    networks: int | None = None

    def check(self, device: str, processes: int) -> None:
        """InputError where this cannot be."""
        if self.repeats is not None and self.folds is None:
            raise InputError(
                "--repeats needs --folds: it counts partitions of a cross-validation (many networks of XOR: --networks)"
            )
        if self.networks is not None and self.folds is not None:
            raise InputError("--networks (of XOR) and --folds (of a table) exclude each other")
        if (self.folds or self.networks) is None:
            return
        if device != "cpu":
            raise InputError(f"--folds and --networks run on the CPU, got --device {device}")
        if processes > 1:
            raise InputError(f"--folds and --networks run in one process, got {processes}")


@dataclass(frozen=True)
class _Job:
    """What the options say."""

    recipe: recipes.Recipe
    seed: int
    folder: Path
    claim: Claim | None  # None: the run is finished
    plan: Plan
    changed: tuple[str, ...] = ()
    metrics: dict[str, Any] | None = None  # of a run that is finished


def train(
    name: str | None,
    settings: list[str],
    epochs: int | None,
    seed: int | None,
    device: str,
    threads: int | None,
    data_dir: str | None,
    out: str | None,
    resume: str | None,
    table: dict[str, Any],
    plan: Plan,
    log: str | None,
    voice: Voice,
) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)
    with join(device) as (world, own), ExitStack() as held:
        job = world.first(lambda: _job(name, settings, epochs, seed, out, resume, table, plan, held))
        world.first(lambda: job.plan.check(device, world.size))
        board = world.first(lambda: _board(job, log))
        if not world.is_writer:
            board, voice = None, Voice(quiet=True)
        _run(job, world, own, data_dir, resume is not None, board, voice)
    if world.size > 1:
        # Threads of the process group may still want the interpreter while it shuts down, and then abort the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _job(
    name: str | None,
    settings: list[str],
    epochs: int | None,
    seed: int | None,
    out: str | None,
    resume: str | None,
    table: dict[str, Any],
    plan: Plan,
    held: ExitStack,
) -> _Job:
    """What is to be done; the run folder is claimed until ``held`` is closed."""
    if (name is None) == (resume is None):
        raise InputError(f"name a recipe ({', '.join(recipes.names())}) or a CSV file, or --resume a run folder")
    given = settings or table or {epochs, seed, out} != {None}
    if resume is not None and (given or plan != Plan(compare=plan.compare)):
        raise InputError(
            "--resume goes by the settings of the run: leave out --set, --epochs, --seed, --out, --time-unit, --target "
            "and what else is about CSV files, --folds, --repeats and --networks"
        )
    if resume is not None:
        folder = Path(resume)
        claim, config, metrics = run.take_up(folder, held)
        if config.folds:
            plan = Plan(config.folds, config.repeats, config.compare)
        elif config.repeats:
            plan = Plan(networks=config.repeats)
        return _Job(config.recipe, config.seed, folder, claim, plan, metrics=metrics)
    assert name is not None
    seed = seed or 0
    changed = read_settings(settings, epochs)
    recipe = recipes.override(_recipe(name, table), changed)
    default = Path("runs") / f"{Path(name).stem}-seed{seed}"
    claim = held.enter_context(hold(Path(out), new=True) if out else hold_next(default))
    return _Job(recipe, seed, claim.folder, claim, plan, tuple(changed))


def _board(job: _Job, log: str | None) -> callbacks.TensorBoard | None:
    """What --log asks for."""
    if log is None:
        return None
    if log != "tensorboard":
        raise unknown_name("--log", log, ["tensorboard"])
    if (job.plan.folds or job.plan.networks) is not None:
        raise InputError("--log follows the epochs of one network: leave it out with --folds and --networks")
    return callbacks.TensorBoard(job.folder)


def _run(
    job: _Job,
    world: World,
    device: str,
    data_dir: str | None,
    resume: bool,
    board: callbacks.TensorBoard | None,
    voice: Voice,
) -> None:
    recipe, seed, folder, plan, metrics = job.recipe, job.seed, job.folder, job.plan, job.metrics

    def announce(say: Callable[[str], None], found: recipes.Recipe, account: Sequence[str] = ()) -> None:
        if not resume:  # an older run has stored a description that also told settings
            say(f"recipe: {found.description}")
        say(describe(found))
        if job.changed:
            say("changed: " + ", ".join(f"{key} = {found.as_dict()[key]}" for key in job.changed))
        say(f"run folder: {folder}")
        if board is not None:
            say(f"watch it with: tensorboard --logdir {shlex.quote(str(board.folder.parent))}")
        if world.size > 1:
            say(f"processes: {world.size}")
        for line in account:
            say(line)

    if metrics is not None:
        announce(voice.say, recipe)
        voice.say("this run is finished; nothing is left to do")
        _show(folder, metrics, voice)
        return
    assert job.claim is not None
    try:
        with explained_memory(recipe), run_warnings(), ExitStack() as stack:
            watchers: list[callbacks.Reporter] = []
            ready = partial(announce, voice.say)
            if voice.talks:
                display = stack.enter_context(reporter(recipe.epochs))
                watchers.append(display)
                ready = partial(announce, display.say)
            if board is not None:
                watchers.append(stack.enter_context(board))
            watch = callbacks.Several(watchers)
            if plan.folds is not None:
                repeats = 1 if plan.repeats is None else plan.repeats
                metrics = cross_validate(recipe, job.claim, seed, plan.folds, repeats, watch, plan.compare, ready)
            elif plan.networks is not None:
                metrics = repeat(recipe, job.claim, seed, plan.networks, watch, ready)
            elif resume:
                metrics = run.resume(job.claim, watch, device, data_dir, world, ready)
            else:
                metrics = run.start(recipe, job.claim, seed, watch, device, data_dir, world, ready)
            if board is not None:
                assert metrics is not None
                board.end(metrics)
    except (KeyboardInterrupt, SystemExit) as stop:  # Ctrl-C; SIGTERM
        if world.is_writer:
            print(f"\ninterrupted{_how_to_go_on(folder, board)}", file=sys.stderr)
        sys.exit(stop.code if isinstance(stop, SystemExit) else 130)
    except BrokenPipeError:
        raise
    except OSError as error:
        where, why = error.filename or folder, error.strerror or error
        raise InputError(f"{where}: {why}; the run has stopped{_how_to_go_on(folder, board)}") from error
    assert metrics is not None
    _show(folder, metrics, voice)


def _show(folder: Path, metrics: dict[str, Any], voice: Voice) -> None:
    voice.result({"run": str(folder), **metrics})
    if voice.talks:
        print_summary(folder, metrics)


def _how_to_go_on(folder: Path, board: callbacks.TensorBoard | None) -> str:
    log = "" if board is None else " --log tensorboard"
    begun = (folder / CONFIG).is_file()
    return f"; go on with: shiftlearn train --resume {shlex.quote(str(folder))}{log}" if begun else ""


def _recipe(name: str, table: dict[str, Any]) -> recipes.Recipe:
    """A recipe by name or file; for a CSV file, the recipe "table", with the settings that say how it is read."""
    path = Path(name)
    if name in recipes.names() or path.suffix == ".toml" or not (path.suffix or path.exists()):
        for option in table:
            what = "names a column of" if option == "target" else "says how to read"
            raise InputError(f"--{option} {what} a CSV file, but {name} is a recipe")
        return recipes.read(name)
    return recipes.override(recipes.read("table"), {"dataset": str(path.absolute()), **table})


def evaluate(run: str, data_dir: str | None, voice: Voice) -> None:
    folder = Path(run)
    config, metrics = read_config(folder), read_metrics(folder)
    if config.folds or config.repeats:
        if metrics is None:
            raise InputError(f"{run!r} is not finished; go on with `shiftlearn train --resume {run}`")
        _show(folder, metrics, voice)
        return
    model = load(folder)
    result = measure(model, task_of(model, data_dir, ["test"]))
    classes = result.per_class(model.classes)
    voice.table(class_figures.table(classes))
    voice.say(
        f"test accuracy {result.accuracy:.4%} ({counted(len(result.labels), 'sample')} of {model.recipe.dataset})"
    )
    if model.recipe.spike_trains:
        voice.say(f"mean absolute error {result.mean_absolute_error:.3f}")
    voice.say(f"silent samples {result.silent}, tied samples {result.ties}")
    stored = None if metrics is None else metrics["test_accuracy"]
    if stored is not None:
        same = "the same as" if stored == result.accuracy else "NOT the same as"
        voice.say(f"{same} the accuracy stored by the run, {stored:.4%}")
    voice.result(
        {
            "run": run,
            "test_accuracy": result.accuracy,
            "stored_accuracy": stored,
            "test_samples": len(result.labels),
            "silent_samples": result.silent,
            "tied_samples": result.ties,
            **({"mean_absolute_error": result.mean_absolute_error} if model.recipe.spike_trains else {}),
            "classes": classes,
        }
    )
    if stored not in (None, result.accuracy):
        sys.exit(1)


def read_settings(pairs: list[str], epochs: int | None) -> dict[str, Any]:
    """What --set and --epochs say."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--set takes KEY=VALUE, got {pair!r}")
        settings[key.strip()] = value.strip()
    if epochs is not None:
        settings["epochs"] = epochs
    return settings
