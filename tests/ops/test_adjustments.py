"""Plasticity, feedback and the three rules against sums written out from the table of the learning rules."""

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
    Row,
    assert_equal,
    assert_within,
    cpu,
    dyadic,
    dyadic_dense,
    eighths,
    oracle,
    random_dense,
)
from torch import Tensor

from shiftlearn import ops
from shiftlearn.ops import reference

RULES = ["shifting", "normalized", "exact"]
SHAPES = [
    (3, 7, 5),
    (2, 3, 200),
    (2, 300, 3),
    (3, 1500, 4),
    (40, 20, 17),
    (40, 12, 700),
    (130, 13, 210),
    (9, 2801, 100),  # feedback of more inputs than a tile has, on every instruction set
]


def summed(causal: list[list[Row]], a: np.ndarray, c: np.ndarray, inputs: int) -> np.ndarray:
    """Σ over the causal inputs of a z − c, for every synapse."""
    result = np.zeros((inputs, a.shape[1]))
    for b, row in enumerate(causal):
        for j, inside in enumerate(row):
            for z, channel in inside:
                result[channel, j] += a[b, j] * z - c[b, j]
    return result


def returned(causal: list[list[Row]], f: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Σ over the neurons that an input helped to fire of f w, once per spike of the input."""
    result = np.zeros((len(causal), len(weight)))
    for b, row in enumerate(causal):
        for j, inside in enumerate(row):
            for _, channel in inside:
                result[b, channel] += f[b, j] * weight[channel, j]
    return result


@st.composite
def with_coefficients(draw: st.DrawFn) -> tuple[Dense | Explicit, np.ndarray, np.ndarray, np.ndarray]:
    problem = draw(dyadic(octaves=2))  # a z − c must fit into float32's 24 bits
    shape = len(problem.rows()), problem.shift.shape[1]
    return problem, draw(eighths(shape)), draw(eighths(shape)), draw(eighths(problem.shift.shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
@given(drawn=with_coefficients())
def test_exact_arithmetic(engine: ModuleType, dtype: torch.dtype, drawn: tuple) -> None:
    problem, a, c, weight = drawn
    events = Events(problem.events(dtype))
    causal = oracle(problem.rows(), problem.shift).causal
    count = engine.first_spike(*events, problem.weight(dtype))[1]
    ta, tc, tw = (torch.tensor(x, dtype=dtype) for x in (a, c, weight))
    assert_equal(engine.plasticity(*events, count, ta, tc, len(weight)), summed(causal, a, c, len(weight)))
    assert_equal(engine.feedback(*events, count, ta, tw), returned(causal, a, weight))


@pytest.mark.parametrize("engine", ENGINES)
@given(drawn=with_coefficients(), count=st.sampled_from([1000, 2**31 - 1]))
def test_counts_beyond_the_spikes_name_them_all(engine: ModuleType, drawn: tuple, count: int) -> None:
    """first_spike gives no such counts; no time at rest is taken for the spike of a row that has none."""
    problem, a, c, weight = drawn
    events, causal = Events(problem.events()), [[row] * a.shape[1] for row in problem.rows()]
    count = torch.full(a.shape, count, dtype=torch.int32)
    ta, tc, tw = (torch.tensor(x) for x in (a, c, weight))
    assert_equal(engine.plasticity(*events, count, ta, tc, len(weight)), summed(causal, a, c, len(weight)))
    assert_equal(engine.feedback(*events, count, ta, tw), returned(causal, a, weight))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_instruction_set(instruction_set: str, dtype: torch.dtype, shape: tuple[int, int, int]) -> None:
    """The same counts for both, so no decision is left to rounding, only the sums' own errors are."""
    check_against_reference(random_dense(sum(shape), *shape).rounded(dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rest", [True, False])
@pytest.mark.parametrize("shape", [(5, 60, 203), (300, 60, 170)], ids=str)
def test_groups_of_tied_inputs(
    instruction_set: str, dtype: torch.dtype, shape: tuple[int, int, int], rest: bool
) -> None:
    """With many rows, more groups than are kept at a time."""
    problem = random_dense(sum(shape), *shape, ties=0.3 if rest else 0.0, silent=0.0 if rest else 0.3).rounded(dtype)
    problem.z = np.ceil(problem.z)
    assert len(np.unique(problem.z)) in (7, 8)
    check_against_reference(problem, dtype)


def check_against_reference(problem: Dense, dtype: torch.dtype) -> None:
    shape = *problem.z.shape, problem.shift.shape[1]
    events, wide = Events(problem.events(dtype)), Events(problem.events())
    count = reference.first_spike(*wide, problem.weight())[1]
    torch.manual_seed(0)
    a, c = torch.randn(2, shape[0], shape[2], dtype=dtype)
    got = cpu.plasticity(*events, count, a, c, shape[1])
    want = reference.plasticity(*wide, count, a.double(), c.double(), shape[1]).numpy()
    latest = problem.z[np.isfinite(problem.z)].max()
    eps = torch.finfo(dtype).eps
    assert_within(got, want, eps * (shape[0] + 8) * (a.abs().double() * latest + c.abs()).sum(0).numpy())
    got = cpu.feedback(*events, count, a, problem.weight(dtype))
    want = reference.feedback(*wide, count, a.double(), problem.weight()).numpy()
    scale = a.abs().double().numpy() @ np.abs(problem.shift).T
    assert_within(got, want, eps * (shape[2] + 8) * scale)
    assert count.max() > 1
    assert np.abs(want).max() > 0


@pytest.mark.parametrize("outputs", [5, 210])
@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_that_spike_again(instruction_set: str, dtype: torch.dtype, outputs: int) -> None:
    rng = np.random.default_rng(outputs)
    z = np.sort(rng.uniform(1, 4, (70, 30)), axis=1)
    rows = [[(float(time), int(rng.integers(7))) for time in row] for row in np.float32(z)]
    problem = Explicit(rows, [math.inf] * 70, [0] * 70, rng.normal(0.2, 0.3, (7, outputs)))
    events, wide = Events(problem.events(dtype)), Events(problem.events())
    count = reference.first_spike(*wide, problem.weight())[1]
    a, c = torch.randn(2, 70, outputs, dtype=dtype)
    got = cpu.plasticity(*events, count, a, c, 7)
    want = reference.plasticity(*wide, count, a.double(), c.double(), 7)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=4e3 * torch.finfo(dtype).eps)
    assert 5 < count.double().mean() < 30


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("silent", [0.0, 0.2, 0.95])
@pytest.mark.parametrize("outputs", [1, 5, 10, 16])
def test_feedback_of_few_outputs(instruction_set: str, dtype: torch.dtype, silent: float, outputs: int) -> None:
    """It has a kernel of its own: to the last bit the sums of more outputs, whose further errors are 0."""
    lanes = {"baseline": 16, "avx2": 32, "avx512": 64}[instruction_set] // dtype.itemsize
    if outputs > lanes:
        pytest.skip(f"few are up to {lanes} here")
    problem = random_dense(outputs, 9, 37, outputs, silent=silent).rounded(dtype)
    events = Events(problem.events(dtype))
    weight, f = problem.weight(dtype), torch.randn(9, outputs, dtype=dtype)
    count = cpu.first_spike(*events, weight)[1]

    def widened(x: Tensor) -> Tensor:
        return torch.cat([x, torch.zeros(len(x), 200 - outputs, dtype=x.dtype)], 1)

    got = cpu.feedback(*events, count, f, weight)
    assert torch.equal(got, cpu.feedback(*events, widened(count), widened(f), widened(weight)))
    assert got.abs().max() > 0 or silent > 0.9


# ---------------------------------------------------------------------------------------------------- rules


def table(
    rule: str,
    problem: Dense | Explicit,
    delay: np.ndarray,
    delta: np.ndarray,
    min_drive: float,
    weight: np.ndarray,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What the rule sends to shift, delay and the inputs, and the sum of each entry's absolute terms."""
    want = oracle(problem.rows(), problem.shift)
    inputs = len(problem.shift)
    result = {
        "shift": np.zeros((2, *problem.shift.shape)),
        "delay": np.zeros((2, *delay.shape)),
        "input": np.zeros((2, len(want.causal), inputs)),
    }

    def add(name: str, at: tuple[int, ...], *terms: float) -> None:
        result[name][(0, *at)] += sum(terms)
        result[name][(1, *at)] += sum(map(abs, terms))

    for b, row in enumerate(want.causal):
        for j, inside in enumerate(row):
            if not inside:
                continue
            u, d, drive = want.u[b, j], delay[j], max(want.drive[b, j], min_drive)
            error = delta[b, j] / drive if rule == "normalized" else delta[b, j]
            add("delay", (j,), error * u if rule == "exact" else error * u * d)
            for z, i in inside:
                if rule == "exact":
                    factor = error * d / drive
                    add("shift", (i, j), factor * z, -factor * u)
                    add("input", (b, i), factor * weight[i, j])
                else:
                    factor = error * math.exp(d)
                    add("shift", (i, j), factor * z, -factor * u * d)
                    add("input", (b, i), error * weight[i, j])
    return {name: (value[0], value[1]) for name, value in result.items()}


@st.composite
def lessons(draw: st.DrawFn) -> dict:
    """A problem with delays, an error signal, a floor of the drive and perhaps a feedback matrix."""
    problem = draw(dyadic())
    outputs = problem.shift.shape[1]
    return {
        "problem": problem,
        "delay": draw(eighths((outputs,), 4, 20)),
        "delta": draw(eighths((len(problem.rows()), outputs), -20, 20)),
        "min_drive": draw(st.sampled_from([0.0, 0.5])),
        "feedback": draw(st.one_of(st.none(), eighths(problem.shift.shape))),
    }


@pytest.mark.parametrize("path", ["plain", "member"])
@pytest.mark.parametrize("rule", RULES)
@given(lesson=lessons())
def test_backward_leaves_the_table_in_grad(rule: str, path: str, lesson: dict) -> None:
    """plain: the C++ kernels where there are any; member: an ensemble of one, which has leading dimensions."""
    problem, matrix = lesson["problem"], lesson["feedback"]
    lead = (1,) if path == "member" else ()

    def tensor(x: np.ndarray) -> Tensor:
        return torch.tensor(x.reshape(*lead, *x.shape), dtype=torch.float64)

    shift, delay = tensor(problem.shift).requires_grad_(), tensor(lesson["delay"]).requires_grad_()
    dense = isinstance(problem, Dense)
    inputs = tensor(problem.z).requires_grad_() if dense else problem.events()
    feedback = None if matrix is None else tensor(matrix)
    z_out = ops.fire(inputs, shift, delay, feedback, rule, lesson["min_drive"])
    z_out.backward(tensor(lesson["delta"]))

    want = oracle(problem.rows(), problem.shift)
    assert_within(
        z_out.detach().reshape(want.u.shape),
        want.u * lesson["delay"],
        1e-15 * np.where(want.drive, want.u, 0),
    )
    weight = problem.shift if matrix is None else matrix
    expected = table(rule, problem, lesson["delay"], lesson["delta"], lesson["min_drive"], weight)
    for name, leaf in (("shift", shift), ("delay", delay), ("input", inputs)):
        if name != "input" or dense:
            value, size = expected[name]
            assert_within(leaf.grad.reshape(value.shape), value, 1e-13 * size)


@pytest.mark.parametrize("rule", RULES)
def test_a_silent_neuron_takes_no_part(rule: str) -> None:
    """Whatever error reaches it, even NaN or inf."""
    z = torch.tensor([[1.0, 2.0]], requires_grad=True)
    shift = torch.tensor([[2.0, 0.25, -1.0], [1.0, 0.25, 0.5]], requires_grad=True)
    delay = torch.ones(3, requires_grad=True)
    z_out = ops.fire(z, shift, delay, rule=rule)
    assert z_out.isinf().tolist() == [[False, True, True]]
    z_out.backward(torch.tensor([[1.0, math.nan, math.inf]]))
    assert (shift.grad[:, 1:] == 0).all()
    assert (delay.grad[1:] == 0).all()
    assert delay.grad[0] > 0
    assert z.grad.isfinite().all()
    assert z.grad[0, 0] > 0


@pytest.mark.parametrize("rule", RULES)
def test_an_output_that_overflows_is_silent_too(rule: str) -> None:
    """u is finite, u times the delay is not: inf must not meet the error 0 that silence gets."""
    z, shift, delay = (torch.tensor(x, requires_grad=True) for x in ([[1e38]], [[2.0]], [10.0]))
    z_out = ops.fire(z, shift, delay, rule=rule)
    assert z_out.isinf().all()
    z_out.backward(torch.zeros(1, 1))
    for x in (z, shift, delay):
        assert (x.grad == 0).all()


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_is_linear_in_the_error(rule: str) -> None:
    problem = random_dense(3, 5, 9, 6)

    def grads(delta: Tensor) -> list[Tensor]:
        leaves = [problem.tensor(), problem.weight(), torch.full((6,), 1.25, dtype=torch.float64)]
        leaves = [x.requires_grad_() for x in leaves]
        ops.fire(*leaves, rule=rule).backward(delta)
        return [x.grad for x in leaves]

    torch.manual_seed(1)
    one, two = torch.randn(2, 5, 6, dtype=torch.float64)
    for a, b, both in zip(grads(one), grads(two), grads(3 * one - two), strict=True):
        assert both.abs().max() > 0
        torch.testing.assert_close(both, 3 * a - b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lead", [(3,), (2, 2)], ids=str)
@given(problem=dyadic_dense(), data=st.data())
def test_an_ensemble_is_its_members(rule: str, lead: tuple[int, ...], problem: Dense, data: st.DataObject) -> None:
    batch, (inputs, outputs) = len(problem.z), problem.shift.shape
    members = math.prod(lead)
    order = [data.draw(st.permutations(range(inputs))) for _ in range(members)]  # each member hears the inputs shuffled
    z = torch.tensor(np.stack([problem.z[:, p] for p in order]).reshape(*lead, batch, inputs))
    shift = torch.tensor(data.draw(eighths((*lead, inputs, outputs))))
    delay = torch.tensor(data.draw(eighths((*lead, outputs), 8, 16)))
    delta = torch.tensor(data.draw(eighths((*lead, batch, outputs))))
    feedback = torch.tensor(data.draw(eighths((*lead, inputs, outputs))))

    def run(*tensors: Tensor) -> list[Tensor]:
        *leaves, matrix, error = tensors
        leaves = [x.clone().requires_grad_() for x in leaves]
        out = ops.fire(*leaves, matrix, rule)
        out.backward(error)
        return [out.detach(), *(x.grad for x in leaves)]

    together = run(z, shift, delay, feedback, delta)
    for index in np.ndindex(*lead):
        alone = run(*(x[index] for x in (z, shift, delay, feedback, delta)))
        for a, b in zip(together, alone, strict=True):
            scale = float(b[b.isfinite()].abs().max()) if b.isfinite().any() else 0.0
            torch.testing.assert_close(a[index], b, rtol=1e-12, atol=1e-12 * max(scale, 1.0))


def test_explicit_events_of_an_ensemble_go_to_the_members_in_order() -> None:
    problem = random_dense(11, 6, 8, 5)
    shift = torch.stack([problem.weight(), problem.weight().flip(1), 2 * problem.weight()])
    together = ops.first_spike(problem.events(), shift)
    for m in range(3):
        rows = Dense(problem.z[2 * m : 2 * m + 2], problem.shift)
        for a, b in zip(together, ops.first_spike(rows.events(), shift[m]), strict=True):
            torch.testing.assert_close(a[m], b, rtol=1e-12, atol=0)
