"""Modules over :mod:`shiftlearn.ops`: layers, pooling, losses, and the steps that follow the optimizer's.

May import: ops, and what lies below it.
"""

from . import pathways
from .constraints import Constraints, Homeostasis, constrain, project_delays
from .conv import EarliestSpikePool2d, ShiftConv2d
from .direct import DirectFeedback
from .initialise import causal_share, initialise, sample_spread
from .linear import FEEDBACK, ShiftLinear, shift_layers
from .losses import FirstSpikeCrossEntropy, RewardLoss, SoftmaxTargetError, first_to_fire, spike_time_scores
from .noise import SpikeNoise, perturbed, translate

__all__ = [
    "FEEDBACK",
    "Constraints",
    "DirectFeedback",
    "EarliestSpikePool2d",
    "FirstSpikeCrossEntropy",
    "Homeostasis",
    "RewardLoss",
    "ShiftConv2d",
    "ShiftLinear",
    "SoftmaxTargetError",
    "SpikeNoise",
    "causal_share",
    "constrain",
    "first_to_fire",
    "initialise",
    "pathways",
    "perturbed",
    "project_delays",
    "sample_spread",
    "shift_layers",
    "spike_time_scores",
    "translate",
]
