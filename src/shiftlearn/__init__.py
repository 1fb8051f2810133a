"""Spiking neural networks with shifting learning: one spike per neuron, exact spike times, local plasticity.

Everything is imported on first use, so that ``import shiftlearn`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import analysis, coding, data, export, nn, ops, plots
    from .errors import InputError
    from .estimator import ShiftClassifier
    from .models.model import Model, load
    from .ops import rules
    from .ops.events import SpikeEvents, to_time, to_z
    from .recipes import Recipe
    from .recipes import names as list_recipes
    from .recipes import read as recipe
    from .training.run import start as train

__version__ = "0.1.0"
__all__ = [
    "InputError",
    "Model",
    "Recipe",
    "ShiftClassifier",
    "SpikeEvents",
    "analysis",
    "coding",
    "data",
    "export",
    "list_recipes",
    "load",
    "nn",
    "ops",
    "plots",
    "recipe",
    "rules",
    "to_time",
    "to_z",
    "train",
]

_MODULES = {
    **{name: name for name in ("analysis", "coding", "data", "export", "nn", "ops", "plots")},
    "rules": "ops.rules",
}
_NAMES = {  # module, and the name there
    "InputError": ("errors", "InputError"),
    "Model": ("models.model", "Model"),
    "Recipe": ("recipes", "Recipe"),
    "ShiftClassifier": ("estimator", "ShiftClassifier"),
    "SpikeEvents": ("ops.events", "SpikeEvents"),
    "list_recipes": ("recipes", "names"),
    "load": ("models.model", "load"),
    "recipe": ("recipes", "read"),
    "to_time": ("ops.events", "to_time"),
    "to_z": ("ops.events", "to_z"),
    "train": ("training.run", "start"),
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{_MODULES[name]}", __name__)
    if name in _NAMES:
        module, attribute = _NAMES[name]
        return getattr(importlib.import_module(f".{module}", __name__), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
