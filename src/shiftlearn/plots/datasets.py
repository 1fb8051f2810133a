"""Samples of an image dataset beside their spike times, in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.images.files import DATASETS, Split, StrPath, load
from ..errors import InputError, unknown_name
from ..registry import PREPROCESSING

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

__all__ = ["MOST", "colours", "grid", "show"]

MOST = 1000
"""The most samples in one picture."""

# From late to early, ever lighter, so that the order is seen without colours too.
_RAMP = ((34, 26, 74), (84, 31, 118), (146, 43, 112), (207, 68, 84), (243, 124, 48), (252, 194, 80), (255, 251, 210))
_SILENT = (0, 0, 0)
_PAPER, _INK, _FAINT = (255, 255, 255), (34, 34, 34), (125, 125, 125)

_MARGIN, _GAP, _BETWEEN, _LINE = 24, 20, 4, 24
_TITLE, _TEXT, _SMALL = 20, 15, 13
_BOX = 112  # pixels of an image's longer side; less where that is no whole multiple
_BAR = (300, 14)
_HEAD, _FOOT = 64, 54
_ASPECT = 1.5


def show(
    name: str,
    split: Split = "train",
    count: int = 25,
    seed: int = 0,
    coding: str = "latency",
    preprocess: str = "none",
    exponent: float = 2.0,
    data_dir: StrPath | None = None,
) -> Image.Image:
    """Draw random samples of a dataset: each as it is stored, and the spike times that a network receives.

    Args:
        name: a dataset; split, data_dir: as in :func:`shiftlearn.data.load`.
        count: samples to draw without replacement, 1 to 1000.
        seed: which samples, 0 or more; the same seed draws the same ones.
        coding: one that gives a spike time per pixel: "latency" or "binarised"; exponent: that of "latency".
        preprocess: "none", or "edges" to code :func:`shiftlearn.coding.edges.edges` of the images.

    Returns:
        An RGB picture.

    Raises:
        InputError: an argument is not what it must be, the dataset cannot be read, or "edges" lack scikit-image.
    """
    if preprocess not in PREPROCESSING:
        raise unknown_name("preprocess", preprocess, PREPROCESSING)
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}")
    if not 1 <= count <= MOST:
        raise InputError(f"count must be 1 to {MOST}, got {count}")
    levels = _spike_times(np.arange(256, dtype=np.uint8)[None], coding, exponent)
    images, labels = load(name, split, data_dir)
    if count > len(images):
        raise InputError(f"count must be at most {len(images)}, the {split} samples of {name}, got {count}")
    chosen = np.random.default_rng(seed).choice(len(images), count, replace=False)
    pixels = inputs = images[chosen]
    if preprocess == "edges":
        from ..coding.edges import edges

        inputs = edges(pixels)
    dataset = DATASETS[name]
    of_edges = "of their edges " if preprocess == "edges" else ""
    return grid(
        pixels,
        _spike_times(inputs, coding, exponent),
        [dataset.classes[label] for label in labels[chosen]],
        notes=[f"#{index}" for index in chosen],
        title=f"{dataset.title}, {split}",
        subtitle=f"Left: pixels. Right: spike times {of_edges}({coding} coding).",
        levels=levels,
    )


def grid(
    images: npt.NDArray[np.uint8],
    z: npt.NDArray[np.float32],
    names: Sequence[str],
    notes: Sequence[str] | None = None,
    title: str = "",
    subtitle: str = "",
    levels: npt.NDArray[np.float32] | None = None,
) -> Image.Image:
    """Draw images beside their spike times, in rows, with a legend of the colours.

    Args:
        images: (n, rows, columns), n of 1 or more.
        z: (n, rows, columns) spike times, inf where there is no spike.
        names: what is written below each pair; notes: the same in grey, at its right.
        title, subtitle: two lines above.
        levels: every z that may occur, of any shape: colours span their range; default: that of ``z``.
    """
    from PIL import Image, ImageDraw

    count, rows, columns = images.shape
    scale = max(1, _BOX // max(rows, columns))
    width, height = columns * scale, rows * scale
    tile_width, tile_height = 2 * width + _BETWEEN, height + _LINE
    # As many in a row as give the picture its aspect, then spread evenly.
    across = round(math.sqrt(count * _ASPECT * (tile_height + _GAP) / (tile_width + _GAP)))
    across = min(count, max(1, across))
    down = -(-count // across)
    body = across * (tile_width + _GAP) - _GAP
    text = max(_font(_TITLE).getlength(title), _font(_TEXT).getlength(subtitle))
    inner = max(body, _BAR[0] + 170, math.ceil(text))
    foot = _MARGIN + _HEAD + down * (tile_height + _GAP)
    picture = Image.new("RGB", (inner + 2 * _MARGIN, foot + _FOOT + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, _MARGIN), title, _INK, _font(_TITLE), anchor="lt")
    draw.text((_MARGIN, _MARGIN + 30), subtitle, _FAINT, _font(_TEXT), anchor="lt")

    first, last = _span(z if levels is None else levels)
    maps = colours(z, first, last)
    for k in range(count):
        x = _MARGIN + k % across * (tile_width + _GAP)
        y = _MARGIN + _HEAD + k // across * (tile_height + _GAP)
        for offset, values in ((0, images[k]), (width + _BETWEEN, maps[k])):
            tile = Image.fromarray(values).resize((width, height), Image.Resampling.NEAREST)
            picture.paste(tile.convert("RGB"), (x + offset, y))
        note = notes[k] if notes else ""
        room = tile_width - _font(_SMALL).getlength(note) - 8
        base = y + height + 17
        draw.text((x, base), _cut(names[k], room), _INK, _font(_TEXT), anchor="ls")
        draw.text((x + tile_width, base), note, _FAINT, _font(_SMALL), anchor="rs")
    _legend(draw, picture, (_MARGIN, foot + 6), first, last, silence=bool(np.isinf(z).any()))
    return picture


def colours(z: npt.NDArray[np.float32], first: float, last: float) -> npt.NDArray[np.uint8]:
    """Spike times as colours: the earlier the lighter, even in t = ln z, and black for inf.

    Args:
        z: any shape.
        first, last: the t of the lightest and of the darkest colour; t beyond get the nearest.

    Returns:
        uint8 of the shape of ``z`` and a last dimension of 3: red, green, blue.
    """
    spikes = np.isfinite(z)
    earliness = (last - np.log(np.where(spikes, z, 1.0))) / max(last - first, 1e-12)
    places = np.linspace(0, 1, len(_RAMP))
    channels = [np.interp(earliness, places, channel) for channel in zip(*_RAMP, strict=True)]
    rgb = np.where(spikes[..., None], np.stack(channels, axis=-1).round(), _SILENT)
    result: npt.NDArray[np.uint8] = rgb.astype(np.uint8)
    return result


def _spike_times(images: npt.NDArray[np.uint8], coding: str, exponent: float) -> npt.NDArray[np.float32]:
    """z of the shape of ``images``; an unknown coding or a bad exponent is an InputError."""
    import torch

    from ..coding import encoder

    z = encoder(coding, exponent)(torch.from_numpy(images).float() / 255)
    if not isinstance(z, torch.Tensor) or z.shape != images.shape:
        raise InputError(f"coding must give one spike time per pixel to be drawn, {coding!r} does not")
    result: npt.NDArray[np.float32] = z.numpy()
    return result


def _span(z: npt.NDArray[np.float32]) -> tuple[float, float]:
    """The first and the last t = ln z of the spikes; (0, 0) of none."""
    t = np.log(z[np.isfinite(z)])
    return (float(t.min()), float(t.max())) if t.size else (0.0, 0.0)


def _legend(
    draw: ImageDraw.ImageDraw, picture: Image.Image, at: tuple[int, int], first: float, last: float, silence: bool
) -> None:
    from PIL import Image

    (x, y), (width, height) = at, _BAR
    font = _font(_SMALL)
    for text, base in (("early to late", 12), ("t / tau", 29), ("z", 45)):
        draw.text((x, y + base), text, _FAINT, font, anchor="ls")
    x += 108
    times = np.exp(np.linspace(first, last, width, dtype=np.float32))
    strip = np.broadcast_to(colours(times, first, last), (height, width, 3))
    picture.paste(Image.fromarray(np.ascontiguousarray(strip)), (x, y))
    marks = np.linspace(first, last, 5 if last > first else 1)
    for k, t in enumerate(marks):
        place = x + round(k * (width - 1) / 4)
        draw.line((place, y + height, place, y + height + 3), _FAINT)
        draw.text((place, y + 29), f"{t:.2f}", _INK, font, anchor="ms")
        draw.text((place, y + 45), f"{math.exp(t):.2f}", _INK, font, anchor="ms")
    if silence:
        x += width + 28
        draw.rectangle((x, y, x + height - 1, y + height - 1), _SILENT)
        draw.text((x + height + 6, y + height - 2), "silent", _INK, font, anchor="ls")


def _cut(text: str, room: float) -> str:
    """The text, or as much of its beginning as fits into ``room`` pixels."""
    if _font(_TEXT).getlength(text) <= room:
        return text
    while text and _font(_TEXT).getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
