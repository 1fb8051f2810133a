"""The float32 kernels stay within what rounding explains: a small share of ``python tests/ops/rounding.py``."""

from __future__ import annotations

import pytest
from problems import needs_kernels
from rounding import KINDS, measure


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_explained_by_the_condition(one_thread: None, kind: str) -> None:
    """Of up to 64 inputs; the worst of 10,000 problems is in docs/numbers.md. Never more than twice that."""
    worst = measure(20, seed=1, kinds=[kind])[kind]
    assert worst.fired > 0.5 * worst.neurons
    assert worst.scaled < 4
    assert worst.drive < 4
    assert worst.distance < 4
    assert worst.plasticity < 4
    assert worst.feedback < 4
