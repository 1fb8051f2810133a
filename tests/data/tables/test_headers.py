"""Headers: when the first row names the columns, by which names they go, and which of them are left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from table_files import fails, lists, read


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("size,sort\n1,a\n2,b\n", ["size"]),  # text above numbers
        ("2019,label\n1,0\n2,1\n", ["2019"]),  # one such column is enough
        ("2019,sort\n1,a\n2,b\n", ["1"]),  # "sort" may be a class
        ("colour,sort\nred,a\nblue,b\n", ["colour"]),  # all text, all different, none again
        ("red,a\nblue,b\nred,b\n", ["1"]),  # "red" again below
        ("a,a\nx,b\n", ["1"]),  # "a" twice
        ("?,sort\nred,a\nblue,b\n", ["1"]),  # a missing value is no name
        ("5.1,setosa\n4.9,virginica\n", ["1"]),
        (",x,t\n5,1,a\n5,2,b\n", ["1", "x"]),  # no name, and no index
        ("0,1,2,3,sort\n5.1,3.5,1.4,0.2,a\n4.9,3,1,2,b\n", ["0", "1", "2", "3"]),  # as pandas names columns
        ("0,1,2,sort\n5,3,1,a\n4,3,2,b\n", ["0", "1", "2"]),
        ("0,1,2\n5.1,3.5,1\n4.9,3,2\n", ["0", "1"]),
        ("0,1,2\n1,2,0\n2,0,1\n", ["1", "2"]),  # whole numbers below, as in that row
        ("0,1,a\n1,1,b\n1,0,a\n", ["1", "2"]),  # "a" is a class
        ("10%,90%,sort\n1.5,2.5,a\n2,3,b\n", ["10%", "90%"]),  # no percentages below
        ("price,sort\n$5,a\n$6,b\n", ["price"]),
        ("1 234;a\n5 678;b\n912;a\n", ["1"]),
        ("x,y,t\n,1,a\n,2,b\n", ["x", "y"]),
    ],
)
def test_header_is_guessed(path: Path, content: str, names: list[str]) -> None:
    table = read(path, content)
    assert list(table.names) == names
    assert len(table.labels) == len(content.splitlines()) - (names not in (["1"], ["1", "2"]))


def test_header_may_be_given(path: Path) -> None:
    table = read(path, "2019,2020\n1,0\n2,1\n", header=True)
    assert (table.names, lists(table.columns)) == (("2019",), [[1, 2]])
    table = read(path, "x,sort\n1,a\n2,b\n", header=False)
    assert (table.names, lists(table.columns), table.classes) == (("1",), [["x", "1", "2"]], ("a", "b", "sort"))


def test_a_name_that_was_asked_for_makes_a_header(path: Path) -> None:
    content = "a,b,c\nx,y,z\na,q,w\n"  # "a" stands again below
    assert read(path, content).names == ("1", "2")
    for asked in ({"target": "b"}, {"drop": ["b"]}):
        table = read(path, content, **asked)
        assert (set(table.names) < {"a", "b", "c"}, len(table.labels)) == (True, 2)
    assert read(path, content, target="2").names == ("1", "3")
    fails(path, content, "unknown target column 'd'.*The first row was taken for data: --header", target="d")


def test_columns_that_are_left_out(path: Path) -> None:
    content = "note,size,sort\nx,1,a\ny,2,b\n"
    for drop in (["note"], ["1"]):
        table = read(path, content, drop=drop)
        assert (table.names, table.left_out, lists(table.columns)) == (("size",), ("note",), [[1, 2]])
    fails(path, content, "unknown column to drop 'nite'. Did you mean 'note'", drop=["nite"])
    fails(path, content, r"column 'sort' cannot be both the target and left out \(--drop\)", drop=["sort"])
    fails(path, content, "has only one column besides those left out", drop=["note", "size"])


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "Unnamed: 0.1"])
def test_an_index_is_left_out(path: Path, name: str) -> None:
    for numbers in ("0 1 2", "1 2 3", "2 0 1", "17 4 90"):  # in order, shuffled, and of some rows
        content = f"{name},x,t\n" + "".join(f"{n},{n},{c}\n" for n, c in zip(numbers.split(), "aba", strict=True))
        table = read(path, content)
        assert (table.names, table.left_out) == (("x",), (name or "1",))
        assert len(read(path, content, row_numbers=True).names) == 2
        assert read(path, content, drop=["1"]).names == ("x",)
    for numbers in ("0 1 1", "0.5 1 2", "-1 0 1"):
        content = f"{name},x,t\n" + "".join(f"{n},1,{c}\n" for n, c in zip(numbers.split(), "aba", strict=True))
        assert len(read(path, content).names) == 2
    assert read(path, "id,x,t\n0,1,a\n1,2,b\n").names == ("id", "x")


def test_duplicate_names(path: Path) -> None:
    fails(path, "\nx,y,x,t\n1,2,3,a\n1,2,3,b\n", "line 2: the column name 'x' is used twice, for columns 1 and 3")
    fails(path, "2,,t\n1,2,a\n1,2,b\n", "line 1: the column name '2' is used twice, for columns 1 and 2", header=True)
