"""A classifier of tables with scikit-learn's interface."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from numbers import Real
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data
from torch import Tensor

from . import rules
from .coding import coded_width, of_recipe
from .data.features import Features
from .errors import InputError
from .health import require_finite
from .learner import Learner, random_state
from .model import build
from .nn import spike_time_scores
from .recipes import Recipe, override

__all__ = ["ShiftClassifier"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

# From the settings of a Recipe to the parameters here.
_SAME = "coding coding_exponent scaling rule feedback beta label_smoothing homeostasis init_scale"
_PARAMETERS = {"epochs": "max_iter", "batch": "batch_size", "lr": "learning_rate"} | {n: n for n in _SAME.split()}
_CHUNK = 1000  # samples per forward pass when predicting


class ShiftClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A spiking network for tables of numbers: every neuron fires once, and the earliest output spike decides.

    Inputs are scaled by :class:`~shiftlearn.data.features.Features` (fitted in ``fit``, or in the first
    ``partial_fit``), so no scaler is needed; values outside the fitted range are clipped to it.

    Args:
        hidden_layer_sizes: neurons of each hidden layer, () for none.
        coding: "population", "on-off" or "latency", see :mod:`shiftlearn.coding`; "auto" is population for tables of up
            to 12 features and on-off for wider ones.
        coding_exponent: of the coding; "auto" is 1 for population and 2 for others.
        scaling: "minmax", "robust" or "quantile"; "auto" is minmax for population and robust for others.
        rule, feedback, homeostasis, init_scale: local rule and its pathway, constraint, and initial weights (one scale
            or one per layer), see :mod:`shiftlearn.rules`, :class:`~shiftlearn.nn.ShiftLinear` and
            :class:`~shiftlearn.nn.Homeostasis` (0 for none).
        beta, label_smoothing: of :class:`~shiftlearn.nn.FirstSpikeCrossEntropy`.
        max_iter: number of epochs.
        batch_size: samples per step; "auto" is samples / 32, at least 32 and at most 256.
        learning_rate: at the start; it falls geometrically to ``lr_decay`` times that in the last epoch.
        n_members: networks that train side by side and whose scores are averaged; 1 for a single one.
        early_stopping: hold out ``validation_fraction`` of the samples (stratified), stop when their accuracy has not
            risen for ``n_iter_no_change`` epochs, and keep the weights with which it was highest.
        class_weight: None, "balanced" (not for ``partial_fit``), or a dict from class to weight.
        random_state: int, RandomState or None, of initial weights and order. The order of the samples has no effect.
        verbose: print a line per epoch.

    Attributes:
        classes_, n_features_in_, feature_names_in_, n_iter_: as in scikit-learn.
        loss_curve_, validation_scores_: mean loss of each epoch, and accuracy on what is held out for early stopping.
        network_: the layers (of all members as one tensor); ``features_``: the scaling, None if no feature varies.

    Raises:
        InputError: a parameter, weight or class that does not serve. It is a ValueError.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> bool(ShiftClassifier(random_state=0).fit(X, y).score(X, y) > 0.9)
        True
    """

    def __init__(
        self,
        hidden_layer_sizes: tuple[int, ...] = (64,),
        *,
        coding: str = "auto",
        coding_exponent: float | str = "auto",
        scaling: str = "auto",
        rule: str = "normalized",
        feedback: str = "symmetric",
        beta: float = 4.0,
        label_smoothing: float = 0.1,
        max_iter: int = 100,
        batch_size: int | str = "auto",
        learning_rate: float = 0.01,
        lr_decay: float = 0.01,
        homeostasis: float = 1.2,
        init_scale: float | tuple[float, ...] = 8.0,
        n_members: int = 4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        class_weight: str | Mapping[Any, float] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.coding = coding
        self.coding_exponent = coding_exponent
        self.scaling = scaling
        self.rule = rule
        self.feedback = feedback
        self.beta = beta
        self.label_smoothing = label_smoothing
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.lr_decay = lr_decay
        self.homeostasis = homeostasis
        self.init_scale = init_scale
        self.n_members = n_members
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from fresh weights on X (n, features) and y (n,); ``sample_weight`` is (n,) of 0 or more, or None."""
        self._check_parameters()
        x, y, weight = self._validated(X, y, sample_weight, reset=True)
        self.classes_, labels = np.unique(y, return_inverse=True)
        x, labels, weight = self._training_set(x, labels, weight)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        train, rest = np.arange(len(x)), np.arange(0)
        if self.early_stopping:
            train, rest = train_test_split(
                train, test_size=self.validation_fraction, stratify=labels, random_state=self._seed
            )
        self._begin(x[train])
        samples = self._tensors(x[train], labels[train], weight[train])
        self.validation_scores_: list[float] = []
        best: dict[str, Tensor] = {}
        for epoch in range(self.max_iter):
            self._epoch(*samples, share=epoch / self.max_iter)
            if not self.early_stopping:
                continue
            right = self._scores(x[rest]).argmax(1) == labels[rest]
            self.validation_scores_.append(float(np.average(right, weights=weight[rest])))
            since = epoch - int(np.argmax(self.validation_scores_))
            if since == 0:
                best = copy.deepcopy(self.network_.state_dict())
            elif since >= self.n_iter_no_change:
                break
        if best:
            self.network_.load_state_dict(best)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch on X (n, features) and y (n,), at the starting learning rate.

        The first call must name all ``classes``, and fits the scaling, so its rows should be representative: later
        values outside their range are clipped to it, and a feature that is constant in them stays unused. After
        ``fit`` it goes on from there.
        """
        self._check_parameters()
        if isinstance(self.class_weight, str):
            raise InputError(f"class_weight must be None or a dict for partial_fit, got {self.class_weight!r}")
        first = not hasattr(self, "network_")
        if first and classes is None:
            raise InputError("classes must be given in the first call of partial_fit, got None")
        known = self.classes_ if classes is None else unique_labels(classes)
        if not first and not np.array_equal(known, self.classes_):
            raise InputError(f"classes must be those of the first call, {self.classes_}, got {known}")
        x, y, weight = self._validated(X, y, sample_weight, reset=first)
        labels = LabelEncoder().fit(known).transform(y)
        self.classes_ = known
        x, labels, weight = self._training_set(x, labels, weight)
        if first:
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
            self._begin(x)
        self._epoch(*self._tensors(x, labels, weight), share=0.0)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The class of the earliest output spike, (n,); of tied ones the first, also if all are silent."""
        scores = self.predict_proba(X)
        result: npt.NDArray[Any] = self.classes_[scores.argmax(1)]
        return result

    def predict_proba(self, X: Any) -> Floats:
        """(n, classes) softmax(−β z) of the spike times, averaged over the members: scores, not calibrated."""
        check_is_fitted(self, "network_")
        return self._scores(validate_data(self, X, dtype=np.float64, reset=False))

    def _check_parameters(self) -> None:
        for name in ("n_members", "n_iter_no_change"):
            if not _whole(getattr(self, name)):
                raise InputError(f"{name} must be a whole number of 1 or more, got {getattr(self, name)!r}")
        for name in ("lr_decay", "validation_fraction"):
            value: Any = getattr(self, name)
            if not isinstance(value, Real) or not 0 < value <= 1:  # type: ignore[operator]
                raise InputError(f"{name} must lie between 0 and 1, got {value!r}")
        self._recipe(1, 1, 1)

    def _recipe(self, features: int, classes: int, samples: int) -> Recipe:
        """The hyper-parameters as a Recipe, which checks them; its first layer counts features, before coding."""
        given = self.hidden_layer_sizes
        hidden = tuple(given) if isinstance(given, list | tuple) else (given,)
        if not all(map(_whole, hidden)):
            raise InputError(f"hidden_layer_sizes must be a list of whole numbers of 1 or more, got {given!r}")
        recipe = Recipe(type(self).__name__, "", (features, *map(int, hidden), classes), 1, min_drive=1e-3)
        for name, own in _PARAMETERS.items():
            value = getattr(self, own)
            if isinstance(value, str) and value == "auto":
                population = recipe.coding == "population"
                value = {
                    "batch": min(max(samples // 32, 32), 256),
                    "coding": "population" if features <= 12 else "on-off",
                    "coding_exponent": 1.0 if population else 2.0,
                    "scaling": "minmax" if population else "robust",
                }.get(name, value)
            try:
                recipe = override(recipe, {name: value.item() if isinstance(value, np.generic) else value})
            except InputError as error:
                raise InputError(str(error).replace(name, own, 1)) from None
        rules.get(recipe.rule)
        final = recipe.lr * self.lr_decay
        return override(recipe, {"lr_final": final, "delay_lr": recipe.lr, "delay_lr_final": final})

    def _validated(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Floats, npt.NDArray[Any], Floats]:
        x, y = validate_data(self, X, y, dtype=np.float64, reset=reset)
        check_classification_targets(y)
        weight = _check_sample_weight(sample_weight, x, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise InputError("sample_weight must be positive for at least one sample, got zeros")
        return x, column_or_1d(y, warn=True), weight

    def _training_set(self, x: Floats, labels: Labels, weight: Floats) -> tuple[Floats, Labels, Floats]:
        """Samples with class weights; equal ones become one with the sum of their weights, those of weight 0 none.

        So a weight of k is the same as k copies, to the last bit, and the order of the samples does not matter.
        """
        rows = np.column_stack([x, labels]) + 0.0  # without -0.0, as rows are compared by their bytes
        keys = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
        _, first, number = np.unique(keys, return_index=True, return_inverse=True)
        total: Any = np.bincount(number.ravel(), weight)
        first, weight = first[total > 0], total[total > 0]
        rows, labels = rows[first], labels[first]
        if self.class_weight == "balanced":
            share = np.bincount(labels, weight, len(self.classes_)) / weight.sum()
            of_class = 1 / np.where(share > 0, share, 1) / np.count_nonzero(share)
        else:
            of_class = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
        weight = weight * of_class[labels]
        if not (weight >= 0).all() or not weight.any():
            raise InputError(f"class_weight must be 0 or more, and not 0 for all samples, got {self.class_weight!r}")
        return rows[:, :-1], labels, weight

    def _begin(self, x: Floats) -> None:
        """Fit the scaling and make a fresh network."""
        constant = bool((x == x[0]).all())
        names = [f"x{n}" for n in range(x.shape[1])]
        recipe = self._recipe(x.shape[1], len(self.classes_), len(x))
        self.features_ = None if constant else Features.fit(names, list(x.T), recipe.scaling)
        width = coded_width(recipe.coding, self.features_.width if self.features_ else 1, recipe.coding_cells)
        self.recipe_ = dataclasses.replace(recipe, layers=(width, *recipe.layers[1:]))
        seeds = np.random.SeedSequence(self._seed).generate_state(self.n_members).tolist()
        self.network_ = build(self.recipe_, [random_state(seed, 0) for seed in seeds], len(seeds))
        self._learner = Learner(self.network_, self.recipe_)
        self.n_iter_ = 0
        self.loss_curve_: list[float] = []

    def _values(self, x: Floats) -> Tensor:
        """(n, features) in [0, 1]; where no feature varies, a constant takes their place."""
        if self.features_ is None:
            return torch.zeros(len(x), 1)
        return torch.from_numpy(self.features_.transform(list(x.T)))

    def _tensors(self, x: Floats, labels: Labels, weight: Floats) -> tuple[Tensor, Tensor, Tensor]:
        heft = torch.from_numpy(weight / weight.mean()).float()
        return self._values(x), torch.from_numpy(labels), heft

    def _epoch(self, values: Tensor, labels: Tensor, weight: Tensor, share: float) -> None:
        """Let every member learn from all samples, each in an order of its own."""
        self.n_iter_ += 1
        generator = random_state(self._seed, self.n_iter_)
        order = torch.stack([torch.randperm(len(values), generator=generator) for _ in range(self.n_members)])
        encode = of_recipe(self.recipe_)
        self._learner.set_rates(share)
        total = torch.zeros(())
        try:
            for part in torch.split(order, self.recipe_.batch, dim=1):
                total += self._learner.step(encode(values[part]), labels[part], weight[part])[0] * part.shape[1]
            require_finite(self.network_, self.recipe_)
        except InputError as error:
            raise InputError(str(error).replace("lower lr", "lower learning_rate")) from None
        self.loss_curve_.append(total.item() / order.numel())
        if self.verbose:
            print(f"epoch {self.n_iter_}: loss {self.loss_curve_[-1]:.4f}")

    @torch.no_grad()
    def _scores(self, x: Floats) -> Floats:
        """In float64, where the scores of different (float32) spike times differ."""
        encode = of_recipe(self.recipe_)
        parts = []
        for part in torch.split(self._values(x), _CHUNK):
            z = self.network_(encode(part.expand(self.n_members, -1, -1)))
            parts.append(spike_time_scores(z.double(), self.recipe_.beta).mean(0))
        scores: Floats = torch.cat(parts).numpy()
        return scores


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)
