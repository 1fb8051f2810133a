"""scikit-learn's classifiers on the folds of a cross-validation, to print beside a spiking network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["accuracies"]

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
