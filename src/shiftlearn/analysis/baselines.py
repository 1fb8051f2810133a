"""What simpler means reach on the same data, to print beside a spiking network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ops.events import SpikeEvents

__all__ = ["accuracies", "of_trials"]

Index = npt.NDArray[np.int64]


def _classifiers() -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    return {
        "logistic regression": LogisticRegression(max_iter=1000),
        "RBF SVM": SVC(),
        "MLP": MLPClassifier(max_iter=500, random_state=0),
    }


def accuracies(
    folds: Sequence[tuple[Index, Index]], labels: Index, inputs: Sequence[npt.NDArray[np.float32]]
) -> dict[str, list[float]]:
    """Test accuracy of each classifier, with scikit-learn's defaults, in each fold (training rows, test rows).

    ``inputs``: for each fold what the spiking network gets, (rows, features), here standardised.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    result: dict[str, list[float]] = {name: [] for name in _classifiers()}
    for (train, test), x in zip(folds, inputs, strict=True):
        for name, classifier in _classifiers().items():
            model = make_pipeline(StandardScaler(), classifier)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the defaults are what is compared
                model.fit(x[train], labels[train])
            result[name].append(float(model.score(x[test], labels[test])))
    return result


def of_trials(train: SpikeEvents, target: Index, test: SpikeEvents, wanted: Index) -> dict[str, dict[str, float]]:
    """Accuracy and mean absolute error of three guesses at the target (``wanted``) of test trials.

    The mode and the median of the training targets, and a ridge regression on the number of spikes of every channel
    (its penalty chosen by leave-one-out on the training trials), rounded to a target that occurred in training.
    """
    from sklearn.linear_model import RidgeCV

    ridge = RidgeCV(np.logspace(-2, 5, 15)).fit(_spike_counts(train), target)
    values, occurred = np.unique(target, return_counts=True)
    sums = np.rint(ridge.predict(_spike_counts(test))).clip(values[0], values[-1])
    guesses = {
        "mode": values[occurred.argmax()],
        "median": np.median(target),
        "ridge regression on spike counts": sums,
    }
    return {name: _figures(np.broadcast_to(guess, len(wanted)), wanted) for name, guess in guesses.items()}


def _spike_counts(trials: SpikeEvents) -> npt.NDArray[np.float64]:
    """(n, channels)"""
    rows, channels = len(trials), trials.num_channels
    row = np.repeat(np.arange(rows), trials.offsets.diff().cpu().numpy())
    flat = np.bincount(row * channels + trials.channel.cpu().numpy(), minlength=rows * channels)
    return flat.reshape(rows, channels).astype(np.float64)


def _figures(guess: npt.NDArray[np.float64], target: npt.NDArray[np.int64]) -> dict[str, float]:
    return {
        "accuracy": float(np.mean(guess == target)),
        "mean_absolute_error": float(np.mean(np.abs(guess - target))),
    }
