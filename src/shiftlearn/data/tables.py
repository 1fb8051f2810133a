"""Tables with one row per example: scikit-learn's embedded ones by name, and CSV files a user brings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InputError, unknown_name
from ..words import counted
from .delimited import MISSING, Sheet, StrPath, number, read_sheet

__all__ = ["TABLES", "Column", "Table", "load_table", "read_csv", "read_rows"]

Column = npt.NDArray[np.float64] | npt.NDArray[np.object_]
"""One feature of every row, shape (n,): numbers (NaN: missing) or text (None: missing)."""

TABLES = ("breast-cancer", "digits", "iris", "wine")
"""The tables that scikit-learn brings along."""

_HEADER_SAMPLE = 1000  # rows with which a possible header is compared
_MANY_CLASSES = 100


@dataclass(frozen=True)
class Table:
    """A table whose rows are to be told apart by class.

    Attributes:
        name: of the table, or of its file without suffix.
        names: of the feature columns.
        columns: the features, each of shape (n,).
        labels: of shape (n,), index into ``classes``.
        classes: sorted, as numbers if all are numbers.
    """

    name: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def take(self, index: slice | npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> tuple[Column, ...]:
        """Rows of all columns: a slice, the rows' numbers, or a mask of shape (n,)."""
        return tuple(column[index] for column in self.columns)


def load_table(name: str) -> Table:
    """One of :data:`TABLES`, complete and in its stored order.

    Raises:
        InputError: the name is unknown, or scikit-learn is not installed.
    """
    if name not in TABLES:
        raise unknown_name("table", name, TABLES)
    try:
        from sklearn import datasets  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise InputError(f"the table {name!r} comes with scikit-learn: pip install scikit-learn ({error}).") from error
    bunch = getattr(datasets, f"load_{name.replace('-', '_')}")()
    columns = tuple(np.array(column, np.float64) for column in bunch.data.T)
    labels, classes = _classes([str(bunch.target_names[number]) for number in bunch.target], False, name)
    return Table(name, tuple(map(str, bunch.feature_names)), columns, labels, classes)


def read_csv(
    path: StrPath, target: str | None = None, separator: str | None = None, header: bool | None = None
) -> Table:
    """Read a labelled table from a CSV file in UTF-8.

    White space around a cell is no part of it, blank lines are skipped, and a column is numeric if every
    cell is a number or missing (see :data:`MISSING`). With ``;`` as separator, ``1,5`` is a number too.

    Args:
        path: the file.
        target: name, or else number from 1, of the column with the classes; None: the last one.
        separator: one character, a space for runs of spaces. None: comma, semicolon, tab or bar, whichever
            cuts the first 200 rows most evenly (and into most numbers); spaces if none of these does.
        header: whether the first row names the columns; otherwise they are "1", "2", .... None: it does
            if one of its cells is text above a column of numbers, or if there is no column of numbers and
            its cells are all text, all different, and none stands again below (in the next 1000 rows).

    Raises:
        InputError: an argument does not fit the file, or the file is not a table: unreadable, not UTF-8,
            malformed or uneven rows, nothing but a header, a column name used twice, a number that is not
            finite, a missing target, one class alone, or a target to be estimated instead of told apart.
    """
    sheet = read_sheet(path, separator)
    if header is None:
        header = len(sheet.rows) == 1 or _looks_like_header(sheet)
    width = len(sheet.rows[0])
    if width < 2:
        raise InputError(
            f"{path}: has only one column where features and a target are expected "
            f"(cells are separated by {sheet.separator!r}; another separator can be given)."
        )
    names = _names(sheet) if header else tuple(str(number) for number in range(1, width + 1))
    body = sheet.below_header() if header else sheet
    if target is None:
        index = width - 1
    elif target in names:
        index = names.index(target)
    elif target.isdecimal() and 1 <= int(target) <= width:
        index = int(target) - 1
    else:
        raise InputError(f"{path}: {unknown_name('target column', target, names)}")

    cells = body.column(index)
    for line, cell in zip(body.lines, cells, strict=True):
        if cell.lower() in MISSING:
            raise InputError(f"{path}: line {line}: the target (column {names[index]!r}) is missing, {cell!r} given.")
        if math.isinf(number(cell, body.decimal_comma) or 0.0):
            raise _not_finite(path, line, names[index], cell)
    labels, classes = _classes(cells, body.decimal_comma, f"{path}: column {names[index]!r}")
    features = [feature for feature in range(width) if feature != index]
    columns = tuple(_column(body, feature, names[feature]) for feature in features)
    return Table(Path(path).stem, tuple(names[feature] for feature in features), columns, labels, classes)


def read_rows(
    path: StrPath,
    names: Sequence[str],
    numeric: Sequence[bool],
    separator: str | None = None,
    header: bool | None = None,
) -> tuple[Column, ...]:
    """Read rows to be classified: the columns ``names``, in that order.

    With a header the columns are found by name and others, such as the target, are ignored. Without (or
    if ``names`` are numbers, from a table without header, that the header lacks) there must be as many as
    names, or one more. That one is the last; if ``names`` are numbers, it is the one they leave out.

    Args:
        path: the file, as for :func:`read_csv`.
        names: of the columns.
        numeric: for each, whether it holds numbers.
        separator: as for :func:`read_csv`.
        header: whether the first row holds names. None: it does if it holds at least half of ``names``,
            or text where each of the numbers would be.

    Returns:
        The columns, each of shape (n,).

    Raises:
        InputError: as for :func:`read_csv`, and if a column is missing or a cell is not the number it must be.
    """
    sheet = read_sheet(path, separator)
    if header is None:
        header = _holds_names(sheet, names, numeric)
    found = _names(sheet) if header else ()
    body = sheet.below_header() if header else sheet
    if header and not all(name.isdecimal() and name not in found for name in names):
        for name in names:
            if name not in found:
                raise InputError(f"{path}: a column is missing: {unknown_name('column', name, found)}")
        where: Sequence[int] = [found.index(name) for name in names]
    else:
        where = _positions(sheet, names)
    return tuple(_column(body, *column) for column in zip(where, names, numeric, strict=True))


def _looks_like_header(sheet: Sheet) -> bool:
    first, below = sheet.rows[0], sheet.rows[1 : 1 + _HEADER_SAMPLE]
    text = [number(cell, sheet.decimal_comma) is None for cell in first]
    numeric = []
    for index in range(len(first)):
        cells = [row[index] for row in below]
        numeric.append(
            all(number(cell, sheet.decimal_comma) is not None for cell in cells)
            and any(cell.lower() not in MISSING for cell in cells)
        )
    if any(numeric):
        return any(a and b for a, b in zip(text, numeric, strict=True))
    fresh = all(cell != row[index] for row in below for index, cell in enumerate(first))
    return all(text) and len(set(first)) == len(first) and fresh


def _holds_names(sheet: Sheet, names: Sequence[str], numeric: Sequence[bool]) -> bool:
    first = sheet.rows[0]
    speaking = [name for name in names if number(name, False) is None]  # "1" may as well be a value
    if speaking and 2 * sum(name in first for name in speaking) >= len(speaking):
        return True
    due = [cell for cell, is_number in zip(first, numeric, strict=False) if is_number]
    return bool(due) and all(number(cell, sheet.decimal_comma) is None for cell in due)


def _names(sheet: Sheet) -> tuple[str, ...]:
    names = tuple(cell or str(place) for place, cell in enumerate(sheet.rows[0], 1))
    places: dict[str, int] = {}
    for place, name in enumerate(names, 1):
        first = places.setdefault(name, place)
        if first != place:
            raise InputError(
                f"{sheet.path}: line {sheet.lines[0]}: the column name {name!r} is used twice, "
                f"for columns {first} and {place}."
            )
    return names


def _positions(sheet: Sheet, names: Sequence[str]) -> Sequence[int]:
    width, count = len(sheet.rows[0]), len(names)
    if width == count + 1 and all(name.isdecimal() and 1 <= int(name) <= width for name in names):
        return [int(name) - 1 for name in names]
    if width not in (count, count + 1):
        raise InputError(
            f"{sheet.path}: has {counted(width, 'column')}, expected {count} ({', '.join(names)}), or one more that is "
            "ignored."
        )
    return range(count)


def _column(sheet: Sheet, index: int, name: str, numeric: bool | None = None) -> Column:
    """A column as numbers or text; numeric None: as numbers if all cells are."""
    cells = sheet.column(index)
    values: list[float] = []
    if numeric is not False:
        for line, cell in zip(sheet.lines, cells, strict=True):
            value = number(cell, sheet.decimal_comma)
            if value is None and numeric:
                raise InputError(
                    f"{sheet.path}: line {line}, column {name!r}: {cell!r} given, expected a number, "
                    "or nothing, NA or ? for a missing one."
                )
            if value is None:
                break
            values.append(value)
    if len(values) < len(cells):
        return np.array([None if cell.lower() in MISSING else cell for cell in cells], np.object_)
    column = np.array(values, np.float64)
    for row in np.flatnonzero(np.isinf(column)):
        raise _not_finite(sheet.path, sheet.lines[row], name, cells[row])
    return column


def _not_finite(path: StrPath, line: int, name: str, cell: str) -> InputError:
    return InputError(f"{path}: line {line}, column {name!r}: {cell!r} given, expected a finite number.")


def _classes(cells: Sequence[str], decimal_comma: bool, where: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels of shape (n,) and the sorted classes of a target without missing cells."""
    values = {cell: number(cell, decimal_comma) for cell in set(cells)}
    keys: dict[str, tuple[float, str]] = {}
    for cell, value in values.items():
        # One cell that is no number makes all of them names; "1" and "1.0" are otherwise one class.
        if value is None:
            keys = {cell: (0.0, cell) for cell in values}
            break
        if not value.is_integer():
            raise InputError(f"{where}: {cell!r} is a quantity to be estimated (regression), expected classes.")
        keys[cell] = (value, str(int(value)))
    order = sorted(set(keys.values()))
    if len(order) > _MANY_CLASSES and 2 * len(order) > len(cells):
        raise InputError(
            f"{where}: {len(order)} different values in {len(cells)} rows are a quantity to be estimated "
            "(regression) or an identifier, expected classes."
        )
    if len(order) < 2:
        raise InputError(f"{where}: all rows are of one class, {order[0][1]!r}, expected two or more.")
    rank = {key: number for number, key in enumerate(order)}
    return np.array([rank[keys[cell]] for cell in cells], np.int64), tuple(name for _, name in order)
