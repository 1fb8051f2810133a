"""What in a table's file looks like a mistake, or was guessed: one line each, with the option that overrules it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from .delimited import Sheet
from .numbers import Choice, Notation, closest, plain

__all__ = ["about_texts", "is_index", "missing_options", "of_classes", "of_column", "shortened"]

_NAMED = 3  # warnings of a kind; further columns are only counted
_FEW = 10  # rows in which chance makes cells distinct
_INDEX = re.compile(r"(Unnamed: 0(\.\d+)*)?")  # as pandas writes it, and after it was read and written again

Doubt = tuple[str, str]  # its kind, and the warning


def is_index(place: int, name: str, cells: Sequence[str]) -> bool:
    """Whether a column has no ``name`` ("" in the first place, or as pandas calls it) and numbers the rows."""
    unnamed = _INDEX.fullmatch(name) and (name or place == 0)
    return bool(unnamed) and all(cell.isdecimal() for cell in cells) and len(set(cells)) == len(cells)


def _are_row_numbers(cells: Sequence[str]) -> bool:
    """Whether the cells of a column are its rows' numbers, from 0 or 1, in whatever order."""
    if not all(cell.isdecimal() and len(cell) < 20 for cell in cells):
        return False
    found = {int(cell) for cell in cells}
    return len(found) == len(cells) and (min(found), max(found)) in ((0, len(cells) - 1), (1, len(cells)))


def of_column(body: Sheet, index: int, name: str, choice: Choice, decimal: str) -> list[Doubt]:
    """The doubts about a feature."""
    known = body.known(index)
    drop = f"leave it out: --drop {shlex.quote(name)}"
    if choice.notation and choice.other:
        return [("guessed", _of_thousands(known, name, choice.notation, choice.other))]
    if choice.notation:
        if len(known) == len(body.rows) >= _FEW and _are_row_numbers(known):
            return [("rows", f"column {name!r} numbers the rows, which tells nothing of new ones; {drop}")]
        return []
    meant = closest(known, decimal)
    if meant:
        return [("numbers", _of_odd_cells(body, index, name, meant))]
    levels = len(set(known))
    if len(known) >= _FEW and 2 * levels > len(known):
        reason = "each becomes an input of its own, which hides the other columns and tells nothing of new rows"
        found = f"{levels} different texts in {len(known)} rows, like an identifier"
        return [("identifier", f"column {name!r} has {found}: {reason}; {drop}")]
    return []


def about_texts(texts: Sequence[str]) -> str:
    """What many different texts of one column look like."""
    meant = closest(texts, "auto")
    if meant is None:
        return f"(such as {texts[0]!r}) look like an identifier or damaged numbers"
    odd = [text for text in texts if meant.number(text) is None]
    return f"are numbers, but for {len(odd)} such as {odd[0]!r}" if odd else f"(such as {texts[0]!r}) are numbers"


def of_classes(name: str, spellings: Sequence[Sequence[str]]) -> list[Doubt]:
    """The doubts about a target, of which some classes are one number in several ``spellings``."""
    reason = "are one number in several spellings, and count as different classes"
    return [("classes", f"target {name!r}: classes {' and '.join(map(repr, same))} {reason}") for same in spellings]


def missing_options(body: Sheet, more: Iterable[str] = (), without: Iterable[str] = ()) -> str:
    """``--missing NA --missing '<0.1'``: the options for those cells that were missing so far, and ``more``."""
    out = {cell.lower() for cell in without}
    used = {cell.lower() for row in body.rows for cell in row if body.is_missing(cell)} - out - {""}
    return " ".join(f"--missing {shlex.quote(cell)}" for cell in [*sorted(used), *more] or [""])


def shortened(doubts: Iterable[Doubt]) -> tuple[str, ...]:
    """The warnings, a few of each kind."""
    kinds: dict[str, list[str]] = {}
    for kind, text in doubts:
        kinds.setdefault(kind, []).append(text)
    found: list[str] = []
    for texts in kinds.values():
        found += texts[:_NAMED]
        if len(texts) > _NAMED:
            found[-1] += f" (and {len(texts) - _NAMED} more like it)"
    return tuple(found)


def _of_thousands(known: Sequence[str], name: str, notation: Notation, other: Notation) -> str:
    cell = next(cell for cell in known if "," in cell)
    value, another = (f"{one.number(cell):.15g}" for one in (notation, other))
    return (
        f"column {name!r}: {cell!r} is read as {value}, as nothing in the file tells the decimal mark; "
        f"--decimal {other.decimal} reads {another}"
    )


def _of_odd_cells(body: Sheet, index: int, name: str, meant: Notation) -> str:
    rows = [
        (line, row[index])
        for line, row in zip(body.lines, body.rows, strict=True)
        if not body.is_missing(row[index]) and meant.number(row[index]) is None
    ]
    line, cell = rows[0]
    different = list(dict.fromkeys(odd for _, odd in rows))
    advice = "mend the cells"
    if len(different) <= _NAMED and not any(plain(odd.replace(",", ".")) is not None for odd in different):
        advice += f", or let them count as missing: {missing_options(body, different)}"
    return (
        f"column {name!r} is text because of {len(rows)} of {len(body.rows)} cells, such as {cell!r} in line {line}, "
        f"and each of its texts becomes an input of its own: {advice}"
    )
