"""Text in rows and cells: reading a CSV file, and guessing what separates its cells."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, counted
from ...registry import MISSING
from .numbers import plain

__all__ = ["MISSING", "Sheet", "StrPath", "read_sheet"]

StrPath = str | os.PathLike[str]

_SEPARATORS = "\t|;,"  # rarest in text first: the first wins a tie
_SEPARATOR_WORDS = {"tab": "\t", "\\t": "\t", "space": " "}
_SAMPLE = 200  # rows from which the separator is guessed


@dataclass(frozen=True)
class Sheet:
    """The cells of a file: at least one row, all of one length, and the line on which each row starts.

    ``missing`` are the cells, in lower case, that stand for a missing value.
    """

    path: StrPath
    separator: str
    rows: list[list[str]]
    lines: list[int]
    missing: frozenset[str]

    def column(self, index: int) -> list[str]:
        return [row[index] for row in self.rows]

    def is_missing(self, cell: str) -> bool:
        return cell.lower() in self.missing

    def known(self, index: int) -> list[str]:
        """The cells of a column that are not missing."""
        return [row[index] for row in self.rows if row[index].lower() not in self.missing]

    def below_header(self) -> Sheet:
        if len(self.rows) == 1:
            raise InputError(f"{self.path}: holds one row, taken for the header, and no rows below it.")
        return Sheet(self.path, self.separator, self.rows[1:], self.lines[1:], self.missing)


def read_sheet(path: StrPath, separator: str | None, encoding: str, missing: Collection[str]) -> Sheet:
    """The cells of a file; without a ``separator``, by the one that suits it best.

    Raises:
        InputError: separator or encoding is none, or the file cannot be read, is empty, malformed or uneven.
    """
    if isinstance(missing, str):
        raise InputError(f"missing: {missing!r} given, expected a list of cells.")
    text = _text(path, encoding)
    if separator is None:
        separator = _guess_separator(path, text)
    else:
        given, separator = separator, _SEPARATOR_WORDS.get(separator.lower(), separator)
        if len(separator) != 1 or separator.isalnum() or separator in '"\r\n.+-':
            raise InputError(
                f"separator: {given!r} given, expected one character such as ',', ';' or '|', or the word tab or space."
            )
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, row in _records(path, text, separator):
        if rows and len(row) != len(rows[0]):
            raise InputError(
                f"{path}: line {line}: expected {counted(len(rows[0]), 'cell')} as in line {lines[0]}, found "
                f"{len(row)} (cells are separated by {separator!r}; --separator names another one)."
            )
        rows.append(row)
        lines.append(line)
    if not rows:
        raise InputError(f"{path}: is empty.")
    return Sheet(path, separator, rows, lines, frozenset({"", *(cell.strip().lower() for cell in missing)}))


def _text(path: StrPath, encoding: str) -> str:
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a CSV file.") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start : error.start + 1].hex().upper()
        other = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"
        raise InputError(
            f"{path}: line {line}: byte {error.start} (0x{byte}) is not {encoding.upper()}. "
            f"Expected a CSV file as text in {encoding.upper()}; --encoding names another one, such as {other}."
        ) from None
    except (LookupError, UnicodeError, ValueError):  # ValueError: a name with a NUL
        raise InputError(
            f"encoding: {encoding!r} given, expected one that Python knows, such as utf-8, cp1252, latin-1 or utf-16."
        ) from None
    if "\0" in text:
        before = text[: text.index("\0")]
        raise InputError(
            f"{path}: line {before.count(chr(10)) + 1}: byte {len(before.encode(encoding, 'replace'))} is NUL. "
            f"Expected a CSV file as text in {encoding.upper()}."
        )
    return text.removeprefix("\ufeff")


def _records(path: StrPath, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """First line and cells of every row that is not blank."""
    lines: Iterator[str] = io.StringIO(text, newline="")
    if separator == " ":  # csv skips the spaces before a cell, but takes those at the end of a line for a cell
        lines = (line.rstrip(" \r\n") + "\n" for line in lines)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    line = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if len(cells) > 1 or any(cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        hint = "is a quote never closed?"
        if "expected after" in str(error):
            hint = "a quoted cell ends at its second quote, and quotes inside it are doubled."
        raise InputError(f"{path}: line {line}: malformed row ({error}): {hint}") from error


def _guess_separator(path: StrPath, text: str) -> str:
    evenness = {separator: _evenness(path, text, separator) for separator in _SEPARATORS}
    best = max(_SEPARATORS, key=lambda separator: evenness[separator])
    if evenness[best][0] > 0:
        return best
    return " " if _evenness(path, text, " ")[0] >= 0.9 else ","


def _evenness(path: StrPath, text: str, separator: str) -> tuple[float, int]:
    """How well a separator suits the first rows, 0 to 4, and the usual number of cells."""
    rows: list[list[str]] = []
    share = 1.0
    try:
        for _, row in itertools.islice(_records(path, text, separator), _SAMPLE):
            rows.append(row)
    except InputError:
        share = 0.5
    if not rows:
        return 0.0, 0
    width, count = Counter(map(len, rows)).most_common(1)[0]
    if width < 2:
        return 0.0, width
    cells = list(itertools.chain.from_iterable(rows))
    # The wrong separator cuts through quoted cells, which leaves one quote on either side.
    whole = sum(cell.count('"') % 2 == 0 for cell in cells) / len(cells)
    values = [plain(cell if separator == "," else cell.replace(",", ".", 1)) for cell in cells]
    numbers = sum(value is not None for value in values) / len(cells)
    return share * count / len(rows) * (1 + whole) * (1 + numbers), width
