"""The account of a table's reading, and the warnings of what looks like a mistake in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from table_files import read

from shiftlearn.data.tables.account import Kind, columns_line
from shiftlearn.data.tables.features import MAX_CATEGORIES, Features
from shiftlearn.errors import InputError


def test_every_column_is_accounted_for(path: Path) -> None:
    rows = "".join(f"{k},{'uvw'[k % 3]},{'pq'[k % 2]},5,,{k + 7},{k}%\n" for k in range(6))
    table = read(path, "i,b,c,d,e,f,g\n" + rows, target="c", drop=["f"])
    assert table.account == (
        "6 rows, comma-separated, header in line 1, 6 cells missing (empty)",
        "i numeric · b text, 3 levels · c target, 2 classes · d left out: constant · e left out: all missing · "
        "f left out: --drop · g numeric (%)",
    )
    table = read(path, "\n5 1,5 a\n? 2,5 b\nNA 3,5 b\n", separator="space")
    assert table.account == (
        "3 rows, space-separated, no header, 2 cells missing ('?', 'NA')",
        "1 left out: constant · 2 numeric (decimal comma) · 3 target, 2 classes",
    )
    table = read(path, ",x,t\n0,1.5,a\n1,2.5,b\n")
    assert table.account[1].startswith("1 left out: row numbers (--set row_numbers=true keeps them) · x numeric · ")


def test_many_columns_are_named_together() -> None:
    names = [f"p{k}" for k in range(1, 65)]
    line = columns_line([*names, "digit"], [*[Kind("numeric")] * 64, Kind("target", 10)])
    assert line == "64 numeric (p1 … p64) · digit target, 10 classes"
    kinds = [Kind("numeric"), Kind("text", 3), Kind("text", 40), Kind("left out: constant")] * 16
    assert columns_line(names, kinds) == (
        "16 numeric (p1 … p61) · 32 text, 3 to 40 levels (p2 … p63) · 16 left out: constant (p4 … p64)"
    )
    assert len(columns_line([50 * "n\n"] * 64, [Kind(f"numeric ({k})") for k in range(64)])) == 300


def rows(cells: list[str]) -> str:
    return "a,t\n" + "".join(f"{cell},{'pq'[k % 2]}\n" for k, cell in enumerate(cells))


def test_a_column_that_is_mostly_numbers_is_noted(path: Path) -> None:
    cells = [f"{k / 8}" for k in range(20)]
    assert read(path, rows(cells)).notes == ()
    cells[5], cells[6], cells[7] = "<0.1", "NA", "n.a."
    (note,) = read(path, rows(cells)).notes
    assert note.startswith("column 'a' is text because of 2 of 20 cells, such as '<0.1' in line 7, and each of its ")
    assert note.endswith(": mend the cells, or let them count as missing: --missing na --missing '<0.1' --missing n.a.")
    table = read(path, rows(cells), missing=["na", "<0.1", "n.a."])
    assert (table.notes, table.columns[0].dtype) == ((), float)
    cells[5] = cells[7] = "2,5"  # a number, too: not one to be lost
    (note,) = read(path, rows([f'"{cell}"' for cell in cells])).notes
    assert note.endswith("such as '2,5' in line 7, and each of its texts becomes an input of its own: mend the cells")


def test_text_that_is_nearly_all_different_is_noted(path: Path) -> None:
    (note,) = read(path, rows([f"P{k:04d}" for k in range(20)])).notes
    assert note.startswith("column 'a' has 20 different texts in 20 rows, like an identifier: ")
    assert note.endswith("leave it out: --drop a")
    assert read(path, rows([f"P{k // 2}" for k in range(20)])).notes == ()
    assert read(path, rows([f"P{k}" for k in range(9)])).notes == ()


@pytest.mark.parametrize("first", [0, 1])
def test_named_row_numbers_are_noted(path: Path, first: int) -> None:
    numbers = [str(k + first) for k in range(20)]
    note = "column 'a' numbers the rows, which tells nothing of new ones; leave it out: --drop a"
    assert read(path, rows(numbers)).notes == read(path, rows(numbers[::-1])).notes == (note,)
    assert read(path, rows(["5", *numbers[1:]])).notes == ()


def test_a_few_warnings_of_a_kind(path: Path) -> None:
    names = ",".join(f"n{k}" for k in range(8))
    lines = "".join(",".join([f"P{k}"] * 8) + f",{'pq'[k % 2]}\n" for k in range(20))
    notes = read(path, f"{names},t\n{lines}").notes
    assert len(notes) == 3
    assert notes[2].endswith("--drop n2 (and 5 more like it)")


def test_too_many_categories_name_what_is_odd() -> None:
    numbers = [str(k / 8) for k in range(MAX_CATEGORIES)]
    for more, reason in (
        (["<0.1"], "201 different texts are numbers, but for 1 such as '<0.1', expected at most 200 categories: mend"),
        (["<0.1", "n.a."], "202 different texts are numbers, but for 2 such as '<0.1'"),
    ):
        with pytest.raises(InputError, match=f"column 'x': {reason}.*--drop"):
            Features.fit(["x"], [[*numbers, *more]])
