"""Feedback pathways of a layer: the matrix that carries its error back to its inputs.

A pathway makes that matrix of the weights and of one fixed random matrix. To add one::

    def sparse(weight, fixed):
        return fixed * (fixed > 0.8 * fixed.max())

    shiftlearn.nn.pathways.register("sparse", sparse)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InputError
from ..registry import FEEDBACK

__all__ = ["FEEDBACK", "Pathway", "matrix", "register"]

Pathway = Callable[[Tensor, Tensor], Tensor]


def register(name: str, function: Pathway, *, replace: bool = False) -> None:
    """Add a pathway under ``name``, which a layer's ``feedback`` and a recipe may then say.

    ``function(weight, fixed)`` gets the weights w_ij of the layer (..., in, out), and a matrix of that shape that was
    drawn like the initial weights, is saved with the layer and never learns; it returns the matrix b_ij of that shape.
    Input i then receives Σ_j f_j b_ij [i ∈ C_j]. It is called in every forward pass and must not change its arguments.

    With ``replace`` it takes the place of another function of that name.

    Raises:
        InputError: ``name`` is taken or no identifier, or ``function`` is not callable.
    """
    if name == "direct":
        raise InputError("feedback 'direct' is already registered: it is built in; choose another name")
    FEEDBACK.register(name, function, function, replace)


def has_matrix(name: str) -> bool:
    """Whether a pathway needs a fixed matrix; InputError if there is none of that name."""
    FEEDBACK.get(name)
    return name not in ("symmetric", "none")


def matrix(name: str, weight: Tensor, fixed: Tensor | None) -> Tensor | None:
    """What carries the error back, (..., in, out); None for the weights themselves."""
    if fixed is None or name in ("random", "aligning"):
        return fixed
    weight = weight.detach()
    own = FEEDBACK.get(name)
    return fixed * torch.sign(weight) if own is None else own(weight, fixed)
