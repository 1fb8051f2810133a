"""A short account of how a table's file was read: its rows, and what became of each column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .delimited import Sheet
from .numbers import Notation

__all__ = ["Kind", "columns_line", "kind_of", "rows_line"]

_LINE = 200  # characters of a line that names every column; beyond that, columns of a kind are named together
_LONGEST = 300
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", " ": "space", "|": "bar"}


class Kind(NamedTuple):
    """What became of a column: "numeric", "text", "target" or "left out: ..."; and of how many different texts."""

    name: str
    levels: int | None = None

    def __str__(self) -> str:
        return self.name if self.levels is None else f"{self.name}, {self.levels} {self.counted}"

    @property
    def counted(self) -> str:
        return "classes" if self.name == "target" else "levels"


def kind_of(column: npt.NDArray[np.float64] | npt.NDArray[np.object_], notation: Notation | None) -> Kind:
    """The kind of a feature of shape (n,); ``notation`` is that of its numbers."""
    if column.dtype == np.object_:
        known = {value for value in column if value is not None}
        if len(known) > 1 or (known and None in column):
            return Kind("text", len(known))
    else:
        known = set(column[~np.isnan(column)])
        if len(known) > 1:
            return Kind(f"numeric ({notation})" if str(notation) else "numeric")
    return Kind("left out: constant" if known else "left out: all missing")


def rows_line(body: Sheet, header_line: int | None) -> str:
    """``150 rows, comma-separated, header in line 1, 2 cells missing ('NA', empty)``."""
    separator = f"{_SEPARATORS.get(body.separator) or repr(body.separator)}-separated"
    header = "no header" if header_line is None else f"header in line {header_line}"
    parts = [f"{len(body.rows)} rows", separator, header]
    missing = Counter(cell for row in body.rows for cell in row if body.is_missing(cell))
    if missing:
        cells = [repr(cell) if cell else "empty" for cell, _ in missing.most_common(5)] + ["…"] * (len(missing) > 5)
        parts.append(f"{missing.total()} cells missing ({', '.join(cells)})")
    return ", ".join(parts)


def columns_line(names: Sequence[str], kinds: Sequence[Kind]) -> str:
    """``a numeric · b text, 114 levels · c target, 2 classes``; of many columns ``64 numeric (p1 … p64)`` and so on."""
    line = " · ".join(f"{_short(name)} {kind}" for name, kind in zip(names, kinds, strict=True))
    if len(line) <= _LINE:
        return line
    groups: dict[str, list[int]] = {}
    for place, kind in enumerate(kinds):
        groups.setdefault(kind.name, []).append(place)
    line = " · ".join(_together(names, kinds, places) for places in groups.values())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _together(names: Sequence[str], kinds: Sequence[Kind], places: Sequence[int]) -> str:
    """Columns of one kind."""
    first, last = places[0], places[-1]
    if first == last:
        return f"{_short(names[first])} {kinds[first]}"
    levels = sorted(kinds[place].levels or 0 for place in places)
    span = f"{levels[0]} to {levels[-1]}" if levels[0] != levels[-1] else str(levels[0])
    counted = f", {span} {kinds[first].counted}" if levels[-1] else ""
    return f"{len(places)} {kinds[first].name}{counted} ({_short(names[first])} … {_short(names[last])})"


def _short(name: str) -> str:
    """A column's name on one line, of 30 characters at most that can be printed."""
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(name.split()))
    return name if len(name) <= 30 else name[:29] + "…"
