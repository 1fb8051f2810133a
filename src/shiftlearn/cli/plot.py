"""``shiftlearn plot``: pictures of what a network learned and does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import typer

from .. import plots
from ..errors import InputError, counted, unknown_name
from ..files import write
from ..models import class_figures
from ..models.build import of_recipe
from ..models.evaluation import task_of
from ..models.model import Model, load
from ..models.stored import Config, read_config
from ..nn import shift_layers
from ..plots.figures import PICTURES, picture, require_matplotlib
from ..runs.results import LOG, read_log, read_predictions
from .predict import Values, read
from .target import target

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_LARGEST = 10**6  # number of a neuron


@dataclass(frozen=True)
class _Wish:
    """A run folder, what is known of it, and the options."""

    folder: Path
    config: Config
    sample: int | None
    file: str | None
    layer: int | None
    neurons: list[int] | None
    data_dir: str | None

    @property
    def name(self) -> str:
        """Of the run, in titles and files."""
        return self.folder.resolve().name

    @property
    def classes(self) -> tuple[str, ...]:
        return self.config.classes or tuple(map(str, range(self.config.recipe.layers[-1])))


def plot(
    run: str,
    kind: str,
    out: str | None,
    sample: int | None,
    file: str | None,
    layer: int | None,
    neurons: str | None,
    dark: bool,
    data_dir: str | None,
) -> None:
    """Draw one kind of picture of a run into a file.

    Raises:
        InputError: an unknown kind, an option that is not for it, or a run that does not have what it shows.
    """
    if kind not in _KINDS:
        raise unknown_name("kind", kind, _KINDS)
    draw, takes = _KINDS[kind]
    options = {"sample": sample, "input": file, "layer": layer, "neurons": neurons, "data-dir": data_dir}
    for option, value in options.items():
        if value is not None and option not in takes:
            kinds = ", ".join(other for other, (_, taken) in _KINDS.items() if option in taken)
            raise InputError(f"--{option} is for {kinds}, not for {kind}")
    folder = Path(run)
    wish = _Wish(folder, read_config(folder), sample, file, layer, _numbers(neurons), data_dir)
    path = target(f"{wish.name}-{kind}.png" if out is None else out, *PICTURES)
    require_matplotlib()
    if wish.config.repeats and not wish.config.folds:
        raise InputError(f"{run!r} holds repeated runs, which keep nothing to draw")
    with plots.style(dark):
        content = picture(draw(wish), path.suffix.lower())
    write(path, content)
    typer.echo(f"drawn: {path}")


def _numbers(text: str | None) -> list[int] | None:
    """``0,3,8-11`` as numbers."""
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"--neurons takes numbers from 0 and ranges of them, such as 0,3,8-11, got {text!r}")
        if int(last or first) > _LARGEST:
            raise InputError(f"--neurons must be at most {_LARGEST}, got {last or first}")
        found += range(int(first), int(last or first) + 1)
    return found


def _curves(wish: _Wish) -> Figure | SubFigure:
    if wish.config.folds:
        raise InputError(f"{str(wish.folder)!r} is a cross-validation, which keeps no learning curves")
    lines = read_log(wish.folder)
    if not lines:
        raise InputError(f"{str(wish.folder)!r} holds no epoch in {LOG}")
    try:
        for line in lines:
            for key in ("epoch", "loss", "train_accuracy"):
                line[key] + 0
    except (KeyError, TypeError) as error:
        raise InputError(f"{wish.folder / LOG} is damaged: {type(error).__name__}: {error}") from None
    return plots.curves(lines, title=f"{wish.name}: learning curves")


def _confusion(wish: _Wish) -> Figure | SubFigure:
    found = read_predictions(wish.folder)
    title = f"{wish.name}: {found.accuracy:.2%} of {counted(len(found.labels), 'test answer', ',')} right"
    return plots.confusion(found.confusion(), wish.classes, title=title)


def _roc(wish: _Wish) -> Figure | SubFigure:
    found = read_predictions(wish.folder)
    points = class_figures.roc(found.labels, found.scores, wish.classes)
    return plots.roc(points, title=f"{wish.name}: ROC curve of each class against the rest, test samples")


def _time(wish: _Wish) -> Figure | SubFigure:
    found = read_predictions(wish.folder)
    recipe, latest = wish.config.recipe, None
    if not recipe.spike_trains:
        encode = of_recipe(recipe, dense=True)
        z = encode(torch.linspace(0, 1, 256)[:, None])
        assert isinstance(z, torch.Tensor)
        latest = float(z[z.isfinite()].max().log())
    title = f"{wish.name}: how early can one stop? Test samples"
    return plots.decision_time(found.times, found.labels, latest, title=title)


def _weights(wish: _Wish) -> Figure | SubFigure:
    return plots.weights(load(wish.folder), title=f"{wish.name}: shifts and delays")


def _fields(wish: _Wish) -> Figure | SubFigure:
    return plots.fields(load(wish.folder), wish.neurons)


def _raster(wish: _Wish) -> Figure | SubFigure:
    model = load(wish.folder)
    x, name = _sample(wish, model)
    return plots.raster(model, x, title=f"{wish.name}: {name}, {_answer(model, x)}")


def _potential(wish: _Wish) -> Figure | SubFigure:
    model = load(wish.folder)
    x, name = _sample(wish, model)
    number = len(shift_layers(model.network)) if wish.layer is None else wish.layer
    title = f"{wish.name}, layer {number}: {name}, {_answer(model, x)}"
    return plots.potential(model, x, wish.layer, wish.neurons, title=title)


def _answer(model: Model, x: Values) -> str:
    if np.isinf(model.z_out(x)).all():
        return "no output neuron fires"
    return f"answered {model.classes[int(model.predict(x)[0])]}"


def _sample(wish: _Wish, model: Model) -> tuple[Values, str]:
    """One sample, and what it is called: of a file, or of the data the run is tested with."""
    number = wish.sample or 0
    if wish.file is not None:
        [(names, values)] = read(model, [wish.file])
        _require_within(number, len(names), wish.file)
        one = slice(number, number + 1)
        sample = tuple(column[one] for column in values) if isinstance(values, list | tuple) else values[one]
        return sample, names[number]
    # A cross-validation tests with every row of its table.
    task = task_of(model, wish.data_dir, [] if wish.config.folds else ["test"])
    chosen = np.arange(len(task.labels)) if wish.config.folds else task.test
    of = model.recipe.dataset if wish.config.folds else f"the test data of {model.recipe.dataset}"
    _require_within(number, len(chosen), of)
    row = chosen[number : number + 1]
    return task.take(row), f"sample {number} of {of}, class {task.classes[int(task.labels[row[0]])]}"


def _require_within(number: int, count: int, of: str) -> None:
    if not 0 <= number < count:
        raise InputError(f"--sample must lie in 0 to {count - 1}, the samples of {of}, got {number}")


_OF_A_SAMPLE = ("sample", "input", "data-dir")
_KINDS: dict[str, tuple[Callable[[_Wish], Figure | SubFigure], tuple[str, ...]]] = {
    "curves": (_curves, ()),
    "raster": (_raster, _OF_A_SAMPLE),
    "potential": (_potential, (*_OF_A_SAMPLE, "layer", "neurons")),
    "weights": (_weights, ()),
    "confusion": (_confusion, ()),
    "roc": (_roc, ()),
    "fields": (_fields, ("neurons",)),
    "time": (_time, ()),
}
