"""Layers of few outputs, from dense spikes that nobody sorts: against the oracle and the reference."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import (
    DTYPES,
    Dense,
    Neurons,
    assert_equal,
    assert_sure_times,
    dyadic_dense,
    general_dense,
    needs_kernels,
    oracle,
)
from torch import Tensor

from shiftlearn import ops
from shiftlearn.errors import InputError
from shiftlearn.ops import reference

pytestmark = [needs_kernels, pytest.mark.usefixtures("one_thread")]

# batch, in, out: with and without whole vectors, of one to three vectors, of one set of outputs at once and more
SHAPES = [(1, 1, 1), (3, 9, 5), (5, 300, 10), (4, 70, 24), (2, 2000, 3), (33, 40, 17), (0, 4, 2)]


def fire(problem: Dense, dtype: torch.dtype, rule: str = "normalized", feedback: Tensor | None = None):
    """u, and what one error for each output and row sends to the inputs and the weights."""
    z, shift = problem.tensor(dtype).requires_grad_(), problem.weight(dtype).requires_grad_()
    u = ops.fire(z, shift, torch.ones(shift.shape[1], dtype=dtype), feedback, rule, 0.125)
    (torch.where(u.isinf(), 0, u) * errors(u)).sum().backward()
    return u.detach(), z.grad, shift.grad


def errors(u: Tensor) -> Tensor:
    """Powers of two of both signs."""
    return (torch.arange(u.numel()) % 3 - 1).to(u).reshape(u.shape) / 2


def wanted(problem: Dense, rule: str, feedback: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The reference's adjustments in float64."""
    events, shift = problem.events(), problem.weight()
    parts = events.z, events.channel, events.offsets, events.rest
    u, count, drive = reference.first_spike(*parts, shift)
    delay = torch.ones(shift.shape[1], dtype=torch.float64)
    a, c, f, _ = reference.coefficients(rule, errors(u), u, drive, delay, 0.125)
    weight = shift if feedback is None else feedback
    return reference.feedback(*parts, count, f, weight), reference.plasticity(*parts, count, a, c, len(shift))


def crowd(seed: int, batch: int, inputs: int, outputs: int) -> Dense:
    """In exact arithmetic: rows of many ties, with a late group or silent inputs, with one input long after all others,
    and with almost all in one slot."""
    rng = np.random.default_rng(seed)
    z = rng.integers(4, 60, (batch, inputs)) / 4
    z[::3][rng.random(z[::3].shape) < 0.3] = 15.0
    z[1::3][rng.random(z[1::3].shape) < 0.3] = math.inf
    if inputs > 1:
        z[2::3] = 4 + rng.integers(0, 4, z[2::3].shape) / 16
        z[2::3, 0] = 512.0
    shift = np.round(rng.normal(40 / max(inputs, 1), 20 / max(inputs, 1) ** 0.5, (inputs, outputs))) / 8
    shift[:, 1:2] = -0.125  # a silent output
    return Dense(z, shift)


@functools.cache
def solved(size: tuple[int, int, int]) -> tuple[Dense, Neurons, tuple[Tensor, Tensor]]:
    """A crowd, and what the oracle and the reference say of it."""
    problem = crowd(sum(size), *size)
    return problem, oracle(problem.rows(), problem.shift), wanted(problem, "normalized")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_crowds_in_exact_arithmetic(size: tuple[int, int, int], dtype: torch.dtype, instruction_set: str) -> None:
    problem, want, adjustments = solved(size)
    u, heard, learned = fire(problem, dtype)
    assert_equal(u, want.u)
    eps = 64 * torch.finfo(dtype).eps
    for got, right in zip((heard, learned), adjustments, strict=True):
        torch.testing.assert_close(got.double(), right, rtol=eps, atol=eps * float(right.abs().sum()))
    assert not learned[:, 1:2].any()
    assert size[0] < 3 or 0.1 < np.isfinite(want.u).mean() < 1


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    problem=dyadic_dense(octaves=2), rule=st.sampled_from(["shifting", "normalized", "exact"]), seed=st.integers(0, 99)
)
def test_exact_arithmetic(dtype: torch.dtype, problem: Dense, rule: str, seed: int) -> None:
    """Crossings exactly at the next input, drives of 0; through weights or another matrix."""
    size = problem.shift.shape
    feedback = torch.from_numpy(np.random.default_rng(seed).integers(-8, 9, size) / 8) if seed % 2 else None
    u, heard, learned = fire(problem, dtype, rule, None if feedback is None else feedback.to(dtype))
    assert_equal(u, oracle(problem.rows(), problem.shift).u)
    eps = 256 * torch.finfo(dtype).eps
    for got, right in zip((heard, learned), wanted(problem, rule, feedback), strict=True):
        torch.testing.assert_close(got.double(), right, rtol=eps, atol=eps * (1 + float(right.abs().sum())))


@pytest.mark.parametrize("dtype", DTYPES)
@given(problem=general_dense(decades=8))
def test_general_floats(dtype: torch.dtype, problem: Dense) -> None:
    """Every neuron that rounding cannot flip: see assert_sure_times."""
    check(problem, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [1e-6, 0.1, 3.0])
def test_many_general_floats(spread: float, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(0)
    z = np.exp(1 + spread * rng.standard_normal((12, 500)))
    z[::2, ::5] = math.inf
    assert check(Dense(z, rng.normal(0.02, 0.05, (500, 10))), dtype) > (0.2 if dtype == torch.float32 else 0.9)


def check(problem: Dense, dtype: torch.dtype) -> float:
    """Returns the share of neurons whose decisions are sure, which agree with the oracle."""
    problem = problem.rounded(dtype)
    sure, _ = assert_sure_times(fire(problem, dtype)[0], oracle(problem.rows(), problem.shift), problem.z.shape[1])
    return sure.mean() if sure.size else 1.0


@pytest.mark.parametrize("inhibited", [0.0, 0.05])
def test_the_readable_form(inhibited: float) -> None:
    """Of spikes that are summed slot by slot, beside spikes that are walked in order."""
    rng = np.random.default_rng(0)
    z = np.exp(rng.uniform(0, 1, (6, 80)))
    z[:, :9], z[1, 20:] = math.inf, math.inf
    problem = Dense(z, rng.normal(0.03, 0.03 + inhibited, (80, 4)))
    got = reference.narrow_first_spike(problem.tensor(), problem.weight(), slots=8)
    events = problem.events()
    u, _, _ = reference.first_spike(events.z, events.channel, events.offsets, events.rest, problem.weight())
    torch.testing.assert_close(got, u, rtol=1e-12, atol=0)
    assert 0.5 < u.isfinite().double().mean() <= 1
    torch.testing.assert_close(fire(problem, torch.float64)[0], u, rtol=1e-11, atol=0)


def test_threads_change_no_bit(threads: None) -> None:
    problem, results = crowd(1, 70, 400, 10), []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        results.append(fire(problem, torch.float32))
    assert results[0][0].isfinite().any()
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


@pytest.mark.parametrize("value", [0.0, -0.0, -1.0, -math.inf, math.nan, -math.nan])
def test_no_spike_time_is_refused(value: float) -> None:
    z = torch.ones(40, 30)
    z[17, 4] = value
    with pytest.raises(InputError, match=r"z must be .*got"):
        ops.fire(z, torch.ones(30, 2), torch.ones(2))
    with pytest.raises(InputError, match="delay"):
        ops.fire(z.clamp(min=1).nan_to_num(1), torch.ones(30, 2), torch.tensor([1.0, 0.0]))


def test_inputs_may_not_change_before_the_way_back() -> None:
    z = torch.ones(4, 3) + torch.arange(3)
    u = ops.fire(z, torch.ones(3, 2, requires_grad=True), torch.ones(2))
    z.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        u.sum().backward()
