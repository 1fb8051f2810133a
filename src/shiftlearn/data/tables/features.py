"""From the columns of a table to numbers in [0, 1], by what the training rows alone show."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import InputError, counted, unknown_name
from ...registry import SCALINGS
from .columns import Column
from .doubts import about_texts
from .numbers import PLAIN, Notation

__all__ = ["MAX_CATEGORIES", "Features", "NothingVaries"]

MAX_CATEGORIES = 200
"""A text column with more is taken for an identifier."""

_MAX_KNOTS = 257
_IQR_OF_NORMAL = 1.3489795003921634  # in standard deviations


class NothingVaries(InputError):
    """No column of a table varies."""


@dataclass(frozen=True)
class _Numbers:
    """A numeric column: linear between knots, flat outside; without knots it is dropped."""

    median: float
    knots: tuple[float, ...]
    positions: tuple[float, ...]
    notation: Notation = PLAIN

    numeric = True

    @property
    def width(self) -> int:
        return 1 if self.knots else 0

    def transform(self, column: Column) -> npt.NDArray[np.float64]:
        knots, positions = np.array(self.knots), np.array(self.positions)
        values = np.clip(np.where(np.isnan(column), self.median, column), knots[0], knots[-1])
        if not math.isfinite(self.knots[-1] - self.knots[0]):
            values, knots = values / 2, knots / 2
        # Not np.interp: its slope overflows where knots are close.
        left = np.clip(np.searchsorted(knots, values, "right") - 1, 0, len(knots) - 2)
        low, high = positions[left], positions[left + 1]
        share = (values - knots[left]) / (knots[left + 1] - knots[left])
        # The sum may exceed `high` in the last bit, which would break monotony at a knot.
        result: npt.NDArray[np.float64] = np.minimum(low + share * (high - low), high)
        return result[:, None]

    def as_dict(self) -> dict[str, Any]:
        numbers = {"median": self.median, "knots": list(self.knots), "positions": list(self.positions)}
        return numbers if self.notation == PLAIN else {**numbers, "notation": list(astuple(self.notation))}


@dataclass(frozen=True)
class _Categories:
    """A text column: one output per category; without categories it is dropped."""

    categories: tuple[str, ...]

    numeric = False
    notation = None

    @property
    def width(self) -> int:
        return len(self.categories)

    def transform(self, column: Column) -> npt.NDArray[np.float64]:
        number = {category: index for index, category in enumerate(self.categories)}
        codes = np.array([number.get(value, -1) for value in column], np.int64)
        result: npt.NDArray[np.float64] = (codes[:, None] == np.arange(self.width)).astype(np.float64)
        return result

    def as_dict(self) -> dict[str, Any]:
        return {"categories": list(self.categories)}


@dataclass(frozen=True)
class Features:
    """The fitted way from columns to numbers in [0, 1]; made by :meth:`fit` or :meth:`from_dict`.

    Attributes:
        scaling: one of :data:`SCALINGS`.
        names: of the columns that :meth:`transform` takes, dropped ones included.
        parts: what was learnt of each column.
        header: whether the first row of the file of these columns holds names; None: unknown, or no file.
        left_out: names of that file's columns that are neither features nor target.
    """

    scaling: str
    names: tuple[str, ...]
    parts: tuple[_Numbers | _Categories, ...]
    header: bool | None = None
    left_out: tuple[str, ...] = ()

    @property
    def numeric(self) -> tuple[bool, ...]:
        """For each column, whether it holds numbers."""
        return tuple(part.numeric for part in self.parts)

    @property
    def notations(self) -> tuple[Notation | None, ...]:
        """For each column, how its file wrote its numbers; None for text."""
        return tuple(part.notation for part in self.parts)

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        return sum(part.width for part in self.parts)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns that were constant or all missing, and so carry nothing."""
        return tuple(name for name, part in zip(self.names, self.parts, strict=True) if not part.width)

    @classmethod
    def fit(
        cls,
        names: Sequence[str],
        columns: Sequence[Column],
        scaling: str = "minmax",
        weight: npt.NDArray[np.float64] | None = None,
        notations: Sequence[Notation | None] = (),
    ) -> Features:
        """Learn ranges, medians and categories from the training rows.

        Numbers are clipped to [0, 1] after ``"minmax"``, (x - min) / (max - min); ``"quantile"``, the place
        among the training values (the middle one for ties), linear between up to 257 of them; or
        ``"robust"``, in which two standard deviations (IQR / 1.349, or the plain one if the IQR is 0) on
        either side of the median span [0, 1]. ``"global"`` (as published for Iris) is minmax with one range
        for all columns of numbers. A missing number counts as the median. Text becomes one
        number per category, 1 for that of the row; all are 0 if it is missing or unseen.

        Args:
            names: of the columns, all different.
            columns: numbers or text, each of shape (n,) with n at least 1.
            scaling: one of :data:`SCALINGS`.
            weight: (n,) of each row, positive: how many it counts for in medians, quantiles and deviations; None: each
                counts for one.
            notations: how a file writes the numbers of each column, kept for the reading of new rows; none: plain.

        Raises:
            InputError: unknown scaling, columns that do not fit together, a number that is not finite, or text with
                more than :data:`MAX_CATEGORIES` categories.
            NothingVaries: all columns are constant or missing. It is an InputError.
        """
        if scaling not in SCALINGS:
            raise unknown_name("scaling", scaling, SCALINGS)
        if len(set(names)) != len(names):
            raise InputError(f"names: expected different ones, {', '.join(names)} given.")
        checked = _check(names, columns)
        if checked and not len(checked[0]):
            raise InputError("columns: expected at least one row to learn from, none given.")
        numbers = np.concatenate([c[~np.isnan(c)] for c in checked if c.dtype != np.object_] or [np.zeros(1)])
        common = (float(numbers.min(initial=np.inf)), float(numbers.max(initial=-np.inf)))
        parts: list[_Numbers | _Categories] = []
        for name, column, notation in zip(names, checked, notations or [None] * len(names), strict=True):
            if column.dtype == np.object_:
                parts.append(_fit_text(name, column))
            else:
                values = np.asarray(column, np.float64)
                parts.append(_fit_numbers(values, weight, scaling, common, notation or PLAIN))
        features = cls(scaling, tuple(names), tuple(parts))
        if not features.width:
            raise NothingVaries(f"columns: none varies ({', '.join(names)}): there is nothing to learn from.")
        return features

    def transform(self, columns: Sequence[Column]) -> npt.NDArray[np.float32]:
        """Rows as numbers in [0, 1].

        Args:
            columns: as many, and of the same kinds, as those of :meth:`fit`, each of shape (n,); n may be 0.

        Returns:
            Array of shape (n, width).

        Raises:
            InputError: number, kind or lengths of the columns do not fit, or a number is not finite.
        """
        checked = _check(self.names, columns)
        for name, column, part in zip(self.names, checked, self.parts, strict=True):
            if part.numeric != (column.dtype == np.float64):
                kinds = ("numbers", "text") if part.numeric else ("text", "numbers")
                raise InputError(f"column {name!r}: expected {kinds[0]} as in training, {kinds[1]} given.")
        blocks = [part.transform(column) for part, column in zip(self.parts, checked, strict=True) if part.width]
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="same_kind")

    def as_dict(self) -> dict[str, Any]:
        """All that :meth:`from_dict` needs to transform identically, as values JSON can hold."""
        columns = [{"name": name, **part.as_dict()} for name, part in zip(self.names, self.parts, strict=True)]
        file = {} if self.header is None else {"header": self.header, "left_out": list(self.left_out)}
        return {"scaling": self.scaling, "columns": columns, **file}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Features:
        """The inverse of :meth:`as_dict`.

        Raises:
            InputError: a value is missing or is not what :meth:`as_dict` writes.
        """
        try:
            scaling, columns = values["scaling"], values["columns"]
            names = tuple(column["name"] for column in columns)
            parts = tuple(_stored_part(column) for column in columns)
            header, left_out = values.get("header"), tuple(values.get("left_out", ()))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"features: the stored values are damaged ({type(error).__name__}: {error}).") from error
        features = cls(scaling, names, parts, header, left_out)
        if header not in (None, True, False) or not all(isinstance(name, str) for name in left_out):
            raise InputError(f"features: the stored values are damaged (header {header!r}, left_out {left_out!r}).")
        if scaling not in SCALINGS or not all(isinstance(name, str) for name in names):
            raise InputError(f"features: the stored values are damaged (scaling {scaling!r}, columns {names!r}).")
        if len(set(names)) != len(names) or not features.width:
            raise InputError(f"features: the stored values are damaged (columns {names!r} repeat or carry nothing).")
        return features


def _check(names: Sequence[str], columns: Sequence[Column]) -> list[Column]:
    """The columns as float64 or object arrays of one length."""
    if len(names) != len(columns):
        raise InputError(f"columns: {len(columns)} given, expected {len(names)} ({', '.join(names)}).")
    checked: list[Column] = []
    for name, given in zip(names, columns, strict=True):
        array: npt.NDArray[Any] = np.asarray(given)
        if array.ndim != 1:
            raise InputError(f"column {name!r}: expected shape (n,), {array.shape} given.")
        if checked and len(array) != len(checked[0]):
            raise InputError(
                f"column {name!r}: expected {counted(len(checked[0]), 'row')} as in {names[0]!r}, {len(array)} given."
            )
        if array.dtype.kind in "OU":
            for value in array:
                if not (value is None or isinstance(value, str)):
                    raise InputError(f"column {name!r}: expected text or None, {value!r} given.")
            checked.append(array.astype(np.object_))
        elif array.dtype.kind in "fiub":
            if np.isinf(array).any():
                raise InputError(f"column {name!r}: expected finite numbers (NaN where missing), inf given.")
            checked.append(array.astype(np.float64))
        else:
            raise InputError(f"column {name!r}: expected numbers or text, an array of {array.dtype} given.")
    return checked


def _fit_text(name: str, column: Column) -> _Categories:
    categories = sorted({value for value in column if value is not None})
    if len(categories) > MAX_CATEGORIES:
        raise InputError(
            f"column {name!r}: {len(categories)} different texts {about_texts(categories)}, expected at most "
            f"{MAX_CATEGORIES} categories: mend the column, or leave it out (--drop)."
        )
    constant = len(categories) == 1 and all(value is not None for value in column)
    return _Categories(() if constant else tuple(categories))


def _fit_numbers(
    column: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64] | None,
    scaling: str,
    common: tuple[float, float],
    notation: Notation,
) -> _Numbers:
    order = np.argsort(column, kind="stable")[: np.count_nonzero(~np.isnan(column))]  # NaN comes last
    values, weight = column[order], None if weight is None else weight[order]
    if not len(values) or values[0] == values[-1]:
        return _Numbers(0.0, (), (), notation)
    if weight is not None and (weight == weight[0]).all():
        weight = None
    median = _median(values, weight)
    knots, positions = np.array([values[0], values[-1]]), np.array([0.0, 1.0])
    if scaling == "quantile":
        knots, positions = _places(values, weight)
    elif scaling == "global":
        knots = np.array(common)
    elif scaling == "robust":
        with np.errstate(over="ignore", invalid="ignore"):
            lower, upper = np.quantile(values, [0.25, 0.75]) if weight is None else _at(values, weight, [0.25, 0.75])
            largest = np.abs(values).max()
            sigma = (upper - lower) / _IQR_OF_NORMAL or _deviation(values / largest, weight) * largest
            span = np.array([median - 2 * sigma, median + 2 * sigma])
        # Out of range, or too small beside the median to make a difference: as for minmax.
        if np.isfinite(span).all() and span[0] < span[1]:
            knots = span
    return _Numbers(median, tuple(knots.tolist()), tuple(positions.tolist()), notation)


def _at(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], shares: Sequence[float]) -> npt.NDArray[Any]:
    """The sorted values below which these shares of the weight lie; between two values, their mean."""
    below = np.cumsum(weight)
    wanted = np.array(shares) * below[-1]
    low, high = (values[np.searchsorted(below, wanted, side).clip(max=len(values) - 1)] for side in ("left", "right"))
    result: npt.NDArray[Any] = np.where(low == high, low, low / 2 + high / 2)
    return result


def _median(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64] | None) -> float:
    return float(_at(values, np.ones(len(values)) if weight is None else weight, [0.5])[0])


def _deviation(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64] | None) -> float:
    return float(np.sqrt(np.average((values - np.average(values, weights=weight)) ** 2, weights=weight)))


def _places(
    values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Some of the sorted values, and the place of each among all: of equal ones the middle, as a share."""
    count = len(values)
    chosen = np.linspace(0, count - 1, min(count, _MAX_KNOTS)).round().astype(np.int64)
    if weight is not None and count > _MAX_KNOTS:
        below = np.cumsum(weight)
        chosen = np.searchsorted(below, np.linspace(0, below[-1], _MAX_KNOTS)).clip(max=count - 1)
    knots = np.unique(values[chosen])
    first, after = (np.searchsorted(values, knots, side) for side in ("left", "right"))
    if weight is None:
        return knots, (first + after - 1) / 2 / (count - 1)
    below = np.concatenate([[0.0], np.cumsum(weight)])
    return knots, (below[first] + below[after]) / 2 / below[-1]


def _stored_part(column: Mapping[str, Any]) -> _Numbers | _Categories:
    if "categories" in column:
        categories = tuple(column["categories"])
        if isinstance(column["categories"], str) or not all(isinstance(value, str) for value in categories):
            raise ValueError(f"categories of {column['name']!r} are not text")
        if len(set(categories)) != len(categories):
            raise ValueError(f"categories of {column['name']!r} repeat")
        return _Categories(categories)
    median = float(column["median"])
    knots, positions = tuple(map(float, column["knots"])), tuple(map(float, column["positions"]))
    if len(knots) != len(positions) or len(knots) == 1 or not all(map(math.isfinite, (median, *knots))):
        raise ValueError(f"knots of {column['name']!r} are not two or more finite numbers with a position each")
    if any(a >= b for a, b in itertools.pairwise(knots)):
        raise ValueError(f"knots of {column['name']!r} do not increase")
    if not all(a <= b for a, b in itertools.pairwise((0.0, *positions, 1.0))):
        raise ValueError(f"positions of {column['name']!r} do not increase from 0 to 1")
    notation = Notation.from_stored(column["notation"]) if "notation" in column else PLAIN
    return _Numbers(median, knots, positions, notation)
