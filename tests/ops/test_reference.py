"""The reference kernels alone: what no comparison with the C++ kernels shows."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
import torch
from problems import Events, random_dense
from torch import Tensor

from shiftlearn.ops import reference


def every_kernel(g: dict[str, Any]) -> list[Tensor]:
    u, count, drive = reference.first_spike(*g["events"], g["shift"])
    a, c, f, gain = reference.coefficients("exact", u - 1, u, drive, g["delay"], 0.125)
    return [
        *reference.sort_spikes(g["z"]), u, count, drive, a, c, f, gain,
        reference.plasticity(*g["events"], count, a, c, 5),
        reference.feedback(*g["events"], count, f, g["shift"]),
        *reference.cross_entropy(g["z"], g["target"], None, 1, 2.0, 0.25, 20.0),
        *reference.sort_windows(g["images"], 2),
        reference.sum_windows(g["values"], g["images"].shape, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("lead", [(), (2,)], ids=["plain", "members"])
def test_results_are_on_the_device_of_the_tensors(lead: tuple[int, ...]) -> None:
    """Not on torch's default device: here that is the one without memory, where nothing could be looked at."""
    problem = random_dense(7, 6, 5, 4)
    given = {
        "z": problem.tensor(),
        "events": tuple(Events(problem.events())),
        "shift": problem.weight().expand(*lead, 5, 4),
        "delay": torch.full((*lead, 4), 1.25, dtype=torch.float64),
        "target": torch.arange(6) % 5,
        "images": problem.tensor().reshape(1, 1, 6, 5),
        "values": torch.randn(20, 4, dtype=torch.float64),
    }
    want = every_kernel(given)
    with torch.device("meta"):
        got = every_kernel(given)
    assert want[5].max() > 1
    for x, y in zip(got, want, strict=True):
        assert torch.equal(x, y)


def test_a_silent_row_beside_the_only_spike() -> None:
    """The row has ended while the other is walked: what it looks up then must exist."""
    events = torch.tensor([1.5]), torch.tensor([0], dtype=torch.int32), torch.tensor([0, 0, 1]), torch.full((2,), inf)
    shift = torch.tensor([[2.0]])
    u, count, drive = reference.first_spike(*events, shift)
    assert u.tolist() == [[inf], [3.0]]
    assert count.tolist() == [[0], [1]]
    assert reference.plasticity(*events, count, drive, drive, 1).tolist() == [[0.5]]
    assert reference.feedback(*events, count, drive, shift).tolist() == [[0.0], [2.0]]
