"""Tables with one row per example: scikit-learn's embedded ones by name, and CSV files a user brings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...errors import InputError, unknown_name
from ...registry import TABLES
from .account import Kind, columns_line, kind_of, rows_line
from .classes import find_classes, one_number
from .columns import Column, read_column, require_finite
from .delimited import MISSING, Sheet, StrPath, read_sheet
from .doubts import is_index, missing_options, of_classes, of_column, shortened
from .headers import column_names, is_header
from .numbers import Notation, choose, plain
from .rows import read_rows

__all__ = ["TABLES", "Column", "Table", "load_table", "read_csv", "read_rows"]

"""The tables that scikit-learn brings along."""


@dataclass(frozen=True)
class Table:
    """A table whose rows are to be told apart by class.

    Attributes:
        name: of the table, or of its file without suffix.
        names: of the feature columns.
        columns: the features, each of shape (n,).
        labels: of shape (n,), index into ``classes``.
        classes: sorted, as numbers if all are whole numbers; each as it is written.
        notations: how a file writes the numbers of each column, None for text; empty for tables from elsewhere.
        header: whether a file's first row named the columns; None for tables from elsewhere.
        left_out: names of the columns of a file that are neither features nor target.
        account: of how a file was read: one line on its rows, one on its columns.
        notes: warnings of what looks like a mistake in it, or was guessed.
    """

    name: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    notations: tuple[Notation | None, ...] = ()
    header: bool | None = None
    left_out: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
    labels, classes = find_classes([str(bunch.target_names[number]) for number in bunch.target], name)
    return Table(name, tuple(map(str, bunch.feature_names)), columns, labels, classes)


def read_csv(
    path: StrPath,
    target: str | None = None,
    separator: str | None = None,
    header: bool | None = None,
    *,
    encoding: str = "utf-8",
    missing: Collection[str] = MISSING,
    decimal: str = "auto",
    drop: Collection[str] = (),
    row_numbers: bool = False,
) -> Table:
    """Read a labelled table from a CSV file.

    White space around a cell is no part of it, blank lines are skipped, and a column is numeric if all of its cells
    are missing or numbers in one notation: see :mod:`shiftlearn.data.tables.numbers`. The table's ``account`` says what
    was made of the file, and its ``notes`` what may be wrong with that.

    Args:
        path: the file.
        target: name, or else number from 1, of the column with the classes; None: the last one.
        separator: one character, a space for runs of spaces, or the word tab or space. None: comma, semicolon, tab or
            bar, whichever cuts the first 200 rows most evenly (and into most numbers); spaces if none of these does.
        header: whether the first row names the columns; otherwise they are "1", "2", .... None: it does if it holds
            ``target`` or a name in ``drop``; if one of its cells is text above a column of numbers (a few cells of
            which, in the next 1000 rows, may be text); if it counts 0, 1, 2, ..., as pandas names columns; or if there
            is no column of numbers and its cells are all text, all different, and none stands again below.
        encoding: of the file.
        missing: the cells that stand for a missing value, in upper case or lower; an empty cell always does.
        decimal: the decimal mark, "." or ","; "auto": what the columns show.
        drop: columns that are left out, by name or number as ``target``.
        row_numbers: whether an index is a feature: a first column without a name (or "Unnamed: 0") that numbers the
            rows. It is left out, as it tells the class wherever the rows are sorted by class.

    Raises:
        InputError: an argument does not fit the file, or the file is not a table: unreadable, of another encoding,
            malformed or uneven rows, nothing but a header, a column name used twice, a number that is not
            finite, a missing target, one class alone, or a target to be estimated instead of told apart.
    """
    sheet = read_sheet(path, separator, encoding, missing)
    guessed = header is None
    if header is None:
        header = is_header(sheet, [*drop, *([target] if target else [])])
    width = len(sheet.rows[0])
    names = column_names(sheet) if header else tuple(str(number) for number in range(1, width + 1))
    body = sheet.below_header() if header else sheet
    hint = " The first row was taken for data: --header makes it the names." if guessed and not header else ""
    index = width - 1 if target is None else _place(path, "target column", target, names, hint)
    dropped = {_place(path, "column to drop", name, names, hint): "left out: --drop" for name in drop}
    if index in dropped:
        raise InputError(f"{path}: column {names[index]!r} cannot be both the target and left out (--drop).")
    indexes = [k for k, name in enumerate(sheet.rows[0]) if header and is_index(k, name, body.column(k)) and k != index]
    if not row_numbers:
        dropped |= dict.fromkeys(indexes, "left out: row numbers (--set row_numbers=true keeps them)")
    features = [place for place in range(width) if place != index and place not in dropped]
    if not features:
        raise InputError(
            f"{path}: has only one column{' besides those left out' if dropped else ''} where features and a target "
            f"are expected (cells are separated by {sheet.separator!r}; --separator names another one)."
        )

    choices = choose([set(body.known(place)) for place in features], decimal, body.separator)
    labels, classes = _target(body, index, names[index], decimal)
    columns = tuple(
        read_column(body, place, names[place], choice.notation) for place, choice in zip(features, choices, strict=True)
    )
    kinds = {place: Kind(reason) for place, reason in dropped.items()} | {index: Kind("target", len(classes))}
    doubts = of_classes(names[index], one_number(classes, decimal))
    for place, column, choice in zip(features, columns, choices, strict=True):
        kinds[place] = kind_of(column, choice.notation)
        if place not in indexes:  # which were asked for
            doubts += of_column(body, place, names[place], choice, decimal)
    return Table(
        name=Path(path).stem,
        names=tuple(names[place] for place in features),
        columns=columns,
        labels=labels,
        classes=classes,
        notations=tuple(choice.notation for choice in choices),
        header=header,
        left_out=tuple(names[place] for place in sorted(dropped)),
        account=(
            rows_line(body, sheet.lines[0] if header else None),
            columns_line(names, [kinds[place] for place in range(width)]),
        ),
        notes=shortened(doubts),
    )


def _place(path: StrPath, kind: str, given: str, names: Sequence[str], hint: str) -> int:
    """The index of a column that goes by its name, or else by its number from 1."""
    if given in names:
        return names.index(given)
    if given.isdecimal() and 1 <= int(given) <= len(names):
        return int(given) - 1
    raise InputError(f"{path}: {unknown_name(kind, given, names)}{hint}")


def _target(body: Sheet, index: int, name: str, decimal: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels of shape (n,) and classes."""
    cells = body.column(index)
    lost = [(line, cell) for line, cell in zip(body.lines, cells, strict=True) if body.is_missing(cell)]
    if lost:
        line, cell = next((one for one in lost if one[1]), lost[0])
        count = f"{len(lost)} of {len(cells)} rows"
        rule = f"every row needs a class, and {count} have none"
        if cell:
            options = missing_options(body, without=[cell for _, cell in lost])
            rule = (
                f"it reads as a missing value, as do {count}; if it is a class, say which other cells are missing "
                f"besides empty ones: {options}"
            )
        raise InputError(f"{body.path}: line {line}: the target (column {name!r}) is missing, {cell!r} given: {rule}.")
    values = [plain(cell) for cell in cells]
    if None not in values:
        require_finite(body, name, cells, np.array(values, np.float64))
    return find_classes(cells, f"{body.path}: column {name!r}", decimal)
