"""Whether the first row of a file names its columns, and the names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...errors import InputError
from .delimited import Sheet
from .numbers import Notation, closest, fits, plain

__all__ = ["column_names", "holds_names", "is_header"]

_SAMPLE = 1000  # rows with which a possible header is compared
_MOSTLY = 0.9  # of a column's cells: some cells that are no numbers do not hide that its first cell is a name
_CHANCE = 10  # columns: no row counts them up by chance


def is_header(sheet: Sheet, asked: Collection[str]) -> bool:
    """A guess, by the names that were asked for and the first rows, as :func:`shiftlearn.data.tables.read_csv` says."""
    if len(sheet.rows) == 1 or any(name in sheet.rows[0] and plain(name) is None for name in asked):
        return True
    first = sheet.rows[0]
    sample = Sheet(sheet.path, sheet.separator, sheet.rows[1 : 1 + _SAMPLE], sheet.lines, sheet.missing)
    notations = [_mostly(sample.known(index)) for index in range(len(first))]
    if any(notations):
        named = (
            notation and not sheet.is_missing(cell) and notation.unit not in _units(cell)
            for cell, notation in zip(first, notations, strict=True)
        )
        return any(named) or _counts_up(sample, first)
    return all(_is_text(sheet, cell) for cell in first) and len(set(first)) == len(first) and _is_fresh(sample, first)


def holds_names(sheet: Sheet, names: Sequence[str], numeric: Sequence[bool], named: bool) -> bool:
    """Whether the first row holds the ``names`` of a table, which may be ``named`` by a header; a guess, too."""
    first = sheet.rows[0]
    speaking = [name for name in names if plain(name) is None]  # "1" may as well be a value
    if speaking and 2 * sum(name in first for name in speaking) >= len(speaking):
        return True
    if named and not speaking and [cell for cell in first if cell in names] == list(names):
        return True
    due = [cell for cell, is_number in zip(first, numeric, strict=False) if is_number]
    return bool(due) and not any(sheet.is_missing(cell) or _units(cell) for cell in due)


def column_names(sheet: Sheet) -> tuple[str, ...]:
    """The first row; a column without a name goes by its number, from 1.

    Raises:
        InputError: two columns have one name.
    """
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


def _mostly(cells: Sequence[str]) -> Notation | None:
    """The notation of a column that is numbers but for a few cells; None for text, or where all is missing."""
    if not cells:
        return None
    point, comma = fits(set(cells))
    if point or comma:
        return point or comma
    best = closest(cells, "auto")
    if best and sum(best.number(cell) is not None for cell in cells) >= _MOSTLY * len(cells):
        return best
    return None


def _counts_up(below: Sheet, first: Sequence[str]) -> bool:
    """Whether a row is 0, 1, 2, ..., as pandas names columns, perhaps with an unnamed one before and a name after."""
    cells = first[1:] if not first[0] else first
    count = next((place for place, cell in enumerate(cells) if cell != str(place)), len(cells))
    names = cells[count:]
    if count < 2 or not all(_is_text(below, name) for name in names) or not _is_fresh(below, first):
        return False
    if not names and list(first) in below.rows:
        return False
    cells_below = (cell for row in below.rows for cell in row[-len(cells) :][:count])
    if any(cell and not cell.lstrip("-").isdecimal() for cell in cells_below):  # such as 5.1: no more of whole numbers
        return bool(names) or count > 2
    return count > 2 if names else count >= _CHANCE


def _units(cell: str) -> set[str]:
    """The unit of the number in a cell, in whatever notation; none if it is text."""
    return {notation.unit for notation in fits((cell,)) if notation}


def _is_text(sheet: Sheet, cell: str) -> bool:
    return not sheet.is_missing(cell) and plain(cell) is None


def _is_fresh(below: Sheet, first: Sequence[str]) -> bool:
    """Whether no text of a row stands again below it in the same column."""
    text = [index for index, cell in enumerate(first) if plain(cell) is None]
    return all(first[index] != row[index] for row in below.rows for index in text if first[index])
