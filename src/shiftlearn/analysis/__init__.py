"""What a trained network costs, bears and does inside, and what simpler classifiers reach on the same data.

May import: models, and what lies below it.
"""

from __future__ import annotations

from . import baselines, cost, layers, robustness

__all__ = ["baselines", "cost", "layers", "robustness"]
