"""Spike trains: trials of input spikes, their files, and generated temporal credit assignment (TCA)."""

from __future__ import annotations

from .files import read_trials
from .trials import Trials, from_arrays, to_events

__all__ = ["Trials", "from_arrays", "read_trials", "to_events"]
