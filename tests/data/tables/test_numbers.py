"""Numbers: in which notations a column is read, how a file decides between two, and what new rows may look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from table_files import lists, read, write

from shiftlearn.data.tables.numbers import PLAIN, Notation, choose, closest, fits
from shiftlearn.data.tables.rows import read_rows
from shiftlearn.errors import InputError, RunWarning

COMMA = Notation(",")


def column(path: Path, *cells: str, others: str = "", **options: object) -> list[object]:
    """What a column becomes; in a file with other columns like that, if need be."""
    rows = "".join(f'"{cell}"\t{others}\t{"ab"[k % 2]}\n' for k, cell in enumerate(cells))
    return lists(read(path, "x\ty\tt\n" + rows, **options).columns)[0]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,5", "-2,25", "3", "1,5e3"], [1.5, -2.25, 3, 1500]),
        (["0,123", "0,456"], [0.123, 0.456]),  # no thousands begin with 0
        (["1234,567", "1"], [1234.567, 1]),
        (["1,234,567", "1"], [1234567, 1]),
        (["1,234.5", "12"], [1234.5, 12]),
        (["1.234,5", "12"], [1234.5, 12]),
        (["1.234.567", "12"], [1234567, 12]),
        (["1 234", "-12 345,5"], [1234, -12345.5]),
        (["1\u202f234", "12\u00a0345.5"], [1234, 12345.5]),
        (["1'234", "12\u2019345.5"], [1234, 12345.5]),
        (["10.5%", "3 %"], [10.5, 3]),
        (["10,5%", "-3%"], [10.5, -3]),
        (["$50", "$1,234.5", "-$3", "$-4"], [50, 1234.5, -3, -4]),
        (["50 €", "1.234,5 €"], [50, 1234.5]),
        (["1970-01-02", "1969-12-31"], [1, -1]),
        (["1970-01-02T12:00", "1970-01-01 06:00:00Z", "1970-01-01T00:00+06:00"], [1.5, 0.25, -0.25]),
        (["", "1,5", "NA"], [None, 1.5, None]),
    ],
    ids=str,
)
def test_one_notation_makes_numbers(path: Path, cells: list[str], values: list[float]) -> None:
    assert column(path, *cells) == values


@pytest.mark.parametrize(
    "cells",
    [
        ["1,5", "2.5"],
        ["1.234,5", "1,234.5"],
        ["1,23,456", "1"],
        ["$50", "50"],
        ["$50", "€50"],
        ["50%", "$50"],
        ["2024-01-01", "2024-02-30"],
        ["2024-01-01", "2024"],
        ["2024-01", "2024-02"],
        ["1_000", "2"],
        ["12:30", "12:31"],
        ["--1", "+-1"],
        ["$", "%"],
        ["1 23", "1 234"],
    ],
    ids=str,
)
def test_two_notations_or_none_stay_text(path: Path, cells: list[str]) -> None:
    assert column(path, *cells) == cells


def test_other_columns_tell_the_decimal_mark(path: Path) -> None:
    for cells in (["1,234", "5,678"], ["1.234", "5.678"]):
        as_decimals, as_thousands = [1.234, 5.678], [1234, 5678]
        comma = "," in cells[0]
        assert column(path, *cells) == (as_thousands if comma else as_decimals)  # nothing tells
        assert column(path, *cells, others="0.5") == (as_thousands if comma else as_decimals)
        assert column(path, *cells, others="0,5") == (as_decimals if comma else as_thousands)
    both = read(path, "x\ty\tz\tt\n1,234\t0,5\t0.5\ta\n5,678\t1,5\t1.5\tb\n")  # they disagree
    assert lists(both.columns) == [[1234, 5678], [0.5, 1.5], [0.5, 1.5]]
    semicolons = read(path, "x;y;t\n1,234;1.234;a\n5,678;5.678;b\n")
    assert lists(semicolons.columns) == [[1.234, 5.678], [1.234, 5.678]]


def test_a_guess_of_the_decimal_mark_is_noted_and_overruled(path: Path) -> None:
    table = read(path, "x\tt\n1,234\ta\n5,678\tb\n")
    assert table.notes == (
        "column 'x': '1,234' is read as 1234, as nothing in the file tells the decimal mark; --decimal , reads 1.234",
    )
    for decimal, value in ((",", 1.234), (".", 1234)):
        table = read(path, "x\tt\n1,234\ta\n5,678\tb\n", decimal=decimal)
        assert (lists(table.columns)[0][0], table.notes) == (value, ())
    assert read(path, "x;t\n1,234;a\n5,678;b\n").notes[0].endswith("--decimal . reads 1234")
    assert column(path, "1.234", "5.678", decimal=",") == [1234, 5678]
    assert column(path, "1.5", "2", decimal=",") == ["1.5", "2"]
    with pytest.raises(InputError, match=r"decimal: ';' given, expected '\.', ',' or 'auto'"):
        read(path, "x,t\n1,a\n2,b\n", decimal=";")


def test_choices() -> None:
    assert fits(()) == fits(("1", "-2e3")) == (PLAIN, COMMA)
    assert fits(("1.5",)) == (PLAIN, None)
    assert fits(("1,5",)) == (None, COMMA)
    assert choose([("1,234",), ("1,5",)], "auto", ",") == [(COMMA, None), (COMMA, None)]
    assert choose([("1,234",)], "auto", ",") == [(Notation(".", ","), COMMA)]
    assert closest(["1,5", "2,5", "3.5"], "auto") == COMMA
    assert closest(["1,5", "2.5", "x", "y"], "auto") is None
    assert closest(["P1", "P2", "P3"], "auto") is None


# New rows


def test_new_rows_are_read_by_the_notation_of_training(path: Path) -> None:
    def rows(content: str, *notations: Notation, **options: object) -> list[list[object]]:
        names = ("x", "y")[: len(notations)]
        kinds = (True,) * len(notations)
        return lists(read_rows(write(path, content), names, kinds, notations=notations, **options))

    assert rows("x\n1,234\n", COMMA, separator="\t") == [[1.234]]
    assert rows("x\n1,234\n", Notation(".", ","), separator="\t") == [[1234]]
    assert rows("x\n1.234\n", PLAIN) == [[1.234]]
    assert rows("x\n1.234\n", Notation(",", ".")) == [[1234]]
    assert rows("x\n1.5\n", COMMA) == [[1.5]]  # nothing else fits
    assert rows("x\ty\n1,5\t1,234\n", PLAIN, PLAIN) == [[1.5], [1.234]]
    assert rows("x\n1,234\n", PLAIN, separator=";", decimal=".") == [[1234]]
    assert rows("x\n1,234\n", COMMA, separator="\t", decimal=".") == [[1234]]
    with pytest.warns(RunWarning, match=r"table.csv: column 'x': '1,234' is read as 1234,.*--decimal , reads 1.234"):
        assert rows("x\n1,234\n", PLAIN, separator="\t") == [[1234]]
    assert rows("x\n50 €\n", Notation(unit="€")) == [[50]]
    assert rows("x\n2024-01-01\n", Notation(unit="date")) == [[19723]]
    for cell, notation, wanted in (
        ("0.5", Notation(unit="%"), r"a number \(%\)"),
        ("5%", PLAIN, "a number, or nothing"),
        ("7", Notation(unit="date"), r"a number \(ISO dates as days\)"),
    ):
        with pytest.raises(InputError, match=rf"line 2, column 'x': '{cell}' given, expected {wanted}"):
            rows(f"x\n{cell}\n", notation)


def test_notations_are_those_of_the_file(path: Path) -> None:
    table = read(path, "x\ty\tz\tw\tt\n1,5\tred\t$1\t7\ta\n2,5\tblue\t$2\t8\tb\n")
    assert table.notations == (COMMA, None, Notation(unit="$"), PLAIN)
    again = read_rows(path, table.names, [True, False, True, True], notations=table.notations)
    for found, known in zip(again, table.columns, strict=True):
        np.testing.assert_array_equal(found, known)


@pytest.mark.parametrize("stored", [[";", "", ""], [",", ",", ""], [".", "", 3], [".", ""], None, [[], "", ""]])
def test_damaged_notations(stored: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        Notation.from_stored(stored)
