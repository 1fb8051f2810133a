"""Spiking neural networks with shifting learning: one spike per neuron, exact spike times, local plasticity.

Everything is imported on first use, so that ``import shiftlearn`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import coding, data, diagnostics, export, nn, ops, plots, rules
    from .checkpoint import load
    from .estimator import ShiftClassifier
    from .events import SpikeEvents, to_time, to_z

__version__ = "0.1.0"
__all__ = [
    "ShiftClassifier",
    "SpikeEvents",
    "coding",
    "data",
    "diagnostics",
    "export",
    "load",
    "nn",
    "ops",
    "plots",
    "rules",
    "to_time",
    "to_z",
]

_MODULES = ("coding", "data", "diagnostics", "export", "nn", "ops", "plots", "rules")
_NAMES = {
    "ShiftClassifier": "estimator",
    "SpikeEvents": "events",
    "load": "checkpoint",
    "to_time": "events",
    "to_z": "events",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _NAMES:
        return getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
