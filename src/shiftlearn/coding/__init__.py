"""From values to spike times: encoders return z = exp(t / tau); edges in place of images.

May import: ops, and what lies below it.
"""

from __future__ import annotations

from ..registry import CODINGS, coded_width
from .encoders import Coding, binarised, coarse, encoder, ink, latency, on_off, population, register

__all__ = [
    "CODINGS",
    "Coding",
    "binarised",
    "coarse",
    "coded_width",
    "encoder",
    "ink",
    "latency",
    "on_off",
    "population",
    "register",
]
