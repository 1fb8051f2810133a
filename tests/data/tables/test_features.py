"""Features: the laws of the way to [0, 1], each scaling by hand, and the storage of what was fitted."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shiftlearn.data.tables.features import MAX_CATEGORIES, Features
from shiftlearn.data.tables.table import Column, load_table
from shiftlearn.errors import InputError
from shiftlearn.registry import SCALINGS

NAN = np.nan


def numbers(*values: float) -> Column:
    return np.array(values, np.float64)


def text(*values: str | None) -> Column:
    return np.array(values, np.object_)


def scaled(train: Column, rows: Column, scaling: str) -> list[float]:
    """One column of numbers after fitting on `train`."""
    return Features.fit(["x"], [train], scaling).transform([rows])[:, 0].tolist()


# Scalings


def test_minmax() -> None:
    assert scaled(numbers(2, 10, 4), numbers(2, 4, 6, 10, 1, 99), "minmax") == [0, 0.25, 0.5, 1, 0, 1]


def test_quantile() -> None:
    assert scaled(numbers(100, 1, 10), numbers(1, 10, 100, 55, 0, 1000), "quantile") == [0, 0.5, 1, 0.75, 0, 1]


def test_quantile_of_ties_is_the_middle_of_their_places() -> None:
    # Places 0 to 4; the zeros take 0, 1 and 2.
    assert scaled(numbers(0, 0, 0, 1, 2), numbers(-1, 0, 0.5, 1, 2), "quantile") == [0.25, 0.25, 0.5, 0.75, 1]


def test_quantile_flattens_any_distribution() -> None:
    train = np.random.default_rng(0).lognormal(0, 3, 10_000)
    features = Features.fit(["x"], [train], "quantile")
    assert len(features.as_dict()["columns"][0]["knots"]) == 257
    place = features.transform([np.sort(train)])[:, 0]
    np.testing.assert_allclose(place, np.linspace(0, 1, len(train)), atol=1 / 256)


def test_robust() -> None:
    # Quartiles -1 and 1, so sigma is 2 / 1.349; what is 2 sigma off the median lies at an end.
    train, sigma = numbers(-1000, -1, 0, 1, 1000), 2 / 1.3489795003921634
    rows = numbers(0, sigma, -sigma, 2 * sigma, -2 * sigma, 1000, -1000)
    np.testing.assert_allclose(scaled(train, rows, "robust"), [0.5, 0.75, 0.25, 1, 0, 1, 0], atol=1e-7)


def test_robust_of_normal_numbers_spans_two_sigma() -> None:
    train = np.random.default_rng(0).normal(50, 10, 100_000)
    np.testing.assert_allclose(scaled(train, numbers(30, 40, 50, 60, 70), "robust"), [0, 0.25, 0.5, 0.75, 1], atol=0.01)


def test_robust_without_quartile_range_takes_the_standard_deviation() -> None:
    train = numbers(*[0] * 98, 10, -10)
    sigma = train.std()
    np.testing.assert_allclose(scaled(train, numbers(0, sigma, -10), "robust"), [0.5, 0.75, 0], atol=1e-7)


def test_robust_of_a_spread_below_rounding_is_minmax() -> None:
    train = numbers(*[1e16] * 10_000, 1e16 + 2)  # 2 sigma less than the median is the median
    assert scaled(train, numbers(1e16, 1e16 + 2), "robust") == [0, 1]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("size", [5e-324, 1e-300, 1e300, 1.7e308])
def test_extreme_ranges(scaling: str, size: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        found = scaled(numbers(-size, 0, size, 0, NAN), numbers(-size, 0, size, NAN), scaling)
    assert found[1] == found[3] == pytest.approx(0.5)
    assert 0 <= found[0] < 0.5 < found[2] <= 1


@pytest.mark.parametrize("scaling", SCALINGS)
def test_missing_number_is_the_training_median(scaling: str) -> None:
    train = numbers(1, 2, 7, NAN, 8, NAN)
    missing, median = scaled(train, numbers(NAN, 4.5), scaling)
    assert missing == median
    assert 0 < median < 1


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_weight_counts_as_copies(scaling: str) -> None:
    values, weight = numbers(5, 1, 9, NAN, 2, -30), numbers(3, 1, 4, 2, 2, 1)
    copies = np.repeat(values, weight.astype(int))
    weighted = Features.fit(["x"], [values], scaling, weight)
    plain, few = Features.fit(["x"], [copies], scaling), Features.fit(["x"], [values], scaling)
    assert weighted.parts[0].median == plain.parts[0].median == 5
    assert few.parts[0].median == 2
    rows = [numbers(-40, 0, 3, 5, 7, 12, NAN)]
    np.testing.assert_allclose(weighted.transform(rows), plain.transform(rows), atol=0.08)
    again = Features.fit(["x"], [values], scaling, weight / 7)
    np.testing.assert_allclose(weighted.transform(rows), again.transform(rows), atol=1e-6)
    even = Features.fit(["x"], [values], scaling, np.full(6, 0.3))
    assert even == few


def test_median_does_not_overflow() -> None:
    assert scaled(numbers(1.5e308, 1.7e308), numbers(NAN), "minmax") == [pytest.approx(0.5)]


def test_rounding_does_not_carry_a_value_past_the_next_knot() -> None:
    high = math.nextafter(0.5 + 3 * 2**-25, 0)  # the last that is rounded down to float32
    low = next(value for value in (2**-54, 3 * 2**-54) if value + (high - value) > high)
    column = {"name": "x", "median": 0.0, "knots": [-1.0, 1.0, 2.0], "positions": [low, high, 1.0]}
    features = Features.from_dict({"scaling": "quantile", "columns": [column]})
    assert features.transform([numbers(math.nextafter(1, 0), 1)])[:, 0].tolist() == [0.5 + 2**-24] * 2


# Text


def test_one_hot() -> None:
    features = Features.fit(["colour"], [text("red", "blue", None, "green", "red")])
    assert features.width == 3
    found = features.transform([text("blue", "green", "red", None, "black")])
    np.testing.assert_array_equal(found, np.eye(5, 3))


def test_one_category_and_missing_is_not_constant() -> None:
    features = Features.fit(["x"], [text("yes", None)])
    assert (features.width, features.dropped) == (1, ())
    assert features.transform([text(None, "yes")]).tolist() == [[0], [1]]


def test_too_many_categories() -> None:
    names = [f"id{number}" for number in range(MAX_CATEGORIES + 1)]
    assert Features.fit(["x"], [text(*names[:-1])]).width == MAX_CATEGORIES == 200
    with pytest.raises(InputError, match=r"column 'x': 201 different texts \(such as 'id0'\) look like an identifier"):
        Features.fit(["x"], [text(*names)])


# Several columns


def test_columns_in_order_and_dropped() -> None:
    names = ["a", "flat", "b", "none", "same", "void", "gaps", "c"]
    columns = [
        numbers(0, 1, 2, 3),
        numbers(7, 7, 7, 7),
        text("u", "v", "u", "v"),
        numbers(NAN, NAN, NAN, NAN),
        text("x", "x", "x", "x"),
        text(None, None, None, None),
        numbers(5, NAN, 5, NAN),
        numbers(4, 3, 2, 0),
    ]
    features = Features.fit(names, columns)
    assert features.names == tuple(names)
    assert features.numeric == (True, True, False, True, False, False, True, True)
    assert features.dropped == ("flat", "none", "same", "void", "gaps")
    assert features.width == 4
    found = features.transform([column[1:3] for column in columns])
    assert (found.dtype, found.shape) == (np.float32, (2, 4))
    np.testing.assert_allclose(found, [[1 / 3, 0, 1, 0.75], [2 / 3, 1, 0, 0.5]], atol=1e-7)
    # What a dropped column holds later does not matter.
    other = list(columns)
    other[1], other[4] = numbers(1, 2, 3, 4), text("a", "b", None, "d")
    np.testing.assert_array_equal(features.transform(other), features.transform(columns))


def test_nothing_left() -> None:
    for columns in ([numbers(1, 1), text("a", "a")], [numbers(1), text("a")], [numbers(NAN, NAN), text(None, None)]):
        with pytest.raises(InputError, match=r"columns: none varies \(x, y\)"):
            Features.fit(["x", "y"], columns)
    with pytest.raises(InputError, match="columns: none varies"):
        Features.fit([], [])


def test_zero_rows() -> None:
    features = Features.fit(["x", "y"], [numbers(1, 2), text("a", "b")])
    assert features.transform([numbers(), text()]).shape == (0, 3)
    with pytest.raises(InputError, match="columns: expected at least one row to learn from"):
        Features.fit(["x", "y"], [numbers(), text()])


def test_other_types_of_array() -> None:
    features = Features.fit(["n", "b", "s"], [np.arange(3), np.array([True, False, True]), np.array(["a", "b", "b"])])
    assert features.numeric == (True, True, False)
    assert features.transform([np.arange(3), np.array([True, False, True]), np.array(["a", "b", "b"])]).tolist() == [
        [0, 1, 1, 0],
        [0.5, 0, 0, 1],
        [1, 1, 0, 1],
    ]


def test_columns_are_not_changed() -> None:
    columns = [numbers(1, NAN, 3), text("a", None, "b")]
    before = copy.deepcopy(columns)
    Features.fit(["x", "y"], columns).transform(columns)
    for column, old in zip(columns, before, strict=True):
        assert repr(column) == repr(old)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_embedded_table(scaling: str) -> None:
    table = load_table("breast-cancer")
    found = Features.fit(table.names, table.columns, scaling).transform(table.columns)
    assert found.shape == (569, 30)
    assert np.all((found >= 0) & (found <= 1))
    assert np.all(found.std(0) > (0 if scaling == "global" else 0.05))


def test_global_scaling_has_one_range_for_all_numbers() -> None:
    columns = [numbers(1, NAN, 3), numbers(5, 9, 7), text("a", "b", "a")]
    found = Features.fit(["x", "y", "word"], columns, "global").transform(columns)
    np.testing.assert_allclose(found[:, :2], [[0, 0.5], [0.125, 1], [0.25, 0.75]])
    assert Features.fit(["word"], columns[2:], "global").transform(columns[2:]).tolist() == [[1, 0], [0, 1], [1, 0]]


# Mistakes


def test_bad_fit() -> None:
    with pytest.raises(InputError, match=r"unknown scaling 'min-max'. Did you mean 'minmax'"):
        Features.fit(["x"], [numbers(1, 2)], "min-max")
    with pytest.raises(InputError, match="names: expected different ones, x, x given"):
        Features.fit(["x", "x"], [numbers(1, 2), numbers(1, 2)])
    with pytest.raises(InputError, match=r"columns: 1 given, expected 2 \(x, y\)"):
        Features.fit(["x", "y"], [numbers(1, 2)])


BAD_COLUMNS: list[tuple[list[Any], str]] = [
    ([numbers(1, 2)], r"columns: 1 given, expected 2 \(x, y\)"),
    ([numbers(1, 2), text("a"), text("b")], "columns: 3 given, expected 2"),
    ([numbers(1, 2), text("a")], "column 'y': expected 2 rows as in 'x', 1 given"),
    ([np.zeros((2, 2)), text("a", "b")], r"column 'x': expected shape \(n,\), \(2, 2\) given"),
    ([numbers(1, np.inf), text("a", "b")], "column 'x': expected finite numbers .*inf given"),
    ([numbers(1, 2), np.array(["a", 3.5], object)], r"column 'y': expected text or None, 3\.5 given"),
    ([np.zeros(2, complex), text("a", "b")], "column 'x': expected numbers or text, an array of complex128 given"),
]


@pytest.mark.parametrize(("columns", "reason"), BAD_COLUMNS)
def test_bad_columns(columns: list[Any], reason: str) -> None:
    features = Features.fit(["x", "y"], [numbers(1, 2), text("a", "b")])
    for act in (features.transform, lambda given: Features.fit(["x", "y"], given)):
        with pytest.raises(InputError, match=reason):
            act(columns)


def test_wrong_kind_of_column() -> None:
    features = Features.fit(["x", "y"], [numbers(1, 2), text("a", "b")])
    with pytest.raises(InputError, match="column 'x': expected numbers as in training, text given"):
        features.transform([text("1", "2"), text("a", "b")])
    with pytest.raises(InputError, match="column 'y': expected text as in training, numbers given"):
        features.transform([numbers(1, 2), numbers(1, 2)])


# Storage


def stored() -> dict[str, Any]:
    return Features.fit(["x", "y", "z"], [numbers(1, 2, 4), text("a", "b", None), numbers(3, 3, 3)]).as_dict()


def test_as_dict() -> None:
    assert json.loads(json.dumps(stored())) == {
        "scaling": "minmax",
        "columns": [
            {"name": "x", "median": 2, "knots": [1, 4], "positions": [0, 1]},
            {"name": "y", "categories": ["a", "b"]},
            {"name": "z", "median": 0, "knots": [], "positions": []},
        ],
    }
    assert Features.from_dict(stored()).dropped == ("z",)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("scaling",), "max"),
        (("scaling",), None),
        (("columns",), None),
        (("columns",), 3),
        (("columns",), "abc"),
        (("columns",), []),
        (("columns", 0), "x"),
        (("columns", 0, "name"), 1),
        (("columns", 0, "name"), "y"),
        (("columns", 0, "name"), ["x"]),
        (("columns", 0, "median"), "middle"),
        (("columns", 0, "median"), NAN),
        (("columns", 0, "median"), 10**400),
        (("columns", 0, "knots"), [4, 1]),
        (("columns", 0, "knots"), [1, 1]),
        (("columns", 0, "knots"), [1, NAN]),
        (("columns", 0, "knots"), [1, np.inf]),
        (("columns", 0, "knots"), [1]),
        (("columns", 0, "knots"), 1),
        (("columns", 0, "positions"), [0]),
        (("columns", 0, "positions"), [1, 0]),
        (("columns", 0, "positions"), [-0.5, 1]),
        (("columns", 0, "positions"), [0, 1.5]),
        (("columns", 0, "positions"), [0, NAN]),
        (("columns", 0, "positions"), [0, None]),
        (("columns", 1, "categories"), ["a", "a"]),
        (("columns", 1, "categories"), ["a", 1]),
        (("columns", 1, "categories"), "ab"),
        (("columns", 1, "categories"), None),
    ],
)
def test_damaged_values(place: tuple[Any, ...], value: Any) -> None:
    values = stored()
    inner: Any = values
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(InputError, match="features: the stored values are damaged"):
        Features.from_dict(values)


@pytest.mark.parametrize("key", ["scaling", "columns", "name", "median", "knots", "positions"])
def test_missing_values(key: str) -> None:
    values = stored()
    (values if key in values else values["columns"][0]).pop(key)
    with pytest.raises(InputError, match=f"damaged .*{key}"):
        Features.from_dict(values)


def test_a_single_knot() -> None:
    values = stored()
    values["columns"][0] |= {"knots": [1.0], "positions": [0.5]}
    with pytest.raises(InputError, match=r"damaged .*knots of 'x' are not two or more"):
        Features.from_dict(values)


def test_nothing_stored() -> None:
    for values in ({}, [], None, "features"):
        with pytest.raises(InputError, match="features: the stored values are damaged"):
            Features.from_dict(values)  # type: ignore[arg-type]
    values = stored()
    values["columns"] = values["columns"][2:]
    with pytest.raises(InputError, match="carry nothing"):
        Features.from_dict(values)


# Laws

finite = st.floats(allow_nan=False, allow_infinity=False)
number_columns = st.lists(st.one_of(finite, st.integers(-3, 3).map(float), st.just(NAN)), min_size=1, max_size=40)
words = st.one_of(st.none(), st.sampled_from("abc"), st.text(max_size=3))


@given(train=number_columns, rows=number_columns, scaling=st.sampled_from(SCALINGS))
def test_numbers_lie_in_the_unit_interval_and_keep_their_order(
    train: list[float], rows: list[float], scaling: str
) -> None:
    known = {value for value in train if value == value}
    assume(len(known) > 1)
    features = Features.fit(["x"], [numbers(*train)], scaling)
    # Training values and their neighbours, where the pieces of the map meet.
    edges = [math.nextafter(value, side) for value in known for side in (-math.inf, math.inf)]
    values = np.sort(numbers(*rows, *train, *(edge for edge in edges if math.isfinite(edge))))
    values = values[~np.isnan(values)]
    found = features.transform([values])[:, 0]
    assert np.all((found >= 0) & (found <= 1))
    assert np.all(np.diff(found) >= 0)
    assert np.all((features.transform([numbers(*rows)]) >= 0) & (features.transform([numbers(*rows)]) <= 1))


@given(
    train=st.lists(st.tuples(st.one_of(finite, st.just(NAN)), words), min_size=1, max_size=40),
    rows=st.lists(st.tuples(st.one_of(finite, st.just(NAN)), words), max_size=10),
    scaling=st.sampled_from(SCALINGS),
)
def test_stored_features_transform_identically(train: list[Any], rows: list[Any], scaling: str) -> None:
    columns = [numbers(*(x for x, _ in train)), text(*(y for _, y in train)), numbers(*range(len(train)), 0)[1:]]
    try:
        features = Features.fit(["x", "y", "z"], columns, scaling)
    except InputError as error:
        reason = str(error)
    else:
        again = Features.from_dict(json.loads(json.dumps(features.as_dict(), allow_nan=False)))
        assert again == features
        assert (again.names, again.numeric, again.dropped, again.width) == (
            features.names,
            features.numeric,
            features.dropped,
            features.width,
        )
        given_rows = [numbers(*(x for x, _ in rows)), text(*(y for _, y in rows)), numbers(*range(len(rows)))]
        for some in (columns, given_rows):
            found = features.transform(some)
            assert found.shape == (len(some[0]), features.width)
            assert found.tobytes() == again.transform(some).tobytes()
            assert np.all((found >= 0) & (found <= 1))
        return
    assert "none varies" in reason


@given(column=st.lists(words, min_size=1, max_size=30))
def test_one_hot_names_the_category(column: list[str | None]) -> None:
    categories = sorted({value for value in column if value is not None})
    assume(len(categories) > 1)
    found = Features.fit(["x"], [text(*column)]).transform([text(*column)])
    for value, row in zip(column, found, strict=True):
        assert [categories[index] for index in np.flatnonzero(row)] == ([] if value is None else [value])
    assert set(np.unique(found)) <= {0, 1}
