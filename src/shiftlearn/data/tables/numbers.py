"""How the cells of a column become numbers.

A column is numeric if all of its cells that are not missing are numbers in one notation:

================== =========================== =====================================================================
plain              ``1.5``, ``-2e3``           as Python reads it
decimal comma      ``1,5``                     with any separator between the columns
thousands          ``1,234.5``, ``1.234,5``,   groups of three digits, between comma, point, space or apostrophe
                   ``1 234``, ``1'234``
unit               ``10.5%``, ``$50``,         one percent or currency sign, the same one in every cell; it is left out
                   ``50 €``
ISO date           ``2024-05-01``,             days since 1970-01-01, a time being a fraction of a day; UTC where no
                   ``2024-05-01T12:30Z``       offset is named
================== =========================== =====================================================================

``1,234`` and ``1.234`` alone do not tell the decimal mark. The file's other columns then decide, if all that tell it
agree; else ``1.234`` is 1.234, and ``1,234`` is 1234, or 1.234 in a file separated by semicolons.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ...errors import InputError
from ...registry import DECIMALS

__all__ = ["PLAIN", "Choice", "Notation", "choose", "closest", "fits", "plain"]

_THOUSANDS = {".": (",", " ", "'"), ",": (".", " ", "'")}  # by decimal mark
_GROUPED = {
    (decimal, mark): re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+(?:{re.escape(decimal)}\d*)?", re.A)
    for decimal, marks in _THOUSANDS.items()
    for mark in marks
}
_MARKS = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2019": "'"})  # as word processors set them
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.A)
_NUMERIC = re.compile(r"\W{0,3}\d[\d.,'’\s:TZEe+-]*\W{0,3}")  # whatever might be a number in some notation
_SIGN_FIRST = re.compile(r"([+-]?)\s*(\S)\s*(.*)", re.S)
_DATE = "date"  # the unit of a column of ISO dates
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Notation:
    """How one column writes its numbers.

    Attributes:
        decimal: "." or ",".
        thousands: the mark between groups of three digits, "" for none.
        unit: the percent or currency sign of every cell, "date" for ISO dates, "" for none.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    def number(self, cell: str) -> float | None:
        """The number in a cell; None if it holds none in this notation."""
        if self.unit == _DATE:
            return _days(cell)
        if self.unit:
            unit, cell = _split(cell)
            if unit != self.unit:
                return None
        if self.thousands:
            cell = cell.translate(_MARKS)
            if self.thousands in cell:
                if not _GROUPED[self.decimal, self.thousands].fullmatch(cell):
                    return None
                cell = cell.replace(self.thousands, "")
        if self.decimal == ",":
            if "." in cell:
                return None
            cell = cell.replace(",", ".", 1)
        return plain(cell)

    def __str__(self) -> str:
        """What is not plain, in words."""
        if self.unit == _DATE:
            return "ISO dates as days"
        parts = ["decimal comma"] * (self.decimal == ",") + [f"thousands {self.thousands!r}"] * bool(self.thousands)
        return ", ".join([*parts, *([self.unit] if self.unit else [])])

    @classmethod
    def from_stored(cls, values: Sequence[Any]) -> Notation:
        """The inverse of :func:`dataclasses.astuple`; ValueError for what that does not give."""
        decimal, thousands, unit = values
        if decimal not in _THOUSANDS or thousands not in ("", *_THOUSANDS[decimal]) or not isinstance(unit, str):
            raise ValueError(f"notation {values!r}")
        return cls(decimal, thousands, unit)


PLAIN = Notation()

Fits = tuple[Notation | None, Notation | None]


class Choice(NamedTuple):
    """The notation of a column, None if it is text; ``other``: what it may as well be, where nothing tells."""

    notation: Notation | None
    other: Notation | None = None


def plain(cell: str) -> float | None:
    """The number in a cell as Python reads it, infinity included; None if there is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if "_" in cell or value != value else value  # Python's 1_000; a text "nan" is no number


def fits(cells: Collection[str]) -> Fits:
    """The notations that fit all ``cells`` of a column (none of them missing), with a decimal point and a comma."""
    unit = _unit(next(iter(cells), ""))
    if unit == _DATE:
        date = Notation(unit=_DATE) if all(_days(cell) is not None for cell in cells) else None
        return date, date
    return _fitting(cells, ".", unit), _fitting(cells, ",", unit)


def choose(columns: Sequence[Collection[str]], decimal: str, separator: str) -> list[Choice]:
    """The notation of every column of a file, as the module describes it.

    Args:
        columns: the cells of each, without the missing ones.
        decimal: the decimal mark, or "auto".
        separator: between the columns.

    Raises:
        InputError: ``decimal`` is none of these.
    """
    if decimal not in DECIMALS:
        raise InputError(f"decimal: {decimal!r} given, expected '.', ',' or 'auto'.")
    found = [fits(cells) for cells in columns]
    if decimal != "auto":
        return [Choice(point if decimal == "." else comma) for point, comma in found]
    told = {"," if point is None else "." for point, comma in found if (point is None) != (comma is None)}
    mark = told.pop() if len(told) == 1 else None
    return [_chosen(cells, *both, mark, separator) for cells, both in zip(columns, found, strict=True)]


def _chosen(
    cells: Collection[str], point: Notation | None, comma: Notation | None, mark: str | None, separator: str
) -> Choice:
    if point is None or comma is None or point == comma or not any("." in cell or "," in cell for cell in cells):
        return Choice(point or comma)
    if mark is not None:
        return Choice(point if mark == "." else comma)
    if point.thousands != ",":
        return Choice(point)
    return Choice(comma, point) if separator == ";" else Choice(point, comma)


def closest(cells: Sequence[str], decimal: str) -> Notation | None:
    """The notation in which most of the cells, and more than half of them, are numbers; None where there is none."""
    likely = [cell for cell in cells if _NUMERIC.fullmatch(cell)]
    if 2 * len(likely) <= len(cells):
        return None
    unit = Counter(map(_unit, likely)).most_common(1)[0][0]
    marks = [mark for mark in _THOUSANDS if decimal in ("auto", mark)]
    tried = [Notation(mark, thousands, unit) for mark in marks for thousands in ("", *_THOUSANDS[mark])]
    count = {notation: sum(notation.number(cell) is not None for cell in likely) for notation in tried}
    best = max(tried, key=lambda notation: count[notation])
    return best if 2 * count[best] > len(cells) else None


def _fitting(cells: Collection[str], decimal: str, unit: str) -> Notation | None:
    for thousands in ("", *_THOUSANDS[decimal]):
        notation = Notation(decimal, thousands, unit)
        if all(notation.number(cell) is not None for cell in cells):
            return notation
    return None


def _unit(cell: str) -> str:
    return _DATE if _ISO.fullmatch(cell) else _split(cell)[0]


def _split(cell: str) -> tuple[str, str]:
    """The percent or currency sign of a cell, "" for none, and what is left."""
    if cell and (cell[-1] == "%" or unicodedata.category(cell[-1]) == "Sc"):
        return cell[-1], cell[:-1].rstrip()
    match = _SIGN_FIRST.fullmatch(cell)
    if match and unicodedata.category(match[2]) == "Sc":
        return match[2], match[1] + match[3]
    return "", cell


def _days(cell: str) -> float | None:
    if not _ISO.fullmatch(cell):
        return None
    try:
        time = datetime.fromisoformat(cell)
    except ValueError:  # 2024-02-30
        return None
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) / timedelta(days=1)
