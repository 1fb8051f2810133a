"""The operations: sort, first spike, plasticity, feedback; ``fire`` and ``cross_entropy``, the differentiable ones.

Only those two have a gradient, and no second one: a backward pass through anything else raises NotImplementedError.
Under torch.autocast all take half precision too and compute in float32.

May import: errors, files, registry.
"""

from . import rules
from .operations import (
    cross_entropy,
    feedback,
    fire,
    first_spike,
    plasticity,
    sort_levels,
    sort_spikes,
    sort_windows,
    sum_windows,
)

__all__ = [
    "cross_entropy",
    "feedback",
    "fire",
    "first_spike",
    "plasticity",
    "rules",
    "sort_levels",
    "sort_spikes",
    "sort_windows",
    "sum_windows",
]
