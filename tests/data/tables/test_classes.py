"""Classes: what the target says, as it is written, and what cannot be told apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from table_files import fails, lists, read

from shiftlearn.data.tables.classes import old_names


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        ("10 9 -1", "-1 9 10"),
        ("10 9 b", "10 9 b"),
        ("1234567890123456789 1234567890123456788", "1234567890123456788 1234567890123456789"),
        ("007 7 8", "007 7 8"),
        ("01234 1234", "01234 1234"),
        ("1e5 100000", "100000 1e5"),
        ("2.0 10.0", "2.0 10.0"),
        ("2,0 10,0", "2,0 10,0"),
        ("1,000 10,000 2,000", "1,000 10,000 2,000"),
        ("50% 9%", "50% 9%"),
        ("2024-01-02 2024-01-01", "2024-01-01 2024-01-02"),
        ("1e308 9", "9 1e308"),
        ("inf x", "inf x"),
    ],
)
def test_classes_are_the_texts_of_the_file(path: Path, cells: str, classes: str) -> None:
    content = "x\tt\n" + "".join(f"{k}\t{cell}\n" for k, cell in enumerate(cells.split()))
    table = read(path, content)
    assert table.classes == tuple(classes.split())
    assert [table.classes[label] for label in table.labels] == cells.split()


def test_one_number_in_two_spellings_is_noted(path: Path) -> None:
    for cells in ("7 007", "1 1.0", "1e5 100000", "0 -0", "1,0 1"):
        one, other = sorted(cells.split())
        table = read(path, f"x\tt\n5\t{one}\n6\t{other}\n")
        assert table.notes == (
            f"target 't': classes '{one}' and '{other}' are one number in several spellings, "
            "and count as different classes",
        )
    for cells in ("1234567890123456789 1234567890123456788", "7 007x"):
        one, other = cells.split()
        assert read(path, f"x\tt\n5\t{one}\n6\t{other}\n").notes == ()


def test_classes_that_look_missing(path: Path) -> None:
    content = "x,y,t\n1,NA,None\n?,b,-\n2,b,NA\n3,b,yes\n"
    fails(
        path,
        content,
        r"line 2: the target \(column 't'\) is missing, 'None' given: it reads as a missing value, as do 3 of 4 rows; "
        r"if it is a class, say which other cells are missing besides empty ones: --missing '\?'\.",
    )
    table = read(path, content, missing=["?"])
    assert (table.classes, lists(table.columns)) == (
        ("-", "NA", "None", "yes"),
        [[1, None, 2, 3], ["NA", "b", "b", "b"]],
    )
    fails(path, "x,t\n1,-\n2,b\n", r".*if it is a class, .* besides empty ones: --missing ''\.")
    assert read(path, "x,t\n1,-\n2,b\n", missing=[""]).classes == ("-", "b")
    fails(
        path,
        "x,t\n1,\n2,b\n3,\n",
        r"line 2: .*is missing, '' given: every row needs a class, and 2 of 3 rows have none",
    )
    fails(path, "x,t\n1,\n2,b\n", "line 2: .*is missing, '' given", missing=[])


def test_targets_that_are_no_classes(path: Path) -> None:
    fails(path, "x,t\n1,a\n2,a\n", "column 't': all rows are of one class, 'a', expected two or more")
    fails(path, "x,t\n1,1\n2,1.5\n", r"column 't': '1\.5' is a quantity to be estimated \(regression\).*--target names")
    fails(path, "x\tt\n1\t1,5\n2\t2,5\n", r"column 't': '[12],5' is a quantity to be estimated \(regression\)")
    many = "x,t\n" + "".join(f"{number},{number}\n" for number in range(101))
    fails(path, many, r"column 't': 101 different values in 101 rows are a quantity .*\(regression\) or an identifier")
    fails(path, many.replace(",", ",id"), "column 'idt': 101 different values in 101 rows are .* an identifier")
    assert len(read(path, many.replace("100,100", "100,0")).classes) == 100
    assert len(read(path, many + many.removeprefix("x,t\n")).classes) == 101


def test_names_of_older_versions() -> None:
    assert old_names(("007", "8.0", "1e1")) == ("7", "8", "10")
    assert old_names(("1,0", "2")) == ("1", "2")
    assert old_names(("1", "b")) == ("1", "b")
