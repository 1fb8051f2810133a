"""A classifier of tables with scikit-learn's interface."""

from __future__ import annotations

import copy
import dataclasses
import math
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
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d
from torch import Tensor

from .data.tables.features import Features, NothingVaries
from .data.tables.frames import Rows, copies, keys, merged, read
from .errors import InputError
from .models.build import of_recipe
from .ops import rules
from .recipes import Recipe, override
from .registry import coded_width
from .training.ensemble import Ensemble
from .training.loop import Loop

__all__ = ["ShiftClassifier"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

# From the settings of a Recipe to the parameters here.
_SAME = "coding coding_exponent scaling rule feedback beta label_smoothing homeostasis init_scale"
_PARAMETERS = {"epochs": "max_iter", "batch": "batch_size", "lr": "learning_rate"} | {n: n for n in _SAME.split()}
_CHUNK = 1000  # samples per forward pass when predicting
_SEEDS = 2**31 - 1


class ShiftClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A spiking network for tables: every neuron fires once, and the earliest output spike decides.

    Inputs are scaled by :class:`~shiftlearn.data.tables.features.Features` (fitted in ``fit``, or in the first
    ``partial_fit``), so no scaler is needed; values outside the fitted range are clipped to it, and NaN, for a missing
    value, counts as the median. Columns of text or categories in a data frame (pandas, polars) become one input for
    each category; a missing or unseen one has none of them. Text that reads as a number is refused.

    Args:
        hidden_layer_sizes: neurons of each hidden layer, () for none.
        coding: "population", "on-off" or "latency", see :mod:`shiftlearn.coding`; "auto" is population for tables of up
            to 12 features and on-off for wider ones.
        coding_exponent: of the coding; "auto" is 1 for population and 2 for others.
        scaling: "minmax", "robust" or "quantile"; "auto" is minmax for population and robust for others.
        rule: name of a local rule, or the function itself, see :mod:`shiftlearn.ops.rules`. Processes that fit in
            parallel
            (``n_jobs``) do not know a registered name: give them the function, or "module:function".
        feedback, homeostasis, init_scale: the rule's pathway, constraint, and initial weights (one scale or one per
            layer), see :class:`~shiftlearn.nn.ShiftLinear` and :class:`~shiftlearn.nn.Homeostasis` (0 for none).
        beta, label_smoothing: of :class:`~shiftlearn.nn.FirstSpikeCrossEntropy`.
        max_iter: number of epochs.
        batch_size: samples per step; "auto" is samples / 32, at least 32 and at most 256. A weight of k counts as k
            samples. Beyond 10,000 samples, and 8 for each different one, equal samples are merged into heavier ones.
        learning_rate: at the start; it falls geometrically to ``lr_decay`` times that in the last epoch.
        n_members: networks that train side by side and whose scores are averaged; 1 for a single one.
        early_stopping: hold out ``validation_fraction`` of the samples (stratified), stop when their accuracy has not
            risen for ``n_iter_no_change`` epochs, and keep the weights with which it was highest. Samples are held out
            one by one, also if they equal others.
        class_weight: None, "balanced" (not for ``partial_fit``), or a dict from class to weight.
        random_state: int, RandomState, Generator of NumPy or torch (a fit draws one number from it), or None: decides
            initial weights and order. The order of the given samples has no effect.
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
        rule: str | rules.Rule = "normalized",
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
        random_state: int | np.random.RandomState | np.random.Generator | torch.Generator | None = None,
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
        rows, y, weight = self._validated(X, y, sample_weight, reset=True)
        self.classes_, labels = np.unique(y, return_inverse=True)
        rows, labels, weight, of_class = self._samples(rows, labels, weight)
        self._seed = _seed(self.random_state)
        train, rest = self._split(labels) if self.early_stopping else (np.arange(len(labels)), np.arange(0))
        loop = self._begin(rows[train], labels[train], weight[train], of_class)
        self.validation_scores_: list[float] = []
        best: dict[str, Tensor] = {}
        for epoch in range(self.max_iter):
            self._epoch(loop)
            if not self.early_stopping:
                continue
            right = self._scores(rows[rest]).argmax(1) == labels[rest]
            heft = (weight * of_class[labels])[rest]
            self.validation_scores_.append(float(np.average(right, weights=heft)))
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
        rows, y, weight = self._validated(X, y, sample_weight, reset=first)
        labels = LabelEncoder().fit(known).transform(y)
        self.classes_ = known
        rows, labels, weight, of_class = self._samples(rows, labels, weight)
        if first:
            self._seed = _seed(self.random_state)
            loop = self._begin(rows, labels, weight, of_class, scheduled=False)
        else:
            loop = self._loop(*merged(rows, labels, weight), of_class, scheduled=False)
            if callable(self._rule):  # perhaps this process does not know it yet
                rules.remember(self.recipe_.rule, self._rule)
        self._epoch(loop)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The class of the earliest output spike, (n,); of tied ones the first, also if all are silent."""
        scores = self.predict_proba(X)
        result: npt.NDArray[Any] = self.classes_[scores.argmax(1)]
        return result

    def predict_proba(self, X: Any) -> Floats:
        """(n, classes) softmax(−β z) of the spike times, averaged over the members: scores, not calibrated."""
        return self._scores(self._read(X))

    def predict_log_proba(self, X: Any) -> Floats:
        """The logarithm of ``predict_proba``, (n, classes), finite also where that rounds to 0; −inf for silence."""
        log = self._evidence(self._read(X)).log_softmax(-1)
        scores: Floats = (log.logsumexp(0) - math.log(len(log))).numpy()
        return scores

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

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
            value = rules.named(self.rule) if name == "rule" else getattr(self, own)
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
        final = recipe.lr * self.lr_decay
        return override(recipe, {"lr_final": final, "delay_lr": recipe.lr, "delay_lr_final": final})

    def _validated(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Rows, npt.NDArray[Any], Floats]:
        rows, y = read(self, X, y, reset=reset, text=None if reset else self._text)
        check_classification_targets(y)
        weight = _check_sample_weight(sample_weight, rows.values, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise InputError("sample_weight must be positive for at least one sample, got zeros")
        return rows, column_or_1d(y, warn=True), weight

    def _read(self, X: Any) -> Rows:
        check_is_fitted(self, "network_")
        return read(self, X, reset=False, text=self._text)[0]

    def _samples(self, rows: Rows, labels: Labels, weight: Floats) -> tuple[Rows, Labels, Floats, Floats]:
        """Those that count, in an order that does not depend on the given one, and the (classes,) class weights."""
        order = np.argsort(keys(rows.values, labels, weight), kind="stable")
        rows, labels, weight = rows[order], labels[order], weight[order]
        of_class: Floats
        if self.class_weight == "balanced":
            share = np.bincount(labels, weight, len(self.classes_)) / weight.sum()
            of_class = 1 / np.where(share > 0, share, 1) / np.count_nonzero(share)
        else:
            of_class = compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
        total = weight * of_class[labels]
        if not (total >= 0).all() or not total.any():
            raise InputError(f"class_weight must be 0 or more, and not 0 for all samples, got {self.class_weight!r}")
        count = total > 0
        return rows[count], labels[count], weight[count], of_class

    def _split(self, labels: Labels) -> tuple[Labels, Labels]:
        """Numbers of the samples to train on, and of those held out for early stopping."""
        try:
            train, rest = train_test_split(
                np.arange(len(labels)), test_size=self.validation_fraction, stratify=labels, random_state=self._seed
            )
        except ValueError as error:
            raise InputError(
                f"early_stopping must hold out {self.validation_fraction} (validation_fraction) of the {len(labels)} "
                f"samples, some of every class: {error}"
            ) from None
        return train, rest

    def _begin(self, rows: Rows, labels: Labels, weight: Floats, of_class: Floats, scheduled: bool = True) -> Loop:
        """Fit the scaling, make fresh networks, and return their epochs."""
        rows, labels, weight = merged(rows, labels, weight)
        features = rows.values.shape[1]
        recipe = self._recipe(features, len(self.classes_), int(copies(weight).sum()))
        names = list(map(str, getattr(self, "feature_names_in_", ())))
        if len(set(names)) != features:
            names = [f"x{n}" for n in range(features)]
        self._text = [n in rows.texts for n in range(features)]
        self.features_: Features | None
        try:
            self.features_ = Features.fit(names, rows.columns, recipe.scaling, weight)
        except NothingVaries:
            self.features_ = None
        width = coded_width(recipe.coding, self.features_.width if self.features_ else 1, recipe.coding_cells)
        self.recipe_ = dataclasses.replace(recipe, layers=(width, *recipe.layers[1:]))
        self._rule = self.rule
        seeds = np.random.SeedSequence(self._seed).generate_state(self.n_members).tolist()
        self._ensemble = Ensemble(self.recipe_, seeds)
        self.network_ = self._ensemble.network
        self.n_iter_ = 0
        self.loss_curve_: list[float] = []
        return self._loop(rows, labels, weight, of_class, scheduled)

    def _values(self, rows: Rows) -> Tensor:
        """(n, features) in [0, 1]; where no feature varies, a constant takes their place."""
        if self.features_ is None:
            return torch.zeros(len(rows), 1)
        return torch.from_numpy(self.features_.transform(rows.columns))

    def _loop(self, rows: Rows, labels: Labels, weight: Floats, of_class: Floats, scheduled: bool) -> Loop:
        """Epochs in which every member learns from all samples."""
        count = copies(weight)
        each = np.repeat(np.arange(len(count)), count)
        heft = (weight / count * of_class[labels])[each]
        values, encode = self._values(rows)[each], of_recipe(self.recipe_)
        return Loop(
            self._ensemble.learner,
            lambda batch: encode(values[batch.rows]),
            torch.from_numpy(labels[each]),
            self._ensemble.seeds,
            [torch.arange(len(each))] * len(self._ensemble.seeds),
            -(-len(each) // self.recipe_.batch),
            torch.from_numpy(heft / heft.mean()).float(),
            scheduled,
        )

    def _epoch(self, loop: Loop) -> None:
        self.n_iter_ += 1
        try:
            loss, _ = loop.epoch(self.n_iter_).means()
        except InputError as error:
            raise InputError(str(error).replace("lower lr", "lower learning_rate")) from None
        self.loss_curve_.append(loss)
        if self.verbose:
            print(f"epoch {self.n_iter_}: loss {self.loss_curve_[-1]:.4f}")

    def _scores(self, rows: Rows) -> Floats:
        scores: Floats = self._evidence(rows).softmax(-1).mean(0).numpy()
        return scores

    @torch.no_grad()
    def _evidence(self, rows: Rows) -> Tensor:
        """(members, n, classes) of −β z, in float64, where different (float32) spike times differ; 0 if all are inf."""
        encode = of_recipe(self.recipe_)
        parts = []
        for part in torch.split(self._values(rows), _CHUNK):
            z = self.network_(encode(part.expand(self.n_members, -1, -1))).double()
            parts.append(torch.where(z.isinf().all(-1, keepdim=True), 0.0, -self.recipe_.beta * z))
        return torch.cat(parts, 1)


def _seed(given: int | np.random.RandomState | np.random.Generator | torch.Generator | None) -> int:
    if isinstance(given, torch.Generator):
        return int(torch.randint(_SEEDS, (), generator=given, device=given.device))
    if isinstance(given, np.random.Generator):
        return int(given.integers(_SEEDS))
    try:
        return int(check_random_state(given).randint(_SEEDS))
    except ValueError as error:
        raise InputError(f"random_state must be a seed or a generator of NumPy or torch: {error}") from None


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)
