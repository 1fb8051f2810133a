"""From values to spike times: encoders return z = exp(t / tau); edges in place of images.

May import: ops, registry, errors.
"""

from __future__ import annotations

from .encoders import Coding, binarised, coarse, encoder, ink, latency, on_off, population, register

__all__ = ["Coding", "binarised", "coarse", "encoder", "ink", "latency", "on_off", "population", "register"]
