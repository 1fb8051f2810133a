"""Figures class by class, against their definitions, and the forms they are written in."""

from __future__ import annotations

import csv
import io
import itertools
import math

import numpy as np
import pytest
from rich.console import Console

from shiftlearn import files
from shiftlearn.errors import InputError
from shiftlearn.models import class_figures

CLASSES = ("a", "b", "c")
LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 2])
SCORES = np.array(
    [[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.3, 0.4, 0.3], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], np.float32
)


def areas(labels: np.ndarray, scores: np.ndarray) -> float:
    """The share of (one of the class, one of the rest) that the score puts in this order; ties count a half."""
    pairs = list(itertools.product(scores[labels], scores[~labels]))
    return sum((p > q) + 0.5 * (p == q) for p, q in pairs) / len(pairs)


def test_figures_of_a_case_worked_by_hand():
    a, b, c, macro = class_figures.per_class(LABELS, PREDICTED, SCORES, CLASSES)
    assert a == {
        "class": "a",
        "samples": 3,
        "precision": 2 / 3,
        "recall": 2 / 3,
        "f1": 2 / 3,
        "auc": pytest.approx(8 / 9),
    }
    assert b == {
        "class": "b",
        "samples": 2,
        "precision": 1 / 2,
        "recall": 1 / 2,
        "f1": 1 / 2,
        "auc": pytest.approx(7 / 8),
    }
    assert c == {"class": "c", "samples": 1, "precision": 1.0, "recall": 1.0, "f1": 1.0, "auc": 1.0}
    assert (macro["class"], macro["samples"]) == (class_figures.MACRO, 6)
    for key in ("precision", "recall", "f1", "auc"):
        assert macro[key] == pytest.approx((a[key] + b[key] + c[key]) / 3)


def test_areas_count_pairs_in_order():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 3, 60), rng.integers(0, 8, (60, 3)) / 8  # with many ties
    rows = class_figures.per_class(labels, scores.argmax(1), scores, CLASSES)
    for k in range(3):
        assert rows[k]["auc"] == pytest.approx(areas(labels == k, scores[:, k]))


@pytest.mark.filterwarnings("error")
def test_classes_without_samples_or_without_others():
    labels, scores = np.array([0, 0]), np.array([[1, 0, 0], [0.2, 0.8, 0]])
    rows = class_figures.per_class(labels, np.array([0, 1]), scores, CLASSES)
    assert [row["auc"] for row in rows] == [None] * 4
    assert [row["samples"] for row in rows] == [2, 0, 0, 2]
    assert [row["recall"] for row in rows[:3]] == [0.5, 0, 0]
    assert [row["precision"] for row in rows[:3]] == [1, 0, 0]
    assert class_figures.roc(labels, scores, CLASSES) == []
    rows = class_figures.per_class(np.array([0, 1]), labels, scores, CLASSES)
    assert [row["auc"] for row in rows] == [1.0, 1.0, None, 1.0]  # the mean is over those that have one


def test_every_point_of_the_curve_is_what_its_threshold_gives():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 200), rng.random((200, 3)).astype(np.float32)
    rows = class_figures.roc(labels, scores, CLASSES)
    assert {row["class"] for row in rows} == {"a", "b"}  # no sample is of class c
    for k, name in enumerate("ab"):
        curve = [row for row in rows if row["class"] == name]
        assert curve[0] == {"class": name, "false_positive_rate": 0, "true_positive_rate": 0, "threshold": math.inf}
        assert (curve[-1]["false_positive_rate"], curve[-1]["true_positive_rate"]) == (1, 1)
        assert 3 < len(curve) < 201
        for row in curve:
            taken = scores[:, k] >= row["threshold"]
            assert row["true_positive_rate"] == pytest.approx(taken[labels == k].mean())
            assert row["false_positive_rate"] == pytest.approx(taken[labels != k].mean())
        x, y = ([row[f"{kind}_positive_rate"] for row in curve] for kind in ("false", "true"))
        assert np.trapezoid(y, x) == pytest.approx(areas(labels == k, scores[:, k]))


def test_csv_reads_back_to_the_same_values():
    names = ("T-shirt/top", 'a "quoted", name', "[bold]c")
    figures = class_figures.per_class(np.minimum(LABELS, 1), PREDICTED, SCORES, names)
    curve = class_figures.roc(LABELS, SCORES, names)
    for rows in (figures, curve):
        written = files.as_csv(rows)
        assert written == files.as_csv(rows)
        found = list(csv.DictReader(io.StringIO(written.decode(), newline="")))
        assert len(found) == len(rows)
        for row, cells in zip(rows, found, strict=True):
            kinds = {key: type(value) if value is not None else lambda cell: cell or None for key, value in row.items()}
            assert {key: kinds[key](cell) for key, cell in cells.items()} == row
    assert any(row["auc"] is None for row in figures)
    assert b",inf\r\n" in files.as_csv(curve)
    assert files.as_csv([]) == b""


def test_the_table_shows_percentages_and_areas():
    rows = class_figures.per_class(np.minimum(LABELS, 1), PREDICTED, SCORES, ("a", "[red]b", "c"))
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(class_figures.table(rows))
    text = console.file.getvalue()
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert lines[0] == ["a", "3", "66.67%", "66.67%", "66.67%", "0.8889"]
    assert lines[1][:2] == ["[red]b", "3"]
    assert lines[2] == ["c", "0", "0.00%", "0.00%", "0.00%", "-"]
    assert lines[3][0] == class_figures.MACRO
    assert all(name in text for name in ("precision", "recall", "f1", "AUC"))


@pytest.mark.parametrize(
    ("labels", "predicted", "scores", "message"),
    [
        (LABELS[:0], PREDICTED[:0], SCORES[:0], r"labels must have shape \(n,\) .* got \(0,\)"),
        (LABELS[None], PREDICTED, SCORES, r"labels must have shape \(n,\) .* got \(1, 6\)"),
        (LABELS, PREDICTED[:5], SCORES, r"predicted must have shape \(6,\) .* got \(5,\)"),
        (LABELS, PREDICTED, SCORES[:, :2], r"scores must have shape .*\(6, 3\) .* got \(6, 2\)"),
        (LABELS + 1, PREDICTED, SCORES, "labels must lie in 0 to 2, got 1 to 3"),
        (LABELS, PREDICTED - 1, SCORES, "predicted must lie in 0 to 2, got -1 to 1"),
        (LABELS / 1, PREDICTED, SCORES, "labels must hold whole numbers, got float64"),
        (LABELS, PREDICTED, SCORES * 2, r"scores must lie in \[0, 1\], got 0.2 to 1.6"),
        (LABELS, PREDICTED, SCORES * np.nan, r"scores must lie in \[0, 1\]"),
    ],
)
def test_refuses(labels, predicted, scores, message):
    with pytest.raises(InputError, match=message):
        class_figures.per_class(labels, predicted, scores, CLASSES)
