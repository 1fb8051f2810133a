"""A recipe in words, which follow from its settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import counted
from .network import network_name

if TYPE_CHECKING:
    from . import Recipe

__all__ = ["augmentation", "describe", "modulator"]

_FEEDBACK = {
    "random": "fixed random feedback (no weight transport)",
    "direct": "direct random feedback from the read-out (no weight transport)",
    "aligning": "aligning feedback (no weight transport)",
    "sign": "sign feedback (transports the signs of weights only)",
    "none": "no feedback to hidden layers",
}
_SYMMETRIC = {  # by rule
    "exact": "the gradient",
    "normalized": "the gradient up to a factor where delays are 1",
    "shifting": "weight transport, but not the gradient",
}


def describe(recipe: Recipe) -> str:
    """What is trained, and how: dataset, network, rule, feedback, modulator, coding, augmentation, epochs.

    Raises:
        InputError: the sizes do not fit together (:func:`shiftlearn.recipes.network.network_name`).
    """
    parts = [network_name(recipe), f"{recipe.rule} rule", _feedback(recipe), modulator(recipe)]
    if recipe.modulator == "reward":
        parts.append(f"baseline {recipe.baseline}")
        parts += [f"exploration {recipe.exploration:g}"] if recipe.exploration else []
    parts += [] if recipe.spike_trains else [f"{recipe.coding} coding"]
    parts += [f"values in {recipe.coding_levels} levels"] if recipe.coding_levels else []
    parts += [f"preprocessing {recipe.preprocess}"] if recipe.preprocess != "none" else []
    parts += ["a cue at the end of each trial"] if recipe.cue else []
    parts += ["weights fitted to data"] if recipe.init == "data" else []
    parts += [augmentation(recipe)] if augmentation(recipe) != "none" else []
    parts += [f"weight decay {recipe.weight_decay:g}"] if recipe.weight_decay else []
    parts += ["averaged weights"] if recipe.averaging else []
    parts.append(counted(recipe.epochs, "epoch"))
    return f"{Path(recipe.dataset).name}: {', '.join(parts)}"


def modulator(recipe: Recipe) -> str:
    """The signal from the outputs: an error by its loss, or a reward."""
    if recipe.modulator == "reward":
        return "scalar reward"
    if recipe.loss == "published":
        return "published error"
    smoothing = f", smoothing {recipe.label_smoothing:g}" if recipe.label_smoothing else ""
    return ("ordinal " if recipe.ordinal else "") + f"cross-entropy in {recipe.readout}{smoothing}"


def augmentation(recipe: Recipe) -> str:
    """How training samples and their spikes are varied, or "none"."""
    parts = [f"moved by {recipe.translate} px"] if recipe.translate else []
    for name in ("jitter", "deletion"):
        if any(levels := getattr(recipe, name)):
            parts.append(f"{name} {', '.join(f'{x:g}' for x in levels)}")
    return "; ".join(parts) or "none"


def _feedback(recipe: Recipe) -> str:
    if recipe.feedback == "symmetric":
        return f"symmetric feedback ({_SYMMETRIC.get(recipe.rule, 'weight transport')})"
    return _FEEDBACK.get(recipe.feedback, f"{recipe.feedback} feedback")
