"""Local learning rules as coefficient functions.

Every rule of the library has the form ``ΔW_ij = Σ_b m_bij (a_bj z_bi − c_bj)``, where m says that input i is in
the causal set of neuron j. A rule therefore only chooses four coefficients per sample and neuron; the kernels
that apply them are shared. To add one::

    def sign_only(delta, u, drive, delay):
        a = torch.zeros_like(delta)
        return Coefficients(a=a, c=delta, f=delta, g=delta * u * delay)

    shiftlearn.ops.rules.register("sign_only", sign_only)

A rule that a module defines needs no registration: its name is ``"package.module:function"``, which other processes,
such as joblib's workers, understand too.
"""

from __future__ import annotations

import importlib
import math
import operator
import re
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ..errors import InputError
from ..registry import RULES, Registry

__all__ = ["Coefficients", "Rule", "coefficients", "get", "named", "names", "register", "require"]


class Coefficients(NamedTuple):
    """A rule's coefficients, each (batch, out). The gradients that the optimizer gets are

    * shift: Σ_batch over i ∈ C_j of ``a_j z_i − c_j``,
    * inputs: feedback to input i, Σ_j ``f_j w_ij`` over the j with i ∈ C_j (w: the feedback weights),
    * delay: Σ_batch ``g_j``.
    """

    a: Tensor
    c: Tensor
    f: Tensor
    g: Tensor


Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Coefficients]


def shifting(delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor) -> Coefficients:
    """The published rule (SL_Layer.SNNLayer): δ · exp(d) · (z_in − z_out); the drive plays no part."""
    a = delta * torch.exp(delay)
    z_out = u * delay
    return Coefficients(a, a * z_out, delta, delta * z_out)


def normalized(delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor) -> Coefficients:
    """The published rule with δ divided by the drive, as in the published TCA script (SL_TCA.Spike_train)."""
    return shifting(delta / drive, u, drive, delay)


def exact(delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor) -> Coefficients:
    """The gradient of z_out = d · N / D: ∂z_out/∂w_i = d (z_i − u) / D, ∂z_out/∂z_i = d w_i / D."""
    a = delta * delay / drive
    return Coefficients(a, a * u, a, delta * u)


_RULES: Registry[Rule] = Registry("rule", {"shifting": shifting, "normalized": normalized, "exact": exact})


_GIVEN: dict[str, Rule] = {}  # those that came as functions and that no module defines
_PLACE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def register(name: str, function: Rule, *, replace: bool = False) -> None:
    """Add a rule under ``name``.

    ``function(delta, u, drive, delay)`` gets (batch, out) tensors: the error, the crossing u = z_out / d, the
    drive D > 0 (already floored at ``min_drive``), and the (out,) delays; it returns :class:`Coefficients` and is
    linear in ``delta``. Silent neurons arrive with delta 0, u 0 and drive 1. With ``replace`` it takes the place of
    another function of that name.

    Raises:
        InputError: ``name`` is taken or no identifier, or ``function`` is not callable.
    """
    _RULES.register(name, function, function, replace)


def names() -> list[str]:
    """The registered rules."""
    return sorted(_RULES)


def get(name: str) -> Rule:
    """The rule registered under ``name``, or the one that ``"module:function"`` names, imported when it is first used.

    So a network can be read, and classify, without its rule's module.

    Raises:
        InputError: there is no such rule; the message has the nearest name.
    """
    if name in _GIVEN:
        return _GIVEN[name]
    if name not in _RULES and isinstance(name, str) and _PLACE.fullmatch(name):
        return _Elsewhere(name)
    try:
        return _RULES.get(name)
    except InputError as error:
        raise InputError(f"{error} The name of a function in a module is 'module:function'.") from None


def require(name: str) -> Rule:
    """As :func:`get`, but what a module defines is imported now; InputError if it cannot be."""
    function = get(name)
    return function.imported() if isinstance(function, _Elsewhere) else function


def named(rule: str | Rule) -> str:
    """The name by which layers know a rule that is given as a function. A name is returned if it :func:`require`-s one.

    It is "module:function" where that leads to the function, so that another process can find it.
    """
    if not callable(rule):
        require(rule)
        return rule
    for name in RULES:
        if _RULES.get(name) is rule:
            return name
    module, path = (getattr(rule, key, "") or "" for key in ("__module__", "__qualname__"))
    place = f"{module}:{path}"
    if module != "__main__" and _PLACE.fullmatch(place) and _found(place) is rule:
        return place
    for name, function in _GIVEN.items():
        if function is rule:
            return name
    name = f"given:rule_{uuid.uuid4().hex}"  # of the form of a place, so that a layer takes it unknown
    remember(name, rule)
    return name


def remember(name: str, rule: Rule) -> None:
    """Let a name that :func:`named` made, perhaps in another process, stand for the rule."""
    _GIVEN[name] = rule


def _found(place: str) -> object:
    """What a loaded module has there; None if nothing."""
    module, _, path = place.partition(":")
    try:
        return operator.attrgetter(path)(sys.modules[module])
    except (KeyError, AttributeError):
        return None


@dataclass(frozen=True)
class _Elsewhere:
    """The rule of a module that is perhaps not imported yet."""

    place: str

    def __call__(self, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor) -> Coefficients:
        return self.imported()(delta, u, drive, delay)

    def imported(self) -> Rule:
        module, _, path = self.place.partition(":")
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(f"rule {self.place!r} cannot be imported: {error}") from error
        found = _found(self.place)
        if not callable(found):
            raise InputError(f"rule {self.place!r}: module {module!r} has no function {path!r}")
        return cast(Rule, found)


def coefficients(
    name: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Apply a rule to (..., batch, out) tensors; of its four results g is summed over the batch.

    Silent neurons are taken out before any product, so that their inf never meets a 0.
    """
    d = delay.unsqueeze(-2)
    spiked = u * d < math.inf  # a delay can push a late crossing out of range: that is silence too
    results = get(name)(
        torch.where(spiked, delta, 0.0),
        torch.where(spiked, u, 0.0),
        torch.where(spiked, drive.clamp_min(min_drive), 1.0),
        d,
    )
    if len(results) != len(Coefficients._fields):
        fields = ", ".join(Coefficients._fields)
        raise InputError(f"rule {name!r} must return {fields}, got {len(results)} tensors")
    for field, x in zip(Coefficients._fields, results, strict=True):
        if x.shape != u.shape:
            raise InputError(f"{field} of rule {name!r} must have shape {tuple(u.shape)}, got {tuple(x.shape)}")
    a, c, f, g = results
    return a, c, f, g.sum(-2)
