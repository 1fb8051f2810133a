"""Sorting, coefficients and loss in Triton against the readable reference; see test_triton.py for where they run."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from problems import DTYPES
from test_adjustments import RULES
from torch import Tensor

from shiftlearn.ops import checks, reference, rules

pytest.importorskip("triton", reason="Triton is not installed")
from shiftlearn.ops import gpu as gpu
from shiftlearn.ops.gpu import sorting

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
inf = math.inf
both = pytest.mark.parametrize("dtype", DTYPES)
few = settings(max_examples=settings().max_examples // 2)  # the interpreter is slow


def same_events(got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> None:
    for x, y in zip(got, want, strict=True):
        assert x.dtype == y.dtype
        assert torch.equal(x.cpu(), y)


times = st.sampled_from([1e-30, 0.5, 1.0, 1.0000001, 3.0, 1e30, inf]) | st.floats(2.0**-20, 2.0**20, width=32)


@both
@few
@given(z=hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(0, 20)), elements=times))
def test_sorting_is_that_of_the_reference(dtype: torch.dtype, z: np.ndarray) -> None:
    """Ties in the order of the channels, silence, rows of one time alone, nothing; float64 is left to torch."""
    dense = torch.from_numpy(z).to(dtype)
    same_events(gpu.sort_spikes(dense.to(DEVICE)), reference.sort_spikes(dense))


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("longest", [64, pytest.param(None, marks=pytest.mark.slow, id="4096")])
def test_the_longest_row_of_one_program(longest: int | None, over: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "_LARGEST", longest or sorting._LARGEST)
    dense = torch.rand(2, sorting._LARGEST + over).add(1)
    same_events(gpu.sort_spikes(dense.to(DEVICE)), reference.sort_spikes(dense))


def test_sorting_takes_leading_dimensions_and_strides() -> None:
    dense = torch.rand(2, 3, 10).add(1)[..., ::2]
    same_events(gpu.sort_spikes(dense.to(DEVICE)), reference.sort_spikes(dense))


@both
@few
@given(levels=hnp.arrays(np.uint8, st.tuples(st.integers(0, 4), st.integers(0, 20))))
def test_levels_are_sorted_by_the_time_that_they_stand_for(dtype: torch.dtype, levels: np.ndarray) -> None:
    of_level = (torch.arange(256).flip(0) // 2 / 64).exp().to(dtype)
    of_level[:100] = inf
    pixels = torch.from_numpy(levels)
    same_events(gpu.sort_levels(pixels.to(DEVICE), of_level.to(DEVICE)), reference.sort_spikes(of_level[pixels.long()]))


def test_values_are_looked_at_only_for_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "DEBUG", True)
    with pytest.raises(ValueError, match=r"z must be positive .* got -1 in row 0"):
        gpu.sort_spikes(torch.tensor([[1.0, -1.0]], device=DEVICE))


@both
@pytest.mark.parametrize("lead", [(), (3,)], ids=["plain", "members"])
@pytest.mark.parametrize("rule", RULES)
def test_coefficients(rule: str, lead: tuple[int, ...], dtype: torch.dtype) -> None:
    """More rows and neurons than one program has; silent neurons, a delay that overflows, drives below the floor."""
    torch.manual_seed(0)
    delta, drive = torch.randn(*lead, 37, 70, dtype=dtype), torch.rand(*lead, 37, 70, dtype=dtype)
    u = torch.where(torch.rand(*lead, 37, 70) < 0.2, inf, 1 + torch.rand(*lead, 37, 70)).to(dtype)
    silenced = u.clone()
    u[..., 0, 0], silenced[..., 0, 0] = torch.finfo(dtype).max / 2, inf
    delay = 1 + torch.rand(*lead, 70, dtype=dtype)
    delay[..., 0] = 4
    want = reference.coefficients(rule, *(x.double() for x in (delta, silenced, drive, delay)), 0.125)
    with np.errstate(over="ignore"):  # the interpreter's
        got = gpu.coefficients(rule, *(x.to(DEVICE) for x in (delta, u, drive, delay)), 0.125)
    for x, y in zip(got, want, strict=True):
        torch.testing.assert_close(x.cpu().double(), y, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-4)


def test_a_rule_of_ones_own_is_composed() -> None:
    rules.register("sevenfold", lambda delta, u, drive, delay: rules.Coefficients(delta, u, 7 * delta, drive))
    delta, u, drive = (torch.full((2, 3), x, device=DEVICE) for x in (1.0, 2.0, 3.0))
    a, c, f, g = gpu.coefficients("sevenfold", delta, u, drive, torch.ones(3, device=DEVICE), 0.0)
    assert [a[0, 0].item(), c[0, 0].item(), f[0, 0].item()] == [1, 2, 7]
    assert g.tolist() == [6, 6, 6]


@both
@pytest.mark.parametrize("classes", [1, 2, 10, 1024, 1025])
def test_cross_entropy(classes: int, dtype: torch.dtype) -> None:
    torch.manual_seed(classes)
    z = 1 + torch.rand(5, classes, dtype=dtype)
    z[torch.rand(5, classes) < 0.3] = inf
    z[1] = inf
    target = torch.randint(classes, (5,))
    weight = torch.rand(5, dtype=dtype) if classes % 2 else None
    there = None if weight is None else weight.to(DEVICE)
    want = reference.cross_entropy(z.double(), target, None if weight is None else weight.double(), 5, 4.0, 0.2, 50.0)
    got = gpu.cross_entropy(z.to(DEVICE), target.to(DEVICE), there, 5, 4.0, 0.2, 50.0)
    error = dict(rtol=1e-5, atol=1e-5) if dtype == torch.float32 else dict(rtol=1e-12, atol=1e-12)
    for x, y in zip(got, want, strict=True):
        assert x.dtype == dtype
        torch.testing.assert_close(x.cpu().double(), y, **error)
