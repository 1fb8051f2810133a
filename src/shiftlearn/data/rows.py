"""Rows to be classified, read as the table was that a model was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

from ..errors import InputError, RunWarning, unknown_name
from .columns import Column, read_column
from .delimited import MISSING, Sheet, StrPath, read_sheet
from .doubts import of_column
from .headers import column_names, holds_names
from .numbers import PLAIN, Choice, Notation, choose

__all__ = ["read_rows"]


def read_rows(
    path: StrPath,
    names: Sequence[str],
    numeric: Sequence[bool],
    separator: str | None = None,
    header: bool | None = None,
    *,
    encoding: str = "utf-8",
    missing: Collection[str] = MISSING,
    decimal: str = "auto",
    notations: Sequence[Notation | None] = (),
    left_out: Collection[str] = (),
) -> tuple[Column, ...]:
    """Read rows to be classified: the columns ``names``, in that order.

    With a header the columns are found by name and others, such as the target, are ignored. Without (or if ``names``
    are numbers, from a table without header, that the header lacks) there must be as many as names, or all columns
    of that table, or one more than names if nothing was left out. That one is the last; if ``names`` are numbers, it
    is the one they leave out.

    Numbers are read as they were in training; where some cells of a column are not written so, all of them in another
    notation, but with the same unit.

    Args:
        path: the file, as for :func:`shiftlearn.data.tables.read_csv`.
        names: of the columns.
        numeric: for each, whether it holds numbers.
        separator: as for :func:`shiftlearn.data.tables.read_csv`.
        header: whether the first row holds names. None: it does if it holds at least half of ``names``,
            or text where each of the numbers would be.
        encoding: as for :func:`shiftlearn.data.tables.read_csv`.
        missing: as for :func:`shiftlearn.data.tables.read_csv`.
        decimal: as for :func:`shiftlearn.data.tables.read_csv`; one that is named goes before ``notations``.
        notations: of the columns in training; none: plain.
        left_out: columns of the table that were neither feature nor target.

    Returns:
        The columns, each of shape (n,).

    Raises:
        InputError: as for :func:`shiftlearn.data.tables.read_csv`, and if a column is missing or a cell is not the
            number it must be.
    """
    sheet = read_sheet(path, separator, encoding, missing)
    if header is None:
        header = holds_names(sheet, names, numeric, len(names) + 1 + len(left_out))
    found = column_names(sheet) if header else ()
    body = sheet.below_header() if header else sheet
    if header and not all(name.isdecimal() and name not in found for name in names):
        for name in names:
            if name not in found:
                raise InputError(f"{path}: a column is missing: {unknown_name('column', name, found)}")
        where: Sequence[int] = [found.index(name) for name in names]
    else:
        where = _positions(sheet, names, len(left_out))
    usual = notations or [None] * len(names)
    choices = choose([set(body.known(place)) for place in where], decimal, body.separator)
    columns = []
    for place, name, is_number, notation, choice in zip(where, names, numeric, usual, choices, strict=True):
        chosen = _as_in_training(body, place, name, notation or PLAIN, choice, decimal) if is_number else None
        columns.append(read_column(body, place, name, chosen))
    return tuple(columns)


def _as_in_training(body: Sheet, place: int, name: str, notation: Notation, choice: Choice, decimal: str) -> Notation:
    """The notation of a column of numbers, that of training if it may be."""
    if decimal == "auto" and all(notation.number(cell) is not None for cell in body.known(place)):
        return notation
    if choice.notation is None or choice.notation.unit != notation.unit:
        return notation  # whose first cell that does not fit is the error
    for _, doubt in of_column(body, place, name, choice, decimal) if choice.other else ():
        warnings.warn(f"{body.path}: {doubt}", RunWarning, stacklevel=3)
    return choice.notation


def _positions(sheet: Sheet, names: Sequence[str], left_out: int) -> Sequence[int]:
    """Where the columns are in a file without header."""
    width, count = len(sheet.rows[0]), len(names)
    numbers = all(name.isdecimal() and 1 <= int(name) <= width for name in names)
    if numbers and width == count + 1 + left_out:
        return [int(name) - 1 for name in names]
    if width == count or (width == count + 1 and not left_out):
        return range(count)
    more = ", or one more that is ignored" if not left_out else ""
    raise InputError(f"{sheet.path}: has {width} columns, expected {count} ({', '.join(names)}){more}.")
