"""Modules over :mod:`shiftlearn.ops`: the layer, the losses, and the steps that follow the optimizer's."""

from .direct import DirectFeedback
from .homeostasis import Homeostasis, project_delays
from .linear import FEEDBACK, ShiftLinear
from .losses import FirstSpikeCrossEntropy, RewardLoss, SoftmaxTargetError, first_to_fire, spike_time_scores

__all__ = [
    "FEEDBACK",
    "DirectFeedback",
    "FirstSpikeCrossEntropy",
    "Homeostasis",
    "RewardLoss",
    "ShiftLinear",
    "SoftmaxTargetError",
    "first_to_fire",
    "project_delays",
    "spike_time_scores",
]
