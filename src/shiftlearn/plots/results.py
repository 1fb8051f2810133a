"""How training went and how well a network does: learning curves, confusions, ROC curves, accuracy against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError, counted
from .figures import new_figure, palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["confusion", "curves", "decided", "decision_time", "roc"]

_COUNTED = 25  # classes: of more, the counts would not be legible


def curves(
    records: Sequence[Mapping[str, Any]], figure: Figure | SubFigure | None = None, title: str = "Learning curves"
) -> Figure | SubFigure:
    """Draw loss and accuracy of every epoch.

    Args:
        records: an epoch each, as metrics.jsonl has them: epoch, loss, train_accuracy, and validation_accuracy if any.
        figure: to draw into.
        title: above it.

    Raises:
        InputError: no records, or matplotlib is not installed.
    """
    if not records:
        raise InputError("records must hold one epoch or more, got none")
    figure = figure or new_figure(8.5, 3.2)
    left, right = figure.subplots(1, 2)
    epochs = [record["epoch"] for record in records]
    mark = "o" if len(epochs) <= 30 else ""
    colours = palette(left).categories
    left.plot(epochs, [record["loss"] for record in records], marker=mark, markersize=3, color=colours[0])
    left.set_ylabel("loss per sample (training)")
    for key, name, colour, dashes in (
        ("train_accuracy", "training", colours[0], "-"),
        ("validation_accuracy", "validation", colours[1], "--"),
    ):
        if key in records[-1]:
            shares = [100 * record[key] for record in records]
            text = f"{name}, {shares[-1]:.2f} % at the end"
            right.plot(epochs, shares, dashes, marker=mark, markersize=3, color=colour, label=text)
    right.set_ylabel("accuracy / %")
    right.legend()
    for ax in (left, right):
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        ax.grid(axis="y", color=palette(ax).faint, alpha=0.25)
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def confusion(
    matrix: npt.ArrayLike, classes: Sequence[str] | None = None, ax: Axes | None = None, title: str | None = None
) -> Figure | SubFigure:
    """Draw a confusion matrix: numbers are counts, colours the shares of each true class.

    Args:
        matrix: (classes, classes) counts; rows are true classes, columns predictions.
        classes: their names; default: numbers.
        ax: to draw into.
        title: default: the accuracy.

    Raises:
        InputError: another shape, no counts, or matplotlib is not installed.
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.sum() == 0:
        raise InputError(f"matrix must be (classes, classes) counts, not all 0, got {counts.shape}")
    names = list(map(str, range(len(counts)))) if classes is None else list(classes)
    if len(names) != len(counts):
        raise InputError(f"classes must name {len(counts)} of them, got {len(names)}")
    many = len(counts) > 12
    if ax is None:
        side = float(np.clip(0.42 * len(counts), 2.6, 8))
        ax = new_figure(side + 2.2, side + 1).subplots()
    from matplotlib.colors import PowerNorm

    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    # Errors are rare: a linear scale would show the diagonal alone.
    image = ax.imshow(shares, cmap="cividis", norm=PowerNorm(0.4, 0, 100))
    ax.figure.colorbar(image, ax=ax, label="share of the true class / %", ticks=[0, 1, 5, 20, 50, 100], shrink=0.85)
    if len(counts) <= _COUNTED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "black" if shares[row, column] > 20 else "white"
                size = "x-small" if many else "small"
                ax.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=size)
        long = max(map(len, names)) > 3
        ax.set_xticks(range(len(names)), names, rotation=40 if long else 0, ha="right" if long else "center")
        ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    accuracy = np.trace(counts) / counts.sum()
    ax.set_title(f"{accuracy:.2%} of {counted(counts.sum(), 'sample', ',')} right" if title is None else title)
    return ax.figure


def roc(
    points: Sequence[Mapping[str, Any]], ax: Axes | None = None, title: str = "ROC curve of each class against the rest"
) -> Figure | SubFigure:
    """Draw ROC curves, with the corner of few false positives enlarged.

    Args:
        points: rows of class, false_positive_rate and true_positive_rate, as
            :func:`shiftlearn.models.class_figures.roc` makes them.
        ax: to draw into.
        title: above it.

    Raises:
        InputError: no points, or matplotlib is not installed.
    """
    from sklearn.metrics import auc

    if not points:
        raise InputError("points must hold one curve or more, got none: each class has all the samples or none")
    together: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        rates = float(point["false_positive_rate"]), float(point["true_positive_rate"])
        together.setdefault(str(point["class"]), []).append(rates)
    ax = ax or new_figure(6.6, 4.4).subplots()
    colours = palette(ax)
    areas = {name: auc(*np.transpose(curve)) for name, curve in together.items()}
    corner = ax.inset_axes((0.4, 0.1, 0.55, 0.55)) if min(areas.values()) > 0.9 else None
    for number, (name, curve) in enumerate(together.items()):
        for target in (ax, corner) if corner else (ax,):
            text = f"{name}: {areas[name]:.4f}"
            target.plot(*np.transpose(curve), linewidth=1.3, label=text, **colours.category(number))
    ax.plot([0, 1], [0, 1], color=colours.faint, linewidth=0.8, linestyle=(0, (1, 3)))
    ax.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    if corner:
        corner.set(xlim=(-0.001, 0.1), ylim=(0.9, 1.001), xticks=[0, 0.05, 0.1], yticks=[0.9, 0.95, 1])
        corner.tick_params(labelsize="small")
        corner.spines[:].set_visible(True)
        ax.indicate_inset_zoom(corner, edgecolor=colours.faint)
    columns = 1 + (len(together) > 14)
    ax.legend(title="class: area under it", loc="center left", bbox_to_anchor=(1.02, 0.5), ncols=columns)
    ax.set_title(title)
    return ax.figure


Shares = npt.NDArray[np.float64]


def decided(times: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> tuple[Shares, Shares, Shares]:
    """What is known of labelled samples when the race of the output neurons is stopped.

    Args:
        times: (n, classes) z of the output neurons, inf for silence.
        labels: (n,) of the samples.

    Returns:
        t, ascending, one for each sample with a spike: that of its first; the share of the samples that are decided
        by then; and the share of those that are decided and right. Where no neuron fires a sample never is.

    Raises:
        InputError: shapes that do not fit each other, or no samples.
    """
    if times.ndim != 2 or labels.shape != times.shape[:1] or not len(labels):
        raise InputError(
            f"times must be (n, classes) and labels (n,), n of 1 or more, got {times.shape} and {labels.shape}"
        )
    first = times.min(1).astype(np.float64)
    right = times.argmin(1) == labels
    order = np.argsort(first, kind="stable")
    order = order[np.isfinite(first[order])]
    return np.log(first[order]), np.arange(1, len(order) + 1) / len(labels), np.cumsum(right[order]) / len(labels)


def decision_time(
    times: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    last_input: float | None = None,
    ax: Axes | None = None,
    title: str = "How early can one stop?",
) -> Figure | SubFigure:
    """Draw the shares of samples that are decided, and decided rightly, against the time the race is stopped.

    Args:
        times, labels: as :func:`decided` takes them.
        last_input: t / τ when the last input spikes; it is marked.
        ax: to draw into.
        title: above it.

    Raises:
        InputError: as for :func:`decided`, no sample is ever decided, or matplotlib is not installed.
    """
    t, known, right = decided(times, labels)
    if not len(t):
        raise InputError("times must hold a spike of one sample or more, got silence alone")
    ax = ax or new_figure(7.5, 4.4).subplots()
    colours = palette(ax)
    blue, orange = colours.categories[:2]
    pad = 0.05 * max(t[-1] - t[0], 0.1)
    wide = np.concatenate([[t[0] - pad], t, [t[-1] + pad]])
    known, right = (100 * np.concatenate([[0.0], share, share[-1:]]) for share in (known, right))
    ax.step(wide, known, where="post", color=blue, linestyle="--", label=f"decided: {known[-1]:.2f} % at the end")
    ax.step(wide, right, where="post", color=blue, label=f"decided and right: {right[-1]:.2f} % at the end")
    ax.fill_between(wide, right, known, step="post", color=orange, alpha=0.5, linewidth=0, label="decided and wrong")
    # The shares grow, so the first to reach it is when one may stop.
    marks = [int(np.argmax(right >= share * right[-1])) for share in (0.5, 0.99)]
    text = f"half of the right: {wide[marks[0]]:.3f} τ, 99 %: {wide[marks[1]]:.3f} τ"
    ax.plot(wide[marks], right[marks], "o", color=colours.ink, markersize=5, label=text)
    if last_input is not None:
        ax.axvline(last_input, color=colours.ink, linewidth=1, linestyle=":", label=f"last input, {last_input:.3f} τ")
    ax.set(
        ylim=(0, 103),
        xlabel="the race is stopped at t / τ",
        ylabel=f"share of {counted(len(labels), 'sample', ',')} / %",
    )
    ax.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16), ncols=2)
    ax.set_title(title)
    return ax.figure
