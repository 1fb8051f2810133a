"""Tables: what a file's cells become, and that every file that is none ends in an InputError that says why."""

from __future__ import annotations

import csv
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_files import fails, lists, read, write

from shiftlearn.data.tables.delimited import MISSING
from shiftlearn.data.tables.table import TABLES, load_table, read_csv, read_rows
from shiftlearn.errors import InputError

one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


# Embedded tables


@pytest.mark.parametrize(
    ("name", "rows", "width", "classes"),
    [
        ("breast-cancer", 569, 30, ("benign", "malignant")),
        ("digits", 1797, 64, tuple("0123456789")),
        ("iris", 150, 4, ("setosa", "versicolor", "virginica")),
        ("wine", 178, 13, ("class_0", "class_1", "class_2")),
    ],
)
def test_embedded_tables(name: str, rows: int, width: int, classes: tuple[str, ...]) -> None:
    table = load_table(name)
    assert (table.name, table.classes, len(table.names)) == (name, classes, width)
    assert [(column.dtype, column.shape) for column in table.columns] == [(np.float64, (rows,))] * width
    assert (table.labels.dtype, table.labels.shape) == (np.int64, (rows,))
    assert name in TABLES


def test_embedded_labels_follow_the_sorted_classes() -> None:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()  # its own classes are malignant, benign
    table = load_table("breast-cancer")
    np.testing.assert_array_equal(
        [table.classes[label] for label in table.labels], bunch.target_names[bunch.target].tolist()
    )
    np.testing.assert_array_equal(np.stack(table.columns, 1), bunch.data)


def test_unknown_table_and_no_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InputError, match=r"unknown table 'irs'. Did you mean 'iris'.*breast-cancer, digits, iris, wine"
    ):
        load_table("irs")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match="'iris' comes with scikit-learn: pip install scikit-learn"):
        load_table("iris")


def test_take(path: Path) -> None:
    table = read(path, "a,b,t\n1,x,0\n2,y,1\n3,,0\n")
    assert lists(table.take(np.array([2, 0]))) == [[3, 1], [None, "x"]]
    assert lists(table.take(table.labels == 1)) == [[2], ["y"]]
    assert lists(table.take(slice(1))) == [[1], ["x"]]


# Cells


def test_numbers_text_and_missing(path: Path) -> None:
    table = read(path, "size, colour ,sort\n 1.5 ,red,b\nNA,,a\n-2e3,Dark blue,a\n")
    assert (table.name, table.names, table.classes) == ("table", ("size", "colour"), ("a", "b"))
    assert [column.dtype for column in table.columns] == [np.float64, np.object_]
    assert lists(table.columns) == [[1.5, None, -2000], ["red", None, "Dark blue"]]
    assert table.labels.tolist() == [1, 0, 0]


@pytest.mark.parametrize("missing", [*sorted(MISSING), "NaN", "N/A", "Null", "nOnE"])
def test_missing_markers(path: Path, missing: str) -> None:
    table = read(path, f"x,y,t\n1,red,a\n{missing},{missing},b\n")
    assert lists(table.columns) == [[1, None], ["red", None]]
    reason = rf"line 4: the target \(column 't'\) is missing, {re.escape(repr(missing))} given"
    fails(path, f"x,y,t\n1,red,a\n\n2,red,{missing}\n", reason)


def test_missing_markers_may_be_given(path: Path) -> None:
    content = "x,y,t\n1,-,NA\n<0.1,NA,b\n,red,-\n"
    table = read(path, content, missing=["<0.1"])
    assert (lists(table.columns), table.classes) == ([[1, None, None], ["-", "NA", "red"]], ("-", "NA", "b"))
    assert lists(read(path, content, missing=[""]).columns)[0] == ["1", "<0.1", None]
    assert lists(read(path, "x,t\nNaN,a\n2,b\n", missing=[]).columns) == [["NaN", "2"]]
    with pytest.raises(InputError, match="missing: 'NA' given, expected a list of cells"):
        read(path, content, missing="NA")


def test_all_missing_column_is_kept_as_numbers(path: Path) -> None:
    table = read(path, "x,y,t\n,1,a\n?,2,b\n")
    assert lists(table.columns) == [[None, None], [1, 2]]
    assert table.columns[0].dtype == np.float64


def test_a_single_word_makes_a_column_text(path: Path) -> None:
    assert lists(read(path, "x,t\n1,a\n2,b\nthree,a\n1_000,b\n").columns) == [["1", "2", "three", "1_000"]]
    assert lists(read(path, "x,t\n1,a\n1_000,b\n").columns) == [["1", "1_000"]]


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_infinite_numbers(path: Path, cell: str) -> None:
    fails(path, f"x,t\n1,a\n\n{cell},b\n", f"line 4, column 'x': '{cell}' given, expected a finite number")
    fails(path, f"x,t\n1,1\n\n1,{cell}\n", f"line 4, column 't': '{cell}' given, expected a finite number")
    assert lists(read(path, f"x,t\n{cell},a\nbig,b\n").columns) == [[cell, "big"]]


def test_encodings(path: Path) -> None:
    text = "Größe,t\n1,ä\n2,b\n"
    for content in (text.encode(), text.encode("utf-8-sig")):
        table = read(path, content)
        assert (table.names, table.classes) == (("Größe",), ("b", "ä"))
    fails(path, b"x,t\n1,a\n2,\xe4\n", r"line 3: byte 10 \(0xE4\) is not UTF-8. Expected a CSV file as text in UTF-8")
    fails(path, b"\xef\xbb\xbfx,t\n1,a\n2,\xe4\n", r"line 3: byte 13 \(0xE4\) is not UTF-8")
    fails(path, text.encode("utf-16"), r"line 1: byte 0 \(0xFF\) is not UTF-8")
    fails(path, b"x,t\n1,a\n2\0,b\n", "line 3: byte 9 is NUL. Expected")
    for encoding in ("cp1252", "utf-16", "latin-1"):
        assert read(path, text.encode(encoding), encoding=encoding).classes == ("b", "ä")
    fails(path, b"x,t\n1,a\n2,\xe4\n", r"line 3: byte 10 .*--encoding names another one, such as cp1252")
    fails(path, text.encode("utf-16"), "line 1: byte 0 .*--encoding names another one, such as utf-16")
    fails(
        path,
        text.encode("utf-16"),
        "line 1: byte .* NUL. Expected a CSV file as text in LATIN-1",
        encoding="latin-1",
    )
    for wrong in ("latin9000", "base64", "rot13", "a\0b", ""):
        with pytest.raises(InputError, match=f"encoding: {re.escape(repr(wrong))} given, expected one that Python"):
            read(path, text, encoding=wrong)


# Rows


def test_quotes(path: Path) -> None:
    table = read(path, 'x,"y, z",t\n"1","say ""hi""",a\n2,"two\nlines, ; and |",b\n3, "after space",b\n')
    assert table.names == ("x", "y, z")
    assert lists(table.columns) == [[1, 2, 3], ['say "hi"', "two\nlines, ; and |", "after space"]]


def test_lines_are_counted_through_quoted_line_breaks(path: Path) -> None:
    fails(path, 'x,y,t\n"a\nb\nc",1,a\n\n1,2\n', "line 6: expected 3 cells as in line 1, found 2")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_blank_lines(path: Path, end: str) -> None:
    table = read(path, end.join(["", "x,t", "", "1,a", "   ", "2,b", "", ""]))
    assert (table.names, lists(table.columns)) == (("x",), [[1, 2]])
    fails(path, end.join(["x,t", "", "1,a", "2"]), "line 4: expected 2 cells as in line 1, found 1")


def test_uneven_rows(path: Path) -> None:
    fails(
        path, "x,y,t\n1,2,a\n1,2,3,b\n", r"line 3: expected 3 cells as in line 1, found 4 \(cells are separated by ','"
    )
    fails(path, "x;y;t\n1;2;a\n1;b\n", r"line 3: expected 3 cells as in line 1, found 2 \(cells are separated by ';'")


def test_malformed_quotes(path: Path) -> None:
    fails(path, 'x,t\n1,a\n"2,b\n3,a\n', "line 3: malformed row .*is a quote never closed")
    fails(path, 'x,t\n1,a\n"2"3,b\n', "line 3: malformed row .*quotes inside it are doubled", separator=",")
    fails(path, 'x,t\n1,a\n"2,b\n' + "3,a\n" * 50_000, "line 3: malformed row .field larger than field limit")


def test_no_table(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"table\.csv: no such file"):
        read_csv(path)
    with pytest.raises(InputError, match=f"{re.escape(tmp_path.name)}: is a folder, expected a CSV file"):
        read_csv(tmp_path)
    with pytest.raises(InputError, match=r"table\.csv/x: cannot be read \(Not a directory"):
        read_csv(write(path, "") / "x")
    with pytest.raises(InputError, match=r"cannot be read .*null"):
        read_csv("a\0b")
    for content in ("", "\n \n", "\ufeff"):
        fails(path, content, "is empty")
    for content in ("x,y,t\n", "x,t"):
        fails(path, content, "holds one row, taken for the header, and no rows below it")
    fails(path, "x\n1\n2\n", r"has only one column where .*separated by ','")
    fails(path, "x,t\n1,a\n", "has only one column", separator=";")


# Separator


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
def test_separator_is_guessed(path: Path, separator: str) -> None:
    for rows in (
        [["x", "y", "z", "t"], ["1.5", "a,b;c|d", "2", "p"], ["2", "1|2", "3", "q"], ["3", "x y", "4", "p"]],
        [["1.5", "2", "3", "p"], ["2", "3", "4", "q"], ["2", "3", "4", "q"]],
        [["x", "y"], ["1", "0"], ["2", "1"]],
        [["x", "y"], ["5'10\"", "0"], ["a", "1"]],
    ):
        text = io.StringIO()
        csv.writer(text, delimiter=separator).writerows(rows)
        columns = read(path, text.getvalue()).columns
        first = rows if rows[0][0] == "1.5" else rows[1:]
        assert [str(value) for value in lists(columns)[0]] == [
            row[0] if columns[0].dtype == object else str(float(row[0])) for row in first
        ]
        assert len(columns) == len(rows[0]) - 1


def test_numbers_tell_decimal_commas_from_separators(path: Path) -> None:
    assert lists(read(path, "1,5;2,5;a\n3,5;4,5;b\n").columns) == [[1.5, 3.5], [2.5, 4.5]]
    assert lists(read(path, "Smith;John,3\nDoe;Jane,4\n").columns) == [["Smith;John", "Doe;Jane"]]


def test_quoted_cells_tell_a_separator_from_text(path: Path) -> None:
    assert lists(read(path, 'x,"a;b"\ny,"c;d"\nx,"a;d"\n').columns) == [["x", "y", "x"]]
    assert lists(read(path, 'a;b,c\na;b,c\n"p;q",r\n').columns) == [["a;b", "a;b", "p;q"]]


def test_of_two_even_separators_the_rarer_in_text_is_taken(path: Path) -> None:
    assert lists(read(path, "Hello, world\tpos\nOh, no\tneg\nOh, no\tpos\n", header=False).columns) == [
        ["Hello, world", "Oh, no", "Oh, no"]
    ]


def test_an_uneven_row_does_not_change_the_separator(path: Path) -> None:
    rows = "".join(f"{number},one;two,{number % 3}\n" for number in range(20))
    fails(path, rows + "1,2\n", r"line 21: expected 3 cells as in line 1, found 2 \(cells are separated by ','")


def test_runs_of_spaces(path: Path) -> None:
    table = read(path, '  x   y  t \n 1  "a b"   p\n\n2 c  q   \n')
    assert (table.names, lists(table.columns)) == (("x", "y"), [[1, 2], ["a b", "c"]])
    assert lists(read(path, "1 2 a\n3 4 b\n", separator=" ").columns) == [[1, 3], [2, 4]]


def test_separator_may_be_given(path: Path) -> None:
    assert lists(read(path, "x:t\n1 2:a\n3 4:b\n", separator=":").columns) == [["1 2", "3 4"]]
    for word in ("tab", "Tab", "\\t", "\t"):
        assert lists(read(path, "x y,z\tt\n1\ta\n3\tb\n", separator=word).columns) == [[1, 3]]
    assert lists(read(path, "x,1  t\n1  a\n3  b\n", separator="space").columns) == [[1, 3]]
    for wrong in ("", ",,", '"', "\n", "a", "1", ".", "-"):
        with pytest.raises(InputError, match=f"separator: {re.escape(repr(wrong))} given, expected one character"):
            read(path, "x,t\n1,a\n2,b\n", separator=wrong)


# Target


def test_target(path: Path) -> None:
    content = "sort,size,3\na,1,0\nb,2,1\n"
    for target, names, classes in [
        (None, ("sort", "size"), ("0", "1")),
        ("sort", ("size", "3"), ("a", "b")),
        ("1", ("size", "3"), ("a", "b")),
        ("2", ("sort", "3"), ("1", "2")),
        ("3", ("sort", "size"), ("0", "1")),
    ]:
        table = read(path, content, target=target)
        assert (table.names, table.classes, table.labels.tolist()) == (names, classes, [0, 1])
    assert read(path, "2,x,t\n5,1,a\n6,2,b\n", target="2").names == ("x", "t")  # a name goes before a number
    for wrong in ("sorts", "4", "0", "-1", ""):
        fails(path, content, f"unknown target column '{wrong}'.*Valid: 3, size, sort", target=wrong)
    fails(path, content, "unknown target column 'sorts'. Did you mean 'sort'", target="sorts")


# Laws

text_cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8).map("t{}t".format)


@one_folder
@given(
    data=st.data(), separator=st.sampled_from(",;\t|:~ "), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
)
def test_what_csv_writes_is_read_back(tmp_path: Path, data: st.DataObject, separator: str, quoting: int) -> None:
    width = data.draw(st.integers(1, 4))
    body = data.draw(st.lists(st.lists(text_cells, min_size=width, max_size=width), min_size=2, max_size=6))
    if separator == " ":  # the line break itself is not kept there
        body = [[re.sub(r"\s", "_", cell) for cell in row] for row in body]
    content = io.StringIO(newline="")
    written = [[*row, f"class{number % 2}"] for number, row in enumerate(body)]
    csv.writer(content, delimiter=separator, quoting=quoting).writerows(written)
    # Quotes around every cell leave no doubt about the separator, whatever the cells hold.
    guess = quoting == csv.QUOTE_ALL and separator in ",;\t|"
    table = read(tmp_path / "table.csv", content.getvalue(), header=False, separator=None if guess else separator)
    assert lists(table.columns) == [list(column) for column in zip(*body, strict=True)]
    assert table.labels.tolist() == [number % 2 for number in range(len(body))]


@one_folder
@given(
    values=st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=2),
    separator=st.sampled_from(",;\t| "),
    header=st.booleans(),
)
def test_numbers_are_read_back_exactly(tmp_path: Path, values: list[list[float]], separator: str, header: bool) -> None:
    lines = [separator.join([*map(repr, row), f"class{number % 2}"]) for number, row in enumerate(values)]
    if separator == ";":
        lines = [line.replace(".", ",") for line in lines]
    if header:
        lines.insert(0, separator.join(["x", "y", "z", "sort"]))
    table = read(tmp_path / "table.csv", "\n".join(lines))
    np.testing.assert_array_equal(np.stack(table.columns, 1), np.array(values))
    assert table.names == (("x", "y", "z") if header else ("1", "2", "3"))


@one_folder
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.text(st.sampled_from(list('ab1.,;\t| "\r\n-?')), max_size=60).map(str.encode),
    )
)
def test_any_bytes_are_a_table_or_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "table.csv", content)
    try:
        table = read_csv(path)
    except InputError as error:
        message = str(error)
    else:
        assert {len(column) for column in table.columns} == {len(table.labels)}
        assert set(table.labels.tolist()) == set(range(len(table.classes)))
        kinds = [column.dtype == np.float64 for column in table.columns]
        found = read_rows(path, table.names, kinds, header=None if table.names[0].isdecimal() else True)
        assert len(found) == len(kinds)
        return
    assert path.name in message
