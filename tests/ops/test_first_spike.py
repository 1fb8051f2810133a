"""sort_spikes and first_spike: against the oracle, across dtypes, instruction sets and threads."""

from __future__ import annotations

import itertools
import math
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from problems import (
    DTYPES,
    ENGINES,
    Dense,
    Events,
    Explicit,
    assert_equal,
    assert_sure_times,
    assert_within,
    counts,
    cpu,
    dyadic,
    general_dense,
    needs_kernels,
    oracle,
    random_dense,
)

from shiftlearn import SpikeEvents, ops
from shiftlearn.errors import InputError
from shiftlearn.ops import checks, reference

inf = math.inf

# batch, in, out: single, empty, odd, wide, tall, more rows than a chunk of work, columns around whole vectors
SHAPES = [
    (1, 1, 1), (0, 4, 5), (1, 9, 16), (3, 7, 5), (2, 3, 200), (2, 300, 3), (33, 20, 17), (65, 12, 8),
    (4, 40, 15), (4, 40, 80), (4, 40, 81), (4, 40, 83), (3, 30, 241),
]  # fmt: skip


def check_against_oracle(problem: Dense, engine: ModuleType, dtype: torch.dtype) -> float:
    """Every neuron that rounding cannot flip agrees with the oracle; returns the share of those neurons.

    The drive is off by n·eps·Σ|w| = n·eps·condition·drive: see assert_sure_times.
    """
    problem = problem.rounded(dtype)
    want = oracle(problem.rows(), problem.shift)
    u, count, drive = engine.first_spike(*Events(problem.events(dtype)), problem.weight(dtype))
    sure, error = assert_sure_times(u, want, problem.z.shape[1])
    assert_within(drive[torch.tensor(sure)], want.drive[sure], (error * want.drive)[sure])
    assert_equal(count[torch.tensor(sure)], counts(want, problem.listed())[sure])
    return sure.mean() if sure.size else 1.0


# ------------------------------------------------------------------------------------------------------ sort


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
@given(
    z=hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 4), st.integers(0, 30)),
        elements=st.one_of(
            st.floats(2.0**-149, allow_nan=False, width=32, exclude_min=False),
            st.sampled_from([1.0, 1.5, 2.0, inf, 2.0**-149, 2.0**127]),
        ),
    )
)
def test_sorting_lists_each_spike_before_the_last_ones(engine: ModuleType, dtype: torch.dtype, z: np.ndarray) -> None:
    batch, inputs = z.shape
    times, channel, offsets, rest = engine.sort_spikes(torch.tensor(z, dtype=dtype))
    assert offsets.tolist() == [b * inputs for b in range(batch + 1)]
    assert times.dtype == rest.dtype == dtype
    assert channel.dtype == torch.int32
    for b, row in enumerate(z.tolist()):
        latest = max(row, default=inf)
        want = sorted((x, i) for i, x in enumerate(row) if x < latest)  # ties in channel order
        got = list(zip(times.tolist(), channel.tolist(), strict=True))[b * inputs : (b + 1) * inputs]
        assert rest[b].item() == latest
        assert got == want + [(inf, 0)] * (inputs - len(want))


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("inputs", [40, 3000, 9000])
def test_sorting_many_spikes(inputs: int, dtype: torch.dtype) -> None:
    """Keys that differ in every bit, a tied crowd, and a crowd whose keys differ in their last bits only."""
    rng = np.random.default_rng(0)
    z = torch.tensor(np.exp(rng.uniform(-80, 80, (5, inputs))), dtype=dtype)
    z[1, ::3] = z[1, 1]
    z[2, ::2] = inf
    z[3] = z[3].clamp(max=1.0)
    z[4, 1:] = 1 + torch.finfo(dtype).eps * torch.from_numpy(rng.integers(0, 900, inputs - 1))
    for got, want in zip(cpu.sort_spikes(z), reference.sort_spikes(z), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
@given(
    levels=hnp.arrays(
        np.uint8, st.tuples(st.integers(0, 4), st.integers(0, 40)), elements=st.sampled_from([0, 7, 255])
    ),
    background=st.lists(st.slices(40), max_size=3),
    seed=st.integers(0, 99),
    distinct=st.integers(1, 256),
)
def test_counting_levels_is_sorting_their_spikes(
    dtype: torch.dtype, levels: np.ndarray, background: list[slice], seed: int, distinct: int
) -> None:
    rng = np.random.default_rng(seed)
    levels = levels ^ rng.integers(0, 256, levels.shape, dtype=np.uint8)
    for runs in background:
        levels[:, runs] = 0
    of_level = torch.tensor(rng.choice(np.append(rng.uniform(0.1, 9, distinct), inf), 256), dtype=dtype)
    events = ops.sort_levels(torch.from_numpy(levels), of_level)
    want = ops.sort_spikes(of_level[torch.from_numpy(levels).long()])
    kept = want.z < inf
    assert torch.equal(events.z, want.z[kept])
    assert torch.equal(events.channel, want.channel[kept])
    assert torch.equal(events.rest, want.rest)
    assert events.offsets.diff().tolist() == [
        int(kept[begin:end].sum()) for begin, end in itertools.pairwise(want.offsets.tolist())
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_leading_dimensions_become_rows(engine: ModuleType) -> None:
    z = torch.rand(2, 3, 5, dtype=torch.float64) + 1
    stacked, flat = engine.sort_spikes(z), engine.sort_spikes(z.reshape(6, 5))
    assert stacked[3].shape == (6,)
    assert all(torch.equal(a, b) for a, b in zip(stacked, flat, strict=True))


def test_a_delay_may_shorten() -> None:
    checks.delays(torch.tensor([0.5, 2.0]))
    with pytest.raises(InputError, match=r" got -0\.5: project .* \(shiftlearn\.nn\.project_delays\)$"):
        checks.delays(torch.tensor([0.5, -0.5]))


def test_the_reference_stays_on_its_device() -> None:
    """Shown on the device without memory, which every torch has."""
    z = torch.empty(2, 3, device="meta")
    assert {x.device.type for x in reference.sort_spikes(z)} == {"meta"}


# ---------------------------------------------------------------------------------------------- first spike


@pytest.mark.parametrize(
    ("z", "w", "u", "count", "drive"),
    [
        ([1.0], [2.0], 2.0, 1, 1.0),
        ([1.0], [1.0], inf, 0, 0.0),  # threshold is approached, never reached
        ([inf], [9.0], inf, 0, 0.0),
        ([1.0, 2.0], [2.0, 5.0], 2.0, 1, 1.0),  # crosses exactly when the next input arrives
        ([1.0, 1.5], [2.0, 2.0], 5 / 3, 2, 3.0),
        ([1.0, 1.5], [2.0, -0.5], 2.5, 2, 0.5),  # inhibition before the spike delays it
        ([1.0, 1.5], [2.0, -1.0], inf, 0, 0.0),  # … or prevents it
        ([1.0, 3.0], [2.0, -1.0], 2.0, 1, 1.0),  # … or comes too late
        ([1.0, 1.0, 2.0], [3.0, -1.0, 0.5], 2.0, 2, 1.0),  # tied inputs count together
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_by_hand(engine: ModuleType, z: list, w: list, u: float, count: int, drive: float) -> None:
    channels = torch.arange(len(z))
    events = SpikeEvents(torch.tensor(z), channels, torch.tensor([0, len(z)]), len(z))  # every spike listed
    result = engine.first_spike(*Events(events), torch.tensor(w)[:, None])
    assert [x.item() for x in result] == pytest.approx([u, count, drive], rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
@given(problem=dyadic())
def test_exact_arithmetic(engine: ModuleType, dtype: torch.dtype, problem: Dense | Explicit) -> None:
    want = oracle(problem.rows(), problem.shift)
    u, count, drive = engine.first_spike(*Events(problem.events(dtype)), problem.weight(dtype))
    assert count.dtype == torch.int32
    assert_equal(count, counts(want, problem.listed()))
    assert_equal(drive, want.drive)
    assert_equal(u, want.u)


@pytest.mark.parametrize("engine", ENGINES)
@given(problem=general_dense(decades=20))
def test_general_floats_in_float64(engine: ModuleType, problem: Dense) -> None:
    check_against_oracle(problem, engine, torch.float64)


@pytest.mark.parametrize("engine", ENGINES)
@given(problem=general_dense(decades=8))
def test_general_floats_in_float32(engine: ModuleType, problem: Dense) -> None:
    check_against_oracle(problem, engine, torch.float32)


@pytest.mark.parametrize("listed", [5, 3])
@pytest.mark.parametrize("engine", ENGINES)
def test_rounding_never_splits_tied_inputs(engine: ModuleType, listed: int) -> None:
    """Neuron j's three last inputs of row j arrive where it crosses, to the last bit: all are in, or none.

    Listed, or two of the three at rest.
    """
    rng = np.random.default_rng(0)
    size = 300
    shift = rng.uniform(0.3, 1.5, (5, size))
    early = np.array([1.0, 1.3])
    late = (shift[:2] * early[:, None]).sum(0) / (shift[:2].sum(0) - 1)
    chosen = np.flatnonzero(late > early[-1])
    z = torch.tensor([[*early, *[late[j]] * (listed - 2)] for j in chosen]).reshape(-1)
    channel, offsets = torch.arange(listed).repeat(len(chosen)), torch.arange(len(chosen) + 1) * listed
    rest = torch.tensor(late[chosen]) if listed < 5 else None
    events = SpikeEvents(z, channel, offsets, 5, rest)
    u, count, _ = engine.first_spike(*Events(events), torch.tensor(shift))
    at = torch.arange(len(chosen)), torch.tensor(chosen)
    assert set(count[at].tolist()) == {2, 5 if listed == 5 else 4}  # rounding decides, both ways
    torch.testing.assert_close(u[at], torch.tensor(late[chosen]), rtol=1e-13, atol=0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set(instruction_set: str, dtype: torch.dtype, shape: tuple[int, int, int]) -> None:
    sure = check_against_oracle(random_dense(sum(shape), *shape), cpu, dtype)
    if shape[0] * shape[2] >= 60:  # a few neurons alone may all be unsure
        assert sure > 0.9


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("levels", [2, 6, 40])
def test_runs_of_tied_inputs(instruction_set: str, dtype: torch.dtype, levels: int) -> None:
    """Runs of every length, as greys make them; enough rows for the blocks of weights to be gathered."""
    problem = random_dense(levels, 9, 45, 170, ties=0.1)
    problem.z = np.round(problem.z * levels / 8) * 8 / levels + 1
    assert check_against_oracle(problem, cpu, dtype) > 0.9


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_tied_with_those_at_rest(instruction_set: str, dtype: torch.dtype) -> None:
    """The second row's events lie behind those of the first, at the same time, and are none of its own."""
    row = [(1.0, 0), *((2.0, channel) for channel in range(1, 6))]
    problem = Explicit([row, row[1:]], [2.0, 2.0], [0, 0], np.full((9, 100), 0.2))
    want = oracle(problem.rows(), problem.shift)
    u, count, _ = cpu.first_spike(*Events(problem.events(dtype)), problem.weight(dtype))
    torch.testing.assert_close(u.double(), torch.tensor(want.u), rtol=1e-5, atol=0)
    assert count.tolist() == [[7] * 100, [6] * 100]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3, 8, 10, 16])
def test_rows_side_by_side_are_rows_alone(instruction_set: str, dtype: torch.dtype, outputs: int) -> None:
    """Few neurons are walked for some rows together, of unequal lengths here."""
    problem = random_dense(outputs, 21, 40, outputs, silent=0.5)
    shift = problem.weight(dtype)
    together = cpu.first_spike(*Events(problem.events(dtype)), shift)
    alone = [cpu.first_spike(*Events(Dense(z[None], problem.shift).events(dtype)), shift) for z in problem.z]
    for x, rows in zip(together, zip(*alone, strict=True), strict=True):
        assert torch.equal(x, torch.cat(rows))
    assert 0 < together[0].isfinite().float().mean() < 1 or outputs == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
def test_rest_equals_walking_every_spike(engine: ModuleType, dtype: torch.dtype) -> None:
    """Sums at rest are differences of column sums: off by some eps·Σ|w|, here eight eps."""
    dense = random_dense(5, 12, 784, 60, ties=0.8, silent=0).rounded(dtype)
    rows = dense.rows()
    walked = Explicit(rows, [inf] * len(rows), [0] * len(rows), dense.shift)
    want = oracle(rows, dense.shift)
    sure = torch.tensor(want.margin > 8 * torch.finfo(dtype).eps)
    assert sure.float().mean() > 0.9
    waited = 0
    results = [engine.first_spike(*Events(p.events(dtype)), p.weight(dtype)) for p in (dense, walked)]
    for (name, a), (_, b) in zip(*(zip(("u", "count", "drive"), r, strict=True) for r in results), strict=True):
        if name == "count":
            listed = torch.tensor(dense.listed())[:, None]
            waited = int((b > listed)[sure].sum())
            assert torch.equal(a[sure], torch.minimum(b, listed.int() + 1)[sure])
        else:
            scale = torch.tensor(want.condition)[sure] * b[sure].double()
            exact = torch.tensor(getattr(want, name))[sure]
            fired = exact.isfinite()
            assert torch.equal(fired, a[sure].isfinite())
            assert ((a[sure].double() - exact).abs() <= 8 * torch.finfo(dtype).eps * scale)[fired].all()
    assert waited > 50  # the test is about neurons that need the inputs at rest


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (2,)], ids=["plain", "members"])
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)], ids=str)
def test_nothing_to_do(dtype: torch.dtype, lead: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    """No rows, inputs or outputs: the kernels, and the reference for an ensemble."""
    batch, inputs, outputs = shape
    events = ops.sort_spikes(torch.ones(*lead, batch, inputs, dtype=dtype))
    shift = torch.full((*lead, inputs, outputs), 4 / max(inputs, 1), dtype=dtype)
    u, count, drive = ops.first_spike(events, shift)
    expected = (4 / 3, 1, 3.0) if inputs else (inf, 0, 0.0)
    for got, value in zip((u, count, drive), expected, strict=True):
        assert got.shape == (*lead, batch, outputs)
        torch.testing.assert_close(got, torch.full_like(got, value))
    adjustment = ops.plasticity(events, count, drive, drive)
    sent = ops.feedback(events, count, drive, shift)
    assert adjustment.shape == shift.shape
    assert sent.shape == (*lead, batch, inputs)
    assert (adjustment == 0).all()  # a z − c with a = c and z = 1
    assert_equal(sent, np.full(sent.shape, outputs * 3.0 * 4 / max(inputs, 1)))


@pytest.mark.parametrize("engine", ENGINES)
def test_empty_event_lists(engine: ModuleType) -> None:
    """Rows without a listed event: silence, or everyone at rest."""
    shift = torch.tensor([[0.75, 0.25], [0.75, 0.25]])
    offsets = torch.tensor([0, 0, 0])
    events = SpikeEvents(torch.empty(0), torch.empty(0, dtype=torch.int32), offsets, 2, torch.tensor([inf, 2.0]))
    u, count, drive = engine.first_spike(*Events(events), shift)
    assert u.tolist() == [[inf, inf], [6.0, inf]]
    assert count.tolist() == [[0, 0], [1, 0]]
    assert drive.tolist() == [[0.0, 0.0], [0.5, 0.0]]


@pytest.mark.parametrize("engine", ENGINES)
def test_rest_of_no_channel_is_not_counted(engine: ModuleType) -> None:
    """All channels are listed, and the neuron fires after the time at which the others would spike."""
    events = SpikeEvents(torch.tensor([1.0, 2.0]), torch.arange(2), torch.tensor([0, 2]), 2, torch.tensor([2.5]))
    u, count, drive = engine.first_spike(*Events(events), torch.tensor([[1.0], [0.5]]))
    assert [u.item(), count.item(), drive.item()] == [4.0, 2, 0.5]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_quotient_that_overflows_is_silence(engine: ModuleType) -> None:
    z, w = torch.tensor([[1e38]]), torch.tensor([[1.0001, 2.0]])
    u, count, drive = engine.first_spike(*Events(ops.sort_spikes(z)), w)
    assert u[0, 0] == inf
    assert u[0, 1] == pytest.approx(2e38, rel=1e-6)
    assert count.tolist() == [[0, 1]]
    assert drive.tolist() == [[0.0, 1.0]]


@needs_kernels
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_change_no_bit(threads: None, dtype: torch.dtype) -> None:
    """Shapes with few and with many blocks of columns, both far beyond the work that pays for a thread."""
    for outputs in (70, 900):
        problem = random_dense(outputs, 70, 60, outputs)
        z, weight = problem.tensor(dtype), problem.weight(dtype)
        torch.manual_seed(0)
        a, c = torch.randn(2, 70, outputs, dtype=dtype)
        results = []
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            events = ops.sort_spikes(z)
            u, causal, drive = ops.first_spike(events, weight)
            adjustment, sent = ops.plasticity(events, causal, a, c), ops.feedback(events, causal, a, weight)
            results.append([*Events(events), u, causal, drive, adjustment, sent])
        assert results[0][4].isfinite().any()
        for other in results[1:]:
            assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))
