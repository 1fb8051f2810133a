"""The classes of a table: what its target column says, as it is written."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from .numbers import fits, plain

__all__ = ["find_classes", "old_names", "one_number"]

_MANY = 100


def find_classes(
    cells: Sequence[str], where: str, decimal: str = "auto"
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels of shape (n,) and the classes of a target without missing cells: one for each text, as it is written.

    They are sorted as whole numbers if all are, exactly, else as text.

    Args:
        cells: of the target.
        where: it is, for errors.
        decimal: the decimal mark, or "auto".

    Raises:
        InputError: one class alone, or a target to be estimated instead of told apart.
    """
    values = _numbers(set(cells), decimal)
    for cell, value in values.items():
        if not value == value.to_integral_value():
            raise InputError(
                f"{where}: {cell!r} is a quantity to be estimated (regression), expected classes; "
                "--target names another column."
            )
    names = sorted(set(cells), key=lambda cell: (values.get(cell, Decimal(0)), cell))
    if len(names) > _MANY and 2 * len(names) > len(cells):
        raise InputError(
            f"{where}: {len(names)} different values in {len(cells)} rows are a quantity to be estimated "
            "(regression) or an identifier, expected classes; --target names another column."
        )
    if len(names) < 2:
        raise InputError(f"{where}: all rows are of one class, {names[0]!r}, expected two or more.")
    rank = {name: number for number, name in enumerate(names)}
    return np.array([rank[cell] for cell in cells], np.int64), tuple(names)


def one_number(classes: Sequence[str], decimal: str = "auto") -> list[list[str]]:
    """Classes that are one number in several spellings."""
    spellings: dict[Decimal, list[str]] = defaultdict(list)
    for name, value in _numbers(set(classes), decimal).items():
        spellings[value].append(name)
    return [sorted(names) for value, names in sorted(spellings.items()) if len(names) > 1]


def old_names(classes: Sequence[str]) -> tuple[str, ...]:
    """What classes were called up to version 0.1: where all are whole numbers, by the number, ``7`` for ``007``."""
    values = [plain(name) for name in classes]
    if None in values:
        values = [plain(name.replace(",", ".", 1)) for name in classes]
    if any(value is None or not math.isfinite(value) for value in values):
        return tuple(classes)
    return tuple(str(int(value)) for value in values if value is not None)


def _numbers(cells: set[str], decimal: str) -> dict[str, Decimal]:
    """The exact numbers in all cells; none if some are text, or numbers with a unit or marks between thousands."""
    point, comma = fits(cells)
    found = {"auto": point or comma, ".": point, ",": comma}[decimal]
    if found is None or found.unit or found.thousands:
        return {}
    return {cell: Decimal(cell.replace(",", ".")) for cell in cells}
