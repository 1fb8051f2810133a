"""Rows to be classified: what their cells become, by the names and kinds of a table's columns."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from table_files import lists, read, write

from shiftlearn.data.tables.table import read_rows
from shiftlearn.errors import InputError

NAMES, NUMERIC = ("size", "colour"), (True, False)


def rows(path: Path, content: str, names: tuple[str, ...] = NAMES, numeric: tuple[bool, ...] = NUMERIC) -> list:
    return lists(read_rows(write(path, content), names, numeric))


def rows_fail(path: Path, content: str, reason: str, **options: object) -> None:
    with pytest.raises(InputError, match=f"{re.escape(path.name)}: {reason}"):
        read_rows(write(path, content), NAMES, NUMERIC, **options)


def test_rows_with_header(path: Path) -> None:
    assert rows(path, "sort,colour,size\na,red,1\n?,,NA\n") == [[1, None], ["red", None]]
    assert rows(path, "size;colour\n1,5;7\n") == [[1.5], ["7"]]  # text stays text
    assert rows(path, "t,a,b\nx,u,v\n", ("b", "a"), (False, False)) == [["v"], ["u"]]
    assert rows(path, "x\n1\n2\n", ("x",), (True,)) == [[1, 2]]
    columns = read_rows(write(path, "size,colour\n?,\n"), NAMES, NUMERIC)
    assert [column.dtype for column in columns] == [np.float64, np.object_]


def test_rows_without_header(path: Path) -> None:
    for content in ("1,red\n2,blue\n", "1,red,a\n2,blue,b\n", "1;red\n2;blue\n"):
        assert rows(path, content) == [[1, 2], ["red", "blue"]]
    assert rows(path, "1,red") == [[1], ["red"]]
    assert rows(path, "?,red") == [[None], ["red"]]
    assert rows(path, "u,v\n", ("a", "b"), (False, False)) == [["u"], ["v"]]
    assert rows(path, "1\n2\n", ("1",), (True,)) == [[1, 2]]


def test_rows_of_a_table_without_header(path: Path) -> None:
    names = read(path, "a,1,2\nb,3,4\n", target="1").names
    assert names == ("2", "3")
    for content in ("a,1,2\nb,3,4\n", "1,2\n3,4\n", "sort,x,y\na,1,2\nb,3,4\n", "x,y\n1,2\n3,4\n"):
        assert rows(path, content, names, (True, True)) == [[1, 3], [2, 4]]
    columns = read_rows(write(path, "3,x,2\n1,0,2\n"), names, (True, True), header=True)
    assert lists(columns) == [[2], [1]]  # the header has these names


def test_bad_rows(path: Path) -> None:
    rows_fail(path, "size,color\n1,red\n", "a column is missing: unknown column 'colour'. Did you mean 'color'.* size")
    rows_fail(path, "weight,x\n1,red\n", "a column is missing: unknown column 'size'.*Valid: weight, x")
    with pytest.raises(InputError, match="a column is missing: unknown column 'b'"):
        rows(path, "a,x\nu,v\n", ("a", "b"), (False, False))  # half of the names is enough for a header
    rows_fail(path, "1,red,2,a\n", r"has 4 columns, expected 2 \(size, colour\), or one more that is ignored")
    rows_fail(path, "1\n2\n", "has 1 columns, expected 2")
    rows_fail(path, "size,colour\n1,red\n\nbig,red\n", "line 4, column 'size': 'big' given, expected a number, or")
    rows_fail(path, "1,red\nbig,red\n", "line 2, column 'size': 'big' given, expected a number")
    rows_fail(path, "big,red\n1,red\n", "line 1, column 'size': 'big' given, expected a number", header=False)
    rows_fail(path, "1,red\n2,red\n", "a column is missing: unknown column 'size'", header=True)
    rows_fail(path, "1,red\ninf,red\n", "line 2, column 'size': 'inf' given, expected a finite number")
    rows_fail(path, "size,colour\n", "holds one row, taken for the header")
    rows_fail(path, "", "is empty")
    rows_fail(path, "size,colour,size\n1,red,2\n", "line 1: the column name 'size' is used twice")
    with pytest.raises(InputError, match="no such file"):
        read_rows(path.with_name("none.csv"), NAMES, NUMERIC)


def test_rows_of_a_table_whose_columns_have_numbers_for_names(path: Path) -> None:
    names, kinds = ("1", "2", "3"), (True, True, True)
    header = "0,1,2,3\n8,1,2,3\n"  # as pandas names columns; the target is 0
    columns = read_rows(write(path, header), names, kinds, named=True)
    assert lists(columns) == [[1], [2], [3]]
    for content in ("1,2,3\n", "1,2,3\n1,2,3\n"):
        columns = read_rows(write(path, content), names, kinds, named=True, header=False)
        assert [column[0] for column in columns] == [1, 2, 3]
    columns = read_rows(write(path, "8,1,2,3\n"), names[:2], kinds[:2], named=False, left_out=("4",))
    assert lists(columns) == [[8], [1]]
    assert read_rows(write(path, "0,1,2,3\n8,1,2,3\n"), ("0", "1", "2"), kinds)[0].tolist() == [8]


def test_rows_without_header_of_a_table_of_which_something_was_left_out(path: Path) -> None:
    assert lists(read_rows(write(path, "1,red\n"), NAMES, NUMERIC, left_out=("note",))) == [[1], ["red"]]
    rows_fail(path, "1,red,x\n", r"has 3 columns, expected 2 \(size, colour\)\.", left_out=("note",))
