"""Recipes: every setting of an experiment, one TOML file each.

May import: registry, files, errors.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError, nearest, unknown_name
from ..registry import (
    BASELINES,
    CODINGS,
    DECIMALS,
    ELSEWHERE,
    FEEDBACK,
    HEADERS,
    INITIALISATIONS,
    LOSSES,
    MISSING,
    MODULATORS,
    PREPROCESSING,
    READOUTS,
    SCALINGS,
    SCHEDULES,
    SPIKE_FILES,
    TIME_UNITS,
)
from .paths import absolute

__all__ = ["Recipe", "names", "override", "read"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    ``layers`` counts the inputs first; 0 as the first or last stands for what the data has. ``maps`` are those of
    convolutions between a square image and the other layers, each with windows of ``kernel`` by ``kernel``,
    ``padding`` pixels of silence around and pooling of ``pool`` by ``pool`` after it (1: none). With
    ``coding_levels`` values come in so many steps (:func:`shiftlearn.coding.coarse`; 0: as they are). ``init_scale``
    has one entry per layer of synapses, convolutions first, and so have ``init_share`` and ``init_spread``, which
    take its place with ``init = "data"`` (:func:`shiftlearn.nn.initialise`). ``lr_scale`` multiplies the learning
    rate of the shifts, one entry for all layers or one each; so is ``homeostasis``, its target (0: none), to which it
    works in every ``homeostasis_every``-th step of an epoch. ``horizon`` is the z that stands for a silent class in
    the loss; ``ordinal`` spreads its target over neighbouring classes; ``baseline`` and ``exploration`` are those of
    the modulator "reward" (:class:`shiftlearn.nn.RewardLoss`).

    What only training has: ``translate`` moves each image by up to so many pixels; ``jitter`` (in τ) and ``deletion``
    (a probability) are those of :class:`shiftlearn.nn.SpikeNoise`, of the inputs first and then of each hidden layer's
    spikes, or one entry for all. ``weight_decay``, times the learning rate, is the share that each step takes off the
    shifts, and off feedback matrices that are "aligning". With ``averaging`` the trained weights are an exponential
    average of those after each step, which keeps that share of itself at each (0: the last weights).

    For tables: ``scaling`` and ``test_share``; of a CSV file ``target``, ``header``, ``separator`` ("": guessed),
    ``encoding``, ``missing`` (cells), ``decimal``, ``drop`` (columns) and ``row_numbers``, as
    :func:`shiftlearn.data.tables.read_csv` takes them. For spike trains: ``trials`` (to train on),
    ``test_trials``, ``templates`` (a file with features, "" for new ones), ``test_file``, ``time_unit`` of the files
    (s, ms or us), ``tau`` in s, and ``cue``, the initial weights of a synapse that spikes at the end of each trial
    (0: none).
    """

    description: str
    dataset: str
    layers: tuple[int, ...]
    epochs: int
    maps: tuple[int, ...] = ()
    kernel: int = 5
    padding: int = 0
    pool: int = 2
    rule: str = "normalized"
    feedback: str = "symmetric"
    init: str = "uniform"
    init_scale: tuple[float, ...] = (8.0,)
    init_share: tuple[float, ...] = (0.9,)
    init_spread: tuple[float, ...] = (0.2,)
    min_drive: float = 0.0
    coding: str = "latency"
    coding_exponent: float = 2.0
    coding_cells: int = 6
    coding_levels: int = 0
    preprocess: str = "none"
    scaling: str = "minmax"
    target: str = ""
    header: str = "auto"
    separator: str = ""
    encoding: str = "utf-8"
    missing: tuple[str, ...] = MISSING
    decimal: str = "auto"
    drop: tuple[str, ...] = ()
    row_numbers: bool = False
    test_share: float = 0.2
    trials: int = 200
    test_trials: int = 500
    templates: str = ""
    test_file: str = ""
    time_unit: str = "s"
    tau: float = 1.0
    cue: float = 0.0
    translate: int = 0
    jitter: tuple[float, ...] = (0.0,)
    deletion: tuple[float, ...] = (0.0,)
    modulator: str = "error"
    baseline: str = "mean"
    exploration: float = 0.0
    loss: str = "cross-entropy"
    readout: str = "z"
    beta: float = 1.0
    label_smoothing: float = 0.0
    horizon: float = 100.0
    ordinal: float = 0.0
    batch: int = 128
    shuffle: bool = True
    lr: float = 1e-3
    lr_final: float = 1e-3
    lr_scale: tuple[float, ...] = (1.0,)
    schedule: str = "geometric"
    delay_lr: float = 1e-3
    delay_lr_final: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.9
    weight_decay: float = 0.0
    averaging: float = 0.0
    homeostasis: tuple[float, ...] = (0.0,)
    homeostasis_every: int = 1
    project_delays: bool = True
    validation: int = 0

    def __post_init__(self) -> None:
        for name, accept, expected in _CHECKS:
            value = getattr(self, name)
            if accept(value):
                continue
            if isinstance(expected, str):
                raise InputError(f"{name} must be {expected}, got {value!r}")
            valid = expected()
            hint = nearest(value, valid)
            raise InputError(f"{name} must be one of {', '.join(valid)}, got {value!r}{hint and '.' + hint}")
        if self.modulator == "reward" and self.loss != "cross-entropy":
            raise InputError(f"modulator 'reward' takes the place of the loss: leave loss alone, got {self.loss!r}")
        if self.loss == "published" and self.readout != "z":
            raise InputError(f"loss 'published' reads out z, got readout {self.readout!r}")
        if self.spike_trains and (self.jitter[0] or self.deletion[0]):
            raise InputError(
                f"jitter and deletion of spike trains are not made here, got {self.jitter}, {self.deletion}"
            )
        if self.time_unit != "s" and not self.spike_files:
            raise InputError(f"time_unit is for files of spike trains, got {self.time_unit!r} for {self.dataset}")
        if self.averaging and not self.project_delays:
            raise InputError(f"averaging needs delays that stay positive: project_delays, got {self.averaging}")
        if self.init == "data" and (self.maps or self.cue):
            raise InputError(f"init 'data' is for layers without maps or cue, got maps {self.maps}, cue {self.cue}")
        if self.maps and (self.coding == "population" or self.spike_trains):
            given = f"dataset {self.dataset!r}" if self.spike_trains else "coding 'population'"
            raise InputError(f"maps need images, which {given} does not give")
        for name in _EACH_LAYER:
            if len(getattr(self, name)) not in (1, self.synapses):
                raise InputError(
                    f"{name} must have 1 entry, or {self.synapses} (one per layer of synapses), "
                    f"got {len(getattr(self, name))}"
                )

    @property
    def spike_trains(self) -> bool:
        """Whether the data are spike trains, and need no coding."""
        return self.dataset == "tca" or self.dataset.lower().endswith(SPIKE_FILES)

    @property
    def spike_files(self) -> tuple[str, ...]:
        """The files of spike trains that it names."""
        named = (self.templates, self.test_file, "" if self.dataset == "tca" else self.dataset)
        return tuple(name for name in named if name) if self.spike_trains else ()

    @property
    def synapses(self) -> int:
        """The number of layers of synapses."""
        return len(self.maps) + len(self.layers) - 1

    def sized(self, layers: Sequence[int]) -> Recipe:
        """The recipe with the sizes that are 0, which stand for what the data has, taken from ``layers``.

        It is the recipe itself if those are not as many.
        """
        if len(layers) != len(self.layers):
            return self
        sizes = zip(self.layers, layers, strict=True)
        return dataclasses.replace(self, layers=tuple(own or known for own, known in sizes))

    def as_dict(self) -> dict[str, Any]:
        """Plain types, ready for JSON; :func:`override` of nothing gives the recipe back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


# A setting, what it accepts, and that in words, or the valid names.
_Check = tuple[str, Callable[[Any], bool], str | Callable[[], tuple[str, ...]]]


def _choice(name: str, valid: Collection[str], *more: str) -> _Check:
    """One of several names. They are looked up when it is asked for, as some can be registered."""
    return name, lambda x: x in valid or x in more, lambda: (*valid, *more)


_CHECKS: tuple[_Check, ...] = (
    ("layers", lambda x: len(x) >= 2 and min(x) >= 0 and 0 not in x[1:-1], "two or more sizes of 1 or more"),
    ("maps", lambda x: min(x, default=1) >= 1, "sizes of 1 or more"),
    _choice("feedback", FEEDBACK, "direct"),
    _choice("modulator", MODULATORS),
    _choice("baseline", BASELINES),
    _choice("coding", CODINGS),
    _choice("loss", LOSSES),
    _choice("readout", READOUTS),
    _choice("schedule", SCHEDULES),
    _choice("init", INITIALISATIONS),
    _choice("preprocess", PREPROCESSING),
    _choice("scaling", SCALINGS),
    _choice("time_unit", TIME_UNITS),
    _choice("header", HEADERS),
    _choice("decimal", DECIMALS),
    ("coding_cells", lambda x: x >= 3, "3 or more"),
    ("coding_levels", lambda x: x == 0 or x >= 2, "2 or more, or 0"),
    ("test_share", lambda x: 0 < x < 1, "between 0 and 1"),
    ("init_share", lambda x: len(x) >= 1 and 0 < min(x) <= max(x) < 1, "between 0 and 1"),
    *((name, lambda x: len(x) >= 1 and min(x) > 0, "positive") for name in ("init_scale", "init_spread", "lr_scale")),
    *((name, lambda x: x > 0, "positive") for name in ("coding_exponent", "tau", "beta", "horizon", "lr", "lr_final")),
    *((name, lambda x: x > 0, "positive") for name in ("delay_lr", "delay_lr_final")),
    *((name, lambda x: 0 <= x < 1, "in [0, 1)") for name in ("label_smoothing", "beta1", "beta2", "averaging")),
    *((name, lambda x: x >= 0, "0 or more") for name in ("min_drive", "validation", "cue", "ordinal")),
    *((name, lambda x: x >= 0, "0 or more") for name in ("translate", "weight_decay")),
    ("exploration", lambda x: 0 <= x <= 1, "in [0, 1]"),
    *((name, lambda x: len(x) >= 1 and min(x) >= 0, "0 or more") for name in ("jitter", "homeostasis")),
    ("deletion", lambda x: len(x) >= 1 and 0 <= min(x) <= max(x) < 1, "in [0, 1)"),
    *((name, lambda x: x >= 1, "1 or more") for name in ("batch", "trials", "test_trials", "epochs", "kernel", "pool")),
    ("homeostasis_every", lambda x: x >= 1, "1 or more"),
    ("padding", lambda x: x >= 0, "0 or more"),
)

_EACH_LAYER = ("init_scale", "init_share", "init_spread", "lr_scale", "jitter", "deletion", "homeostasis")
_LARGEST = 1e300  # of a number; what is not finite is none
_TYPES = typing.get_type_hints(Recipe)


def names() -> list[str]:
    """The recipes in the package."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.toml"))


def read(name: str) -> Recipe:
    """The recipe called ``name``, or the one in the TOML file of that path, whose own paths begin in its folder."""
    if name in names():
        path = Path(__file__).with_name(f"{name}.toml")
    elif not name.endswith(".toml"):
        raise unknown_name("recipe", name, names())
    elif not (path := Path(name)).is_file():
        raise InputError(f"no recipe file {name!r}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: not TOML, not UTF-8, a number of 5000 digits
        raise InputError(f"{name} is not valid TOML: {error}") from None
    return from_dict(values if name in names() else absolute(values, path.parent), source=name)


def from_dict(values: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from plain values; missing or unknown settings and bad values are an InputError."""
    missing = [f.name for f in dataclasses.fields(Recipe) if f.default is dataclasses.MISSING and f.name not in values]
    if missing:
        raise InputError(f"{source}: the recipe lacks {', '.join(missing)}")
    try:
        return Recipe(**{key: _convert(key, value) for key, value in values.items()})
    except InputError as error:
        raise InputError(f"{source}: {error}") from None


def override(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with some settings changed; text is read as TOML reads it (``lr=1e-3``, ``layers=[784, 10]``).

    Paths among them begin in the working directory and become absolute (:func:`shiftlearn.recipes.paths.absolute`).
    """
    settings = absolute(settings, Path())
    return dataclasses.replace(recipe, **{key: _convert(key, value) for key, value in settings.items()})


def _convert(key: str, value: Any) -> Any:
    if key not in _TYPES:
        raise unknown_name("setting", key, _TYPES, ELSEWHERE)
    kind = _TYPES[key]
    wanted, item = (list, typing.get_args(kind)[0]) if typing.get_origin(kind) is tuple else (kind, None)
    if isinstance(value, str) and wanted is not str:
        try:
            (value,) = tomllib.loads(f"x = {value}").values()
        except (ValueError, RecursionError):
            raise InputError(f"{key} must be {_kind(wanted, item)}, got {value!r}") from None
    if item is not None:
        values = list(value) if isinstance(value, list | tuple) else [value]
        if all(_fits(x, item) for x in values):
            return tuple(item(x) for x in values)
    elif _fits(value, wanted):
        return wanted(value)
    raise InputError(f"{key} must be {_kind(wanted, item)}, got {value!r}")


def _fits(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    if kind is int:
        return type(value) is int and abs(value) < 2**31
    return type(value) is kind


def _kind(kind: type, item: type | None) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    lists = {int: "[784, 800, 10]", float: "[20.0, 8.0]", str: '["name", "date"]'}
    return f"a list like {lists[item]}" if item else words[kind]
