"""Drawings of networks and of what they do; they need the extra ``plots``, which is matplotlib.

Functions that fill one pair of axes take ``ax``, the others ``figure`` (a figure of matplotlib or a part of one); None
makes a new figure. All return the figure. Colours follow the background; :func:`style` sets the rest of the look. Times
are t / τ = log z.

May import: anything but export, playground, estimator and cli.
"""

from .activity import LayerActivity, MembranePotential, activity, membrane_potential
from .disturbances import disturbances
from .figures import style
from .potential import potential
from .raster import raster
from .results import confusion, curves, decided, decision_time, roc
from .synapses import fields, receptive_fields, weights

__all__ = [
    "LayerActivity",
    "MembranePotential",
    "activity",
    "confusion",
    "curves",
    "decided",
    "decision_time",
    "disturbances",
    "fields",
    "membrane_potential",
    "potential",
    "raster",
    "receptive_fields",
    "roc",
    "style",
    "weights",
]
