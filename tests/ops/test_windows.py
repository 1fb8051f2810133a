"""sort_windows and sum_windows: an image sorted once against each of its windows sorted, and sums in loops."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import DTYPES, cpu, needs_kernels
from torch import Tensor
from torch.library import opcheck

from shiftlearn import ops
from shiftlearn.errors import InputError
from shiftlearn.ops import reference

OPS = torch.ops.shiftlearn
SHAPES = [(2, 3, 5, 4), (0, 2, 4, 4), (1, 1, 1, 1), (3, 1, 2, 7), (2, 0, 3, 3)]


def image(seed: int, shape: tuple[int, ...], dtype: torch.dtype, tied: bool = False) -> Tensor:
    """z between exp(-80) and exp(80), some silent; ``tied``: of a few values alone."""
    rng = np.random.default_rng(seed)
    z = rng.choice([1.0, 1.5, 2.0, inf], shape) if tied else np.exp(rng.uniform(-80, 80, shape))
    z[rng.random(shape) < 0.2 * rng.random()] = inf
    return torch.tensor(z, dtype=dtype)


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 8), st.integers(1, 8)),
    seed=st.integers(0, 2**32),
    tied=st.booleans(),
    data=st.data(),
)
def test_sorting_images_is_sorting_their_windows(
    dtype: torch.dtype, shape: tuple[int, ...], seed: int, tied: bool, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, min(shape[2:])))
    z = image(seed, shape, dtype, tied)
    windows = [
        z[b, :, r : r + size, s : s + size].flatten()
        for b in range(shape[0])
        for r in range(shape[2] - size + 1)
        for s in range(shape[3] - size + 1)
    ]
    want = reference.sort_spikes(torch.stack(windows) if windows else z.new_empty(0, shape[1] * size**2))
    for engine in (cpu, reference):
        for got, expected in zip(engine.sort_windows(z, size), want, strict=True):
            assert got.dtype == expected.dtype
            assert torch.equal(got, expected)


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
def test_many_windows_on_every_instruction_set(instruction_set: str, dtype: torch.dtype) -> None:
    """Images so large that all threads work, and that the radix sort counts."""
    z, size = image(0, (5, 4, 30, 20), dtype), 5
    for got, want in zip(cpu.sort_windows(z, size), reference.sort_windows(z, size), strict=True):
        assert torch.equal(got, want)
    values = torch.randn(5 * 26 * 16, 100, dtype=dtype, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cpu.sum_windows(values, z.shape, size), reference.sum_windows(values, z.shape, size))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_over_windows_in_loops(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    batch, channels, rows, columns = shape
    for size in range(1, min(rows, columns) + 1):
        down, across = rows - size + 1, columns - size + 1
        values = torch.randn(batch * down * across, channels * size**2, dtype=dtype)
        want = torch.zeros(shape, dtype=torch.float64)
        for k, value in enumerate(values):
            b, r, s = k // (down * across), k // across % down, k % across
            want[b, :, r : r + size, s : s + size] += value.view(channels, size, size)
        for engine in [reference] if cpu is None else [reference, cpu]:
            torch.testing.assert_close(engine.sum_windows(values, shape, size), want.to(dtype))
        opcheck(OPS.sum_windows, (values, shape, size))
        opcheck(OPS.sort_windows, (image(1, shape, dtype), size))


def test_events_beside_a_tensor_that_receives() -> None:
    """fire(events, dense=x) is fire(x), whatever the values of x."""
    z = image(3, (4, 6), torch.float64).log().tanh().exp()
    shift, delay = torch.rand(6, 5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    delta = torch.randn(4, 5, dtype=torch.float64)
    plain, other = z.clone().requires_grad_(), torch.zeros_like(z).requires_grad_()
    want, got = ops.fire(plain, shift, delay), ops.fire(ops.sort_spikes(z), shift, delay, dense=other)
    torch.testing.assert_close(got, want, rtol=1e-13, atol=0)
    want.backward(delta)
    got.backward(delta)
    assert plain.grad.abs().max() > 0
    torch.testing.assert_close(other.grad, plain.grad, rtol=1e-12, atol=1e-14)


Z, SHIFT, DELAY = torch.ones(2, 3, 4, 5), torch.ones(6, 2), torch.ones(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.sort_windows(Z[0], 2), r"images must be \(batch, channels, rows, columns\).* got \(3, 4, 5\)"),
        (lambda: ops.sort_windows(Z.half(), 2), r"images must be .* got \(2, 3, 4, 5\) of torch\.float16"),
        (lambda: ops.sort_windows(Z, 5), "size must be from 1 to the images' 4 rows or columns, got 5"),
        (lambda: ops.sort_windows(Z, 0), "size must be from 1 .*, got 0"),
        (lambda: ops.sort_windows(-Z, 2), "z must be positive .* got -1 in row 0"),
        (lambda: ops.sort_windows(torch.full_like(Z, torch.nan), 2), "z must be positive .* got nan"),
        (lambda: ops.sum_windows(torch.ones(24, 12), Z.shape, 3), r"values must be \(12, 27\) of .*, got \(24, 12\)"),
        (lambda: ops.sum_windows(torch.ones(24, 12), Z.shape[1:], 2), r"shape must be .*, got \(3, 4, 5\)"),
        (lambda: ops.sum_windows(torch.ones(24, 12).half(), Z.shape, 2), r"values must be float32 .* torch\.float16"),
        (lambda: ops.fire(ops.sort_spikes(torch.ones(3, 6)), SHIFT, DELAY, dense=torch.ones(3, 5)),
         r"dense must have shape \(3, 6\), as the events, got \(3, 5\)"),
        (lambda: ops.fire(torch.ones(3, 6), SHIFT, DELAY, dense=torch.ones(3, 6)), "dense must be None"),
    ],
)  # fmt: skip
def test_bad_windows(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_images_too_large_to_count() -> None:
    wide = torch.ones(1).expand(1, 2, 2**20, 2**11)
    with pytest.raises(InputError, match="images must have 2147483645 values or fewer each, got 4294967296"):
        ops.sort_windows(wide, 1)
