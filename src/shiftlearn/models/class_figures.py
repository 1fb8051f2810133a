"""What a classifier does class by class: rows of figures, as CSV for a run folder and as a table for people.

Throughout, ``labels`` and ``predicted`` are class numbers (n,), ``scores`` is (n, classes) within [0, 1], and
``classes`` names the classes. The figures are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["MACRO", "per_class", "roc", "table"]

Labels = npt.NDArray[np.integer]
Scores = npt.NDArray[np.floating]
Row = dict[str, Any]

MACRO = "macro average"
"""What the last row of :func:`per_class` has in place of a class."""

_SHARES = ("precision", "recall", "f1")


def per_class(labels: Labels, predicted: Labels, scores: Scores, classes: Sequence[str]) -> list[Row]:
    """Figures of each class against the rest, and last their plain mean over the classes.

    Returns:
        Rows of class, samples, precision, recall, f1 and auc. A share without anything to count is 0; auc is None
        where a class has no samples or all of them, and the mean is over the others.

    Raises:
        InputError: shapes that do not fit each other, no samples, or values out of range.
    """
    from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

    _check(labels, scores, classes)
    _check_numbers("predicted", predicted, len(labels), len(classes))
    figures = precision_recall_fscore_support(labels, predicted, labels=range(len(classes)), zero_division=0)
    rows: list[Row] = []
    for k, (name, *shares, samples) in enumerate(zip(classes, *figures, strict=True)):
        auc = float(roc_auc_score(labels == k, scores[:, k])) if 0 < samples < len(labels) else None
        rows.append({"class": name, "samples": int(samples), **_floats(_SHARES, shares), "auc": auc})
    known = [row["auc"] for row in rows if row["auc"] is not None]
    means = _floats(_SHARES, [np.mean([row[share] for row in rows]) for share in _SHARES])
    auc = float(np.mean(known)) if known else None
    return [*rows, {"class": MACRO, "samples": len(labels), **means, "auc": auc}]


def roc(labels: Labels, scores: Scores, classes: Sequence[str]) -> list[Row]:
    """The curve of every class against the rest: which rates a threshold on its score gives.

    Returns:
        Rows of class, false_positive_rate, true_positive_rate and threshold, from none taken (threshold inf) to all;
        points on a straight line between others are left out, and so are classes with no samples or all of them.

    Raises:
        InputError: as for :func:`per_class`.
    """
    from sklearn.metrics import roc_curve

    _check(labels, scores, classes)
    names = ("false_positive_rate", "true_positive_rate", "threshold")
    rows: list[Row] = []
    for k, name in enumerate(classes):
        positive = labels == k
        if 0 < positive.sum() < len(labels):
            curve = roc_curve(positive, scores[:, k], drop_intermediate=True)
            rows.extend({"class": name, **_floats(names, point)} for point in zip(*curve, strict=True))
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows of :func:`per_class`, for rich to print."""
    from rich.table import Table
    from rich.text import Text

    result = Table()
    result.add_column("class", overflow="fold")
    for name in ("samples", *_SHARES, "AUC"):
        result.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if row["class"] == MACRO:
            result.add_section()
        auc = "-" if row["auc"] is None else f"{row['auc']:.4f}"
        shares = [f"{row[share]:.2%}" for share in _SHARES]
        result.add_row(Text(row["class"]), str(row["samples"]), *shares, auc)
    return result


def _floats(names: Sequence[str], values: Sequence[Any]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _check(labels: Labels, scores: Scores, classes: Sequence[str]) -> None:
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(f"labels must have shape (n,) with n of 1 or more, got {labels.shape}")
    if scores.shape != (len(labels), len(classes)):
        raise InputError(
            f"scores must have shape (n, classes) = ({len(labels)}, {len(classes)}) as labels and classes say, "
            f"got {scores.shape}"
        )
    _check_numbers("labels", labels, len(labels), len(classes))
    if not ((scores >= 0) & (scores <= 1)).all():  # not so for NaN
        raise InputError(f"scores must lie in [0, 1], got {scores.min():g} to {scores.max():g}")


def _check_numbers(name: str, values: Labels, samples: int, classes: int) -> None:
    if values.shape != (samples,):
        raise InputError(f"{name} must have shape ({samples},) as labels have, got {values.shape}")
    if not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{name} must hold whole numbers, got {values.dtype}")
    if values.min() < 0 or values.max() >= classes:
        raise InputError(f"{name} must lie in 0 to {classes - 1}, got {values.min()} to {values.max()}")
