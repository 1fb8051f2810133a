"""A page that shows a trained network at work: draw an image, and watch spikes race through the layers.

May import: anything but plots, export, estimator and cli.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import tasks
from ..errors import InputError
from ..models.model import Model
from ..nn import ShiftLinear, shift_layers
from ..nn.conv import fully_connected
from ..recipes import Recipe
from ..recipes.description import describe
from .bundle import bundle
from .quantise import dequantised, quantise

__all__ = ["Check", "Pictures", "check", "page", "require_images"]

_CODINGS = ("latency", "on-off", "binarised")


@dataclass(frozen=True)
class Pictures:
    """How the images of a dataset are made, so that drawings can be made the same way.

    Attributes:
        side: pixels, of a square.
        white: the value of full ink.
        box: pixels of the square that the ink is scaled to fit in.
        centre: what comes to lie in the middle, the "mass" of the ink or its "box".
        subject: what they show.
    """

    side: int
    white: int
    box: int
    centre: str
    subject: str


_PICTURES = {
    "mnist": Pictures(28, 255, 20, "mass", "a digit"),
    "fashion-mnist": Pictures(28, 255, 28, "box", "a piece of clothing"),
    "digits": Pictures(8, 16, 8, "box", "a digit"),
}


@dataclass(frozen=True)
class Check:
    """What rounding the weights to 8 bits does: of ``samples`` test samples, how many are classified differently."""

    accuracy: float
    samples: int
    changed: int


def check(model: Model, task: tasks.Task) -> Check:
    """Accuracy of the page's network on the test samples of a task, and how often it differs from the model."""
    samples, labels = task.take(task.test), task.labels[task.test]
    before, after = model.predict(samples), dequantised(model).predict(samples)
    return Check(float((after == labels).mean()), len(labels), int((before != after).sum()))


def page(model: Model, task: tasks.Task, found: Check) -> str:
    """The page, as HTML that needs no other file and no network.

    Args:
        model: of images of 28 by 28 or 8 by 8, fully connected.
        task: its dataset, with test samples; the page offers the first of each class.
        found: by :func:`check`; the page tells it.

    Raises:
        InputError: another kind of network.
    """
    pictures = require_images(model)
    recipe = model.recipe
    images = task.take(task.test)
    values = np.stack(images, 1) if isinstance(images, tuple) else np.asarray(images)
    labels, first = np.unique(task.labels[task.test], return_index=True)
    return bundle(
        {
            "dataset": recipe.dataset,
            "description": describe(recipe),
            "classes": model.classes,
            "pictures": asdict(pictures),
            "coding": {
                "name": recipe.coding,
                "exponent": recipe.coding_exponent,
                "levels": recipe.coding_levels,
                "columns": _columns(model),
                **_coding_in_words(recipe),
            },
            "layers": [_layer(layer) for layer in shift_layers(model.network)],
            "samples": [
                {"label": int(label), "pixels": _base64(values[index].astype(np.uint8))}
                for label, index in zip(labels, first, strict=True)
            ],
            "check": asdict(found),
        }
    )


def require_images(model: Model) -> Pictures:
    """How the images of a model are made; InputError if the playground cannot show it."""
    recipe = model.recipe
    kind = f"the playground shows fully connected networks of {', '.join(_PICTURES)}"
    if recipe.dataset not in _PICTURES:
        raise InputError(f"{kind}; this one is of {recipe.dataset}")
    if recipe.maps or not all(fully_connected(layer) for layer in model.network):
        raise InputError(f"{kind}; this one has convolutions (maps = {list(recipe.maps)})")
    if recipe.preprocess != "none" or recipe.coding not in _CODINGS:
        raise InputError(
            f"the playground codes pixels themselves, as {', '.join(_CODINGS)}; this network has "
            f"preprocess = {recipe.preprocess!r} and coding = {recipe.coding!r}"
        )
    return _PICTURES[recipe.dataset]


def _columns(model: Model) -> list[dict[str, Any]] | None:
    """For a table: the pixels that its scaling keeps, and the curve of each from pixels to [0, 1]."""
    if model.features is None:
        return None
    columns = model.features.as_dict()["columns"]
    return [
        {"pixel": pixel, "knots": column["knots"], "positions": column["positions"]}
        for pixel, column in enumerate(columns)
        if column["knots"]
    ]


def _coding_in_words(recipe: Recipe) -> dict[str, str]:
    """When a pixel fires: as a formula, and in short."""
    levels = f", in {recipe.coding_levels} levels" if recipe.coding_levels else ""
    ink, c = f"x its ink from 0 to 1{levels}", f"{recipe.coding_exponent:g}"
    if recipe.coding == "binarised":
        text = f"A pixel fires at t = 0.99 where x is 0.5 or more, and at t = −1.3 elsewhere, {ink}."
        return {"text": text, "hint": "Pixels without ink fire first, those with ink last."}
    if recipe.coding == "on-off":
        text = f"A pixel has two inputs, which fire at t = {c} (1 − x) and t = {c} x, {ink}."
        return {"text": text, "hint": "With ink the first input of a pixel is early, without it the second."}
    return {"text": f"A pixel fires at t = {c} (1 − x), {ink}.", "hint": "The more ink, the earlier a pixel fires."}


def _layer(layer: ShiftLinear) -> dict[str, Any]:
    small = quantise(layer)
    return {
        "inputs": layer.in_features,
        "outputs": layer.out_features,
        "levels": _base64(small.levels.numpy()),
        "scale": small.scale.tolist(),
        "delay": small.delay.tolist(),
    }


def _base64(values: npt.NDArray[np.generic]) -> str:
    return base64.b64encode(values.tobytes()).decode()
