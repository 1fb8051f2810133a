"""Modules over :mod:`shiftlearn.ops`: layers, pooling, losses, and the steps that follow the optimizer's."""

from .conv import EarliestSpikePool2d, ShiftConv2d
from .direct import DirectFeedback
from .homeostasis import Homeostasis, project_delays
from .linear import FEEDBACK, ShiftLinear, shift_layers
from .losses import FirstSpikeCrossEntropy, RewardLoss, SoftmaxTargetError, first_to_fire, spike_time_scores

__all__ = [
    "FEEDBACK",
    "DirectFeedback",
    "EarliestSpikePool2d",
    "FirstSpikeCrossEntropy",
    "Homeostasis",
    "RewardLoss",
    "ShiftConv2d",
    "ShiftLinear",
    "SoftmaxTargetError",
    "first_to_fire",
    "project_delays",
    "shift_layers",
    "spike_time_scores",
]
