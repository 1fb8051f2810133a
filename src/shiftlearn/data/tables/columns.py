"""One column of a file as an array."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from .delimited import Sheet
from .numbers import Notation

__all__ = ["Column", "read_column", "require_finite"]

Column = npt.NDArray[np.float64] | npt.NDArray[np.object_]
"""One feature of every row, shape (n,): numbers (NaN: missing) or text (None: missing)."""


def read_column(body: Sheet, index: int, name: str, notation: Notation | None) -> Column:
    """A column as numbers in a notation, or as text where that is None.

    Raises:
        InputError: a cell is no number in this notation, or one that is not finite.
    """
    cells = body.column(index)
    if notation is None:
        return np.array([None if body.is_missing(cell) else cell for cell in cells], np.object_)
    values: list[float] = []
    for line, cell in zip(body.lines, cells, strict=True):
        value = math.nan if body.is_missing(cell) else notation.number(cell)
        if value is None:
            like = f" ({notation})" if str(notation) else ""
            raise InputError(
                f"{body.path}: line {line}, column {name!r}: {cell!r} given, expected a number{like}, "
                "or nothing for a missing one."
            )
        values.append(value)
    column = np.array(values, np.float64)
    require_finite(body, name, cells, column)
    return column


def require_finite(body: Sheet, name: str, cells: Sequence[str], values: npt.NDArray[np.float64]) -> None:
    """InputError for the first of a column's ``values`` (n,) that is infinite."""
    for row in np.flatnonzero(np.isinf(values)):
        raise InputError(
            f"{body.path}: line {body.lines[row]}, column {name!r}: {cells[row]!r} given, expected a finite number."
        )
