"""The laws of the neuron, on the reference and on the C++ kernels.

Most run in exact arithmetic (see problems.py), so "changes nothing" means not one bit.
"""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import (
    DTYPES,
    ENGINES,
    Dense,
    Events,
    Explicit,
    assert_equal,
    cpu,
    dyadic,
    dyadic_dense,
    eighths,
    general_dense,
    needs_kernels,
    random_dense,
)
from torch import Tensor

inf = math.inf
each_engine = pytest.mark.parametrize("engine", ENGINES)


def run(engine: ModuleType, problem: Dense | Explicit) -> list[Tensor]:
    """u, count, drive in float64."""
    return list(engine.first_spike(*Events(problem.events()), problem.weight()))


def same(a: list[Tensor], b: list[Tensor]) -> None:
    for x, y in zip(a, b, strict=True):
        assert_equal(x, y)


def nonempty(problem: Dense) -> bool:
    return len(problem.z) > 0


@each_engine
@given(problem=dyadic_dense(), scale=st.integers(1, 96).map(lambda k: k / 32))
def test_scaling_the_inputs_scales_the_outputs(engine: ModuleType, problem: Dense, scale: float) -> None:
    u, count, drive = run(engine, problem)
    scaled = run(engine, Dense(problem.z * scale, problem.shift))
    torch.testing.assert_close(scaled[0], u * scale, rtol=1e-15, atol=0)
    same(scaled[1:], [count, drive])


@each_engine
@given(problem=dyadic_dense(), data=st.data())
def test_the_order_of_the_channels_is_nothing(engine: ModuleType, problem: Dense, data: st.DataObject) -> None:
    p = data.draw(st.permutations(range(problem.z.shape[1])))
    q = data.draw(st.permutations(range(problem.shift.shape[1])))
    moved = run(engine, Dense(problem.z[:, p], problem.shift[p][:, q]))
    same(moved, [x[:, q] for x in run(engine, problem)])


@each_engine
@given(problem=dyadic_dense(octaves=0).filter(nonempty), data=st.data())
def test_a_later_input_changes_no_earlier_output(engine: ModuleType, problem: Dense, data: st.DataObject) -> None:
    """Inputs no earlier than u may come at any other such time, or never, or weigh anything.

    At u itself only if u is exact (a multiple of 1/32, which no other quotient of such N and D rounds to).
    """
    b = data.draw(st.integers(0, len(problem.z) - 1))
    j = data.draw(st.integers(0, problem.shift.shape[1] - 1))
    u = run(engine, problem)[0][b, j].item()
    late = problem.z[b] >= u  # the silent ones, if the neuron is silent
    z, shift = problem.z[b : b + 1].copy(), problem.shift[:, j : j + 1].copy()
    count = int(late.sum())
    gaps = [0.0] if (32 * u) % 1 == 0 else []
    after = st.sampled_from([*gaps, 0.25, 1.0, 5.0, 1000.0, inf]).map(lambda more: u + more)
    z[0, late] = data.draw(st.lists(after, min_size=count, max_size=count))
    shift[late] = data.draw(eighths((count, 1), -100, 100))
    assert run(engine, Dense(z, shift))[0].item() == u


@each_engine
@given(problem=dyadic_dense().filter(nonempty), data=st.data())
def test_raising_a_weight_delays_nobody(engine: ModuleType, problem: Dense, data: st.DataObject) -> None:
    """V gains Δw (1 − z_i / z) ≥ 0 from input i on, whatever the sign of the weight: no condition is needed.

    In exact arithmetic rounding touches only the last division, which is monotone.
    """
    i = data.draw(st.integers(0, len(problem.shift) - 1))
    j = data.draw(st.integers(0, problem.shift.shape[1] - 1))
    raised = problem.shift.copy()
    raised[i, j] += data.draw(st.integers(1, 40)) / 8
    before, after = run(engine, problem)[0], run(engine, Dense(problem.z, raised))[0]
    assert (after <= before).all()
    others = [k for k in range(raised.shape[1]) if k != j]
    assert_equal(after[:, others], before[:, others])


@each_engine
@given(problem=dyadic(), data=st.data())
def test_tied_inputs_have_no_order(engine: ModuleType, problem: Dense | Explicit, data: st.DataObject) -> None:
    """Every spike listed, in time order, ties in any order."""
    rows = problem.rows()
    shuffled = [sorted(data.draw(st.permutations(row)), key=lambda spike: spike[0]) for row in rows]
    silent, unused = [inf] * len(rows), [0] * len(rows)
    listed, again = (Explicit(r, silent, unused, problem.shift) for r in (rows, shuffled))
    result = run(engine, listed)
    same(run(engine, again), result)
    weight = problem.weight()
    a = torch.arange(1.0, result[0].numel() + 1, dtype=torch.float64).reshape(result[0].shape)
    for act, args in ((engine.plasticity, (a, a + 1, len(weight))), (engine.feedback, (a, weight))):
        one, two = (act(*Events(p.events()), result[1], *args) for p in (listed, again))
        assert_equal(one, two)


@each_engine
@given(problem=dyadic_dense(), data=st.data())
def test_a_weight_may_be_split_over_two_tied_inputs(engine: ModuleType, problem: Dense, data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(problem.shift) - 1))
    part = data.draw(eighths((1, problem.shift.shape[1])))
    shift = np.concatenate([problem.shift, part])
    shift[i] -= part[0]
    u, _, drive = run(engine, problem)
    split = run(engine, Dense(np.concatenate([problem.z, problem.z[:, i : i + 1]], 1), shift))
    same([split[0], split[2]], [u, drive])


@each_engine
@given(problem=dyadic_dense(), data=st.data())
def test_a_silent_input_is_no_input(engine: ModuleType, problem: Dense, data: st.DataObject) -> None:
    """Neither at the front nor at the back, nor with a weight that would drown all others."""
    inputs, outputs = problem.shift.shape
    at = data.draw(st.integers(0, inputs))
    weight = data.draw(st.sampled_from([1.0, -1.0, 1e300, -1e300]))
    silent = Dense(
        np.insert(problem.z, at, inf, axis=1), np.insert(problem.shift, at, np.full(outputs, weight), axis=0)
    )
    u, count, drive = run(engine, silent)
    want = run(engine, problem)
    same([u, drive], [want[0], want[2]])
    events = Events(silent.events())
    ones = torch.ones_like(u)
    assert (engine.plasticity(*events, count, ones, 2 * ones, inputs + 1)[at] == 0).all()
    assert (engine.feedback(*events, count, ones, silent.weight())[:, at] == 0).all()


def check_batch_composition(engine: ModuleType, problem: Dense, dtype: torch.dtype, rows: list[int]) -> None:
    """Rows taken in any order, more than once or left out: each result keeps every bit."""
    weight = problem.weight(dtype)

    def results(chosen: list[int]) -> list[Tensor]:
        events = Events(Dense(problem.z[chosen], problem.shift).events(dtype))
        u, count, drive = engine.first_spike(*events, weight)
        return [u, count, drive, engine.feedback(*events, count, drive, weight)]

    together = results(list(range(len(problem.z))))
    for x, y in zip(results(rows), together, strict=True):
        assert torch.equal(x, y[rows])


@each_engine
@given(problem=dyadic_dense().filter(nonempty), data=st.data())
def test_rows_do_not_know_each_other(engine: ModuleType, problem: Dense, data: st.DataObject) -> None:
    row = st.integers(0, len(problem.z) - 1)
    check_batch_composition(engine, problem, torch.float64, data.draw(st.lists(row, min_size=1, max_size=5)))


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
@given(problem=general_dense(decades=8).filter(nonempty), data=st.data())
def test_rows_do_not_know_each_other_in_floats(dtype: torch.dtype, problem: Dense, data: st.DataObject) -> None:
    """The kernels' sums have a fixed order; the reference leaves part of them to BLAS, which may not."""
    row = st.integers(0, len(problem.z) - 1)
    check_batch_composition(cpu, problem, dtype, data.draw(st.lists(row, min_size=1, max_size=5)))


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_do_not_know_each_other_across_chunks_of_work(threads: None, dtype: torch.dtype) -> None:
    problem = random_dense(9, 70, 30, 90)
    torch.set_num_threads(2)
    for rows in ([0], [69], list(range(69, -1, -1)), list(range(3, 41))):
        check_batch_composition(cpu, problem, dtype, rows)


@each_engine
def test_threads_change_no_bit(threads: None, engine: ModuleType) -> None:
    """Exact sums, so the reference has no excuse either; big enough for more than one thread."""
    rng = np.random.default_rng(4)
    problem = Dense(rng.integers(1, 40, (40, 50)) / 4, rng.integers(-16, 24, (50, 60)) / 8)
    results = []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        results.append(run(engine, problem))
    same(results[1], results[0])
    same(results[2], results[0])
    assert results[0][0].isfinite().any()
