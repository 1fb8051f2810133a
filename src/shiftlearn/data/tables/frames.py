"""What ShiftClassifier learns from: rows of numbers, of arrays or data frames, and of text that data frames hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data

from ...errors import InputError
from .table import Column

__all__ = ["Rows", "copies", "keys", "merged", "read"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
_MOST, _MOST_EACH = 10_000, 8  # samples in an epoch, or for each different one: beyond both, equal ones are merged
_CHECKS: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}


@dataclass(frozen=True)
class Rows:
    """Rows of a table.

    Attributes:
        values: (n, features), NaN where a value is missing. A column of text holds numbers of its texts.
        texts: by the number of a column of text, its different texts.
    """

    values: Floats
    texts: Mapping[int, Sequence[str]]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: npt.NDArray[Any]) -> Rows:
        return Rows(self.values[index], self.texts)

    @property
    def columns(self) -> list[Column]:
        """Each of shape (n,), of numbers or of text, with None where that is missing."""
        found: list[Column] = list(self.values.T)
        for k, texts in self.texts.items():
            numbers = np.where(np.isnan(found[k]), len(texts), found[k]).astype(np.int64)
            found[k] = np.array([*texts, None], np.object_)[numbers]
        return found


def read(
    estimator: Any, X: Any, y: Any = None, *, reset: bool, text: Sequence[bool] | None = None
) -> tuple[Rows, npt.NDArray[Any]]:
    """X and y as scikit-learn checks them; of a data frame (pandas, polars) also columns of text and categories.

    Args:
        estimator: whose n_features_in_ and feature_names_in_ are set with ``reset``, and else compared.
        y: None where it is not wanted.
        text: for each column, whether it held text in training; None: this is the training.

    Raises:
        InputError: a column of a data frame that holds neither numbers nor text, both, or numbers as text.
        ValueError: as by scikit-learn.
    """
    target = {} if y is None and not reset else {"y": y}
    if not (hasattr(X, "columns") and hasattr(X, "dtypes")):
        x = validate_data(estimator, X, **target, **_CHECKS, reset=reset)
        texts: dict[int, Sequence[str]] = {}
    else:
        validate_data(estimator, X, skip_check_array=True, reset=reset)
        names = list(map(str, X.columns))
        expected = [None] * len(names) if text is None or len(text) != len(names) else text
        values, texts = np.empty(X.shape), {}
        columns = X.get_columns() if hasattr(X, "get_columns") else [column for _, column in X.items()]
        for k, (name, column, was_text) in enumerate(zip(names, columns, expected, strict=True)):
            values[:, k], found = _column(name, column, was_text)
            if found is not None:
                texts[k] = found
        checks = {**_CHECKS, "estimator": estimator}
        x = check_X_y(values, **target, **checks) if target else check_array(values, input_name="X", **checks)
    x, labels = x if target else (x, np.empty(0))
    return Rows(x, texts), labels


def _column(name: str, column: Any, was_text: bool | None) -> tuple[Floats, Sequence[str] | None]:
    """A column as numbers, and what they stand for if it holds text."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        numbers = np.asarray(column, np.float64)
        return numbers, [] if was_text and np.isnan(numbers).all() else None
    missing = np.asarray(column.isna() if hasattr(column, "isna") else column.is_null(), bool)
    numbers = np.full(len(missing), np.nan)
    if hasattr(column, "cat") and hasattr(column.cat, "codes"):  # of pandas, whose categories need not be text
        numbers[~missing] = np.asarray(column.cat.codes, np.float64)[~missing]
        return numbers, list(map(str, column.cat.categories))
    given = np.asarray(column, np.object_)[~missing]
    kinds = set(map(type, given))
    if not kinds:
        return numbers, [] if was_text else None
    if all(issubclass(kind, Real | np.bool_) for kind in kinds):
        numbers[~missing] = given.astype(np.float64)
        return numbers, None
    if not all(issubclass(kind, str) for kind in kinds):
        raise InputError(
            f"column {name!r} must hold numbers or text, got {' and '.join(sorted(k.__name__ for k in kinds))}"
        )
    texts, numbers[~missing] = np.unique(given, return_inverse=True)
    if was_text is None and not str(dtype).startswith(("Categorical", "Enum")):
        _require_text(name, texts)
    return numbers, texts.tolist()


def _require_text(name: str, texts: Iterable[str]) -> None:
    """InputError if a text reads as a number: is the column one of numbers, some of which are damaged?"""
    for text in texts:
        try:
            number = float(text)
        except ValueError:
            continue
        if math.isfinite(number):
            raise InputError(
                f"column {name!r} is text, but holds {text!r}: make it numbers, or categories if that is what they are "
                "(pandas: pd.to_numeric(column), column.astype('category'))"
            )


def keys(*columns: npt.NDArray[Any]) -> npt.NDArray[np.void]:
    """(n,) of bytes, the same for equal rows: a NaN equals another, and 0.0 equals -0.0."""
    rows = np.column_stack(columns) + 0.0
    rows[np.isnan(rows)] = np.nan
    return np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()


def merged(rows: Rows, labels: Labels, weight: Floats) -> tuple[Rows, Labels, Floats]:
    """Equal samples as one with the sum of their weights, in an order that does not depend on the given one.

    So a weight of k is the same as k copies, to the last bit.
    """
    _, first, number = np.unique(keys(rows.values, labels), return_index=True, return_inverse=True)
    total: Any = np.bincount(number.ravel(), weight)
    return rows[first], labels[first], total


def copies(weight: Floats) -> Labels:
    """(n,) of how many equal samples each of the merged ones consists, at least 1.

    A weight of k is k samples unless these would be too many: an epoch must not cost more in another unit of weights.
    """
    scale = min(1.0, max(_MOST, _MOST_EACH * len(weight)) / weight.sum())
    count: Labels = np.maximum(np.floor(weight * scale), 1).astype(np.int64)
    return count
