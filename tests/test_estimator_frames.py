"""ShiftClassifier on data frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

from shiftlearn.errors import InputError
from shiftlearn.estimator import ShiftClassifier


def small(**settings: Any) -> ShiftClassifier:
    return ShiftClassifier(
        **{"hidden_layer_sizes": (16,), "max_iter": 20, "random_state": 0, "n_members": 2, **settings}
    )


class Series:
    """A column of the least that a data frame can be."""

    def __init__(self, values: list[Any], dtype: str) -> None:
        self.values, self.dtype = values, dtype

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.values, dtype or object)

    def is_null(self) -> list[bool]:
        return [value is None for value in self.values]


class Frame:
    """The least that a data frame can be."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns, self.dtypes = list(columns), ["object"] * len(columns)
        self.series = [Series(values, "object") for values in columns.values()]
        self.shape = len(self.series[0].values), len(columns)

    def get_columns(self) -> list[Series]:
        return self.series


FRAMES = ("plain", "pandas", "polars")


def frame(kind: str, columns: dict[str, list[Any]]) -> Any:
    if kind == "plain":
        return Frame(columns)
    return pytest.importorskip(kind).DataFrame(columns, **({"strict": False} if kind == "polars" else {}))


@pytest.mark.parametrize("kind", FRAMES)
def test_text_in_a_data_frame(kind: str) -> None:
    rng = np.random.default_rng(0)
    colour, size = rng.choice(["red", "green", "blue"], 120).tolist(), rng.random(120).tolist()
    y = np.array(colour) != "red"
    colour[7], size[8] = None, None
    model = small(n_members=1).fit(frame(kind, {"colour": colour, "size": size}), y)
    assert model.features_.numeric == (False, True)
    assert model.features_.width == 4
    assert model.score(frame(kind, {"colour": colour, "size": size}), y) > 0.95
    new = frame(kind, {"colour": ["blue", "red", "black", None], "size": [0.5] * 4})
    scores = model.predict_proba(new)
    assert scores.argmax(1)[:2].tolist() == [1, 0]
    assert np.array_equal(scores[2], scores[3])
    missing = model.predict_proba(frame(kind, {"colour": [None], "size": [None]}))
    assert np.allclose(missing, scores[3:], atol=0.1)
    with pytest.raises(InputError, match="expected text as in training, numbers given"):
        model.predict(frame(kind, {"colour": [1.0], "size": [0.5]}))


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["12", "?", "7"], "column 'a' is text, but holds '12': make it numbers, or categories"),
        ([1j, 2j, 3j], "column 'a' must hold numbers or text, got complex"),
    ],
)
def test_columns_that_are_neither_numbers_nor_text(kind: str, column: list[Any], message: str) -> None:
    if kind == "polars" and isinstance(column[0], complex):
        pytest.skip("polars has no complex numbers")
    with pytest.raises(InputError, match=message):
        small().fit(frame(kind, {"a": column}), [0, 1, 1])


def test_data_frames_of_pandas_keep_names_categories_and_missing_integers() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        {
            "zone": pandas.Categorical([1, 2, None, 2] * 10),
            "count": pandas.array([1, None, 3, 4] * 10, dtype="Int64"),
            "open": [True, False, True, True] * 10,
        }
    )
    y = [0, 1, 0, 1] * 10
    model = small(max_iter=60).fit(table, y)
    assert model.feature_names_in_.tolist() == list(table) == list(model.features_.names)
    assert model.features_.numeric == (False, True, True)
    assert np.array_equal(
        model.predict(table.iloc[:2]), [0, 1]
    )  # without a missing zone, which makes floats of integers
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[["count", "zone", "open"]])
    assert cross_val_score(small(), table, y, cv=2).mean() > 0.9
    unknown = table.iloc[:1].assign(zone=np.nan)  # of floats, as missing text often is
    assert np.array_equal(model.predict_proba(unknown), model.predict_proba(table.iloc[:1].assign(zone=["no such"])))
