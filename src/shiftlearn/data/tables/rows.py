"""Rows to be classified, read as the table was that a model was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

from ...errors import InputError, RunWarning, unknown_name
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
    named: bool | None = None,
) -> tuple[Column, ...]:
    """Read rows to be classified: the columns ``names``, in that order.

    With a header the columns are found by name and others, such as the target, are ignored. Without (or if the table
    had none, and this one lacks the ``names``, which are numbers) there must be as many as names, or one more if
    nothing was left out, the last, which is ignored; of a table that had no header also all columns, in their places.

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
        named: whether the table had a header; None, if that is not known: names that are numbers are taken for the
            places of the columns if they can be.

    Returns:
        The columns, each of shape (n,).

    Raises:
        InputError: as for :func:`shiftlearn.data.tables.read_csv`, and if a column is missing or a cell is not the
            number it must be.
    """
    sheet = read_sheet(path, separator, encoding, missing)
    if named is None:
        named = not all(name.isdecimal() and 1 <= int(name) <= len(names) + 1 for name in names)
    if header is None:
        header = holds_names(sheet, names, numeric, named)
    found = column_names(sheet) if header else ()
    body = sheet.below_header() if header else sheet
    if header and (named or any(name in found for name in names)):
        for name in names:
            if name not in found:
                raise InputError(f"{path}: a column is missing: {unknown_name('column', name, found)}")
        where: Sequence[int] = [found.index(name) for name in names]
    else:
        where = _positions(sheet, names, len(left_out), named)
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
    if choice.notation is None or choice.notation.unit != notation.unit:  # its first cell that does not fit is an error
        return notation if decimal == "auto" else Notation(decimal, unit=notation.unit)
    for _, doubt in of_column(body, place, name, choice, decimal) if choice.other else ():
        warnings.warn(f"{body.path}: {doubt}", RunWarning, stacklevel=3)
    return choice.notation


def _positions(sheet: Sheet, names: Sequence[str], left_out: int, named: bool) -> Sequence[int]:
    """Where the columns are in a file without header."""
    width, count = len(sheet.rows[0]), len(names)
    if not named and width == count + 1 + left_out:
        return [int(name) - 1 for name in names]
    if width == count or (width == count + 1 and not left_out):
        return range(count)
    more = ", or one more that is ignored" if not left_out else ""
    raise InputError(f"{sheet.path}: has {width} columns, expected {count} ({', '.join(names)}){more}.")
