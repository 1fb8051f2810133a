"""Problems for the engine's tests, and an oracle that shares no code with the library.

Two kinds of problems:

* *dyadic*: spike times and weights are small multiples of powers of two: every sum, product and comparison in
  the neuron is exact, even in float32. Whatever the order of summation, results must then agree bit for bit;
  ties, crossings exactly at the next input and drives of exactly 0 occur all the time.
* *general*: floats of very different magnitude. Where rounding could decide whether a neuron fires before the
  next input, either answer is right; `Neurons.margin` tells how far from that it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from shiftlearn import SpikeEvents
from shiftlearn.ops import reference

try:
    from shiftlearn.ops import cpu
except ImportError:
    cpu = None

needs_kernels = pytest.mark.skipif(cpu is None, reason="installed without C++ kernels")
ENGINES = [pytest.param(reference, id="reference"), pytest.param(cpu, id="kernels", marks=needs_kernels)]
DTYPES = [pytest.param(torch.float32, id="float32"), pytest.param(torch.float64, id="float64")]

Row = list[tuple[float, int]]  # (z, channel) of every input that fires, in time order


# --------------------------------------------------------------------------------------------------- oracle


@dataclass
class Neurons:
    """What the oracle says of every (row, neuron)."""

    u: np.ndarray
    drive: np.ndarray
    causal: list[list[Row]]  # the inputs in the causal set
    condition: np.ndarray  # relative error of u per relative error of a sum of weights
    margin: np.ndarray  # distance of the closest decision from its turning point, in the same unit


def oracle(rows: list[Row], shift: np.ndarray) -> Neurons:
    """First crossing by walking the inputs of one neuron after the other, in Python floats (float64)."""
    shape = len(rows), shift.shape[1]
    u, drive = np.full(shape, math.inf), np.zeros(shape)
    condition, margin = np.ones(shape), np.full(shape, math.inf)
    causal: list[list[Row]] = [[[] for _ in range(shape[1])] for _ in rows]
    for b, row in enumerate(rows):
        for j in range(shape[1]):
            w = [float(shift[channel, j]) for _, channel in row]
            # errors of sums are some eps times this; kernels may take sums over all channels, too
            size = 1 + 2 * (sum(map(abs, w)) + float(np.abs(shift[:, j]).sum()))
            total = moment = before = 0.0
            for k in range(len(row) + 1):
                following = row[k][0] if k < len(row) else math.inf
                excess = total - 1
                gap = excess if math.isinf(following) else excess - moment / following
                if following > before:
                    margin[b, j] = min(margin[b, j], abs(gap) / size)
                if gap >= 0 and total > 1:
                    if math.isfinite(moment / excess):
                        u[b, j], drive[b, j], causal[b][j] = moment / excess, excess, row[:k]
                        condition[b, j] = size / excess
                    break
                if k < len(row):
                    before = row[k][0]
                    total += w[k]
                    moment += w[k] * row[k][0]
    return Neurons(u, drive, causal, condition, margin)


def counts(neurons: Neurons, listed: list[int]) -> np.ndarray:
    """The library's count: the listed events in the causal set, one more when those at rest are in it."""
    return np.array(
        [[min(len(c), n + 1) for c in row] for row, n in zip(neurons.causal, listed, strict=True)], np.int32
    ).reshape(neurons.u.shape)


# ------------------------------------------------------------------------------------------------- problems


@dataclass
class Dense:
    """A (batch, in) array of z and the weights."""

    z: np.ndarray
    shift: np.ndarray

    def rows(self) -> list[Row]:
        order = [sorted(range(len(row)), key=row.__getitem__) for row in self.z.tolist()]
        return [[(row[i], i) for i in o if row[i] < math.inf] for row, o in zip(self.z.tolist(), order, strict=True)]

    def listed(self) -> list[int]:
        return [sum(x < max(row) for x in row) if row else 0 for row in self.z.tolist()]

    def events(self, dtype: torch.dtype = torch.float64) -> SpikeEvents:
        return SpikeEvents.from_dense(self.tensor(dtype))

    def tensor(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.tensor(self.z, dtype=dtype)

    def weight(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.tensor(self.shift, dtype=dtype)

    def rounded(self, dtype: torch.dtype) -> Dense:
        """The problem that the library sees in this dtype."""
        return Dense(self.tensor(dtype).double().numpy(), self.weight(dtype).double().numpy())


@dataclass
class Explicit:
    """Rows of (z, channel), the time at rest of each, unused slots at the end of each, and the weights."""

    spikes: list[Row]
    rest: list[float]
    unused: list[int]
    shift: np.ndarray

    def rows(self) -> list[Row]:
        result = []
        for row, rest in zip(self.spikes, self.rest, strict=True):
            others = sorted(set(range(len(self.shift))) - {channel for _, channel in row})
            result.append(row + [(rest, channel) for channel in others if rest < math.inf])
        return result

    def listed(self) -> list[int]:
        return [len(row) for row in self.spikes]

    def events(self, dtype: torch.dtype = torch.float64) -> SpikeEvents:
        padded = [row + [(math.inf, 0)] * n for row, n in zip(self.spikes, self.unused, strict=True)]
        z = torch.tensor([time for row in padded for time, _ in row], dtype=dtype)
        channel = torch.tensor([channel for row in padded for _, channel in row], dtype=torch.int64)
        offsets = torch.tensor([0, *np.cumsum([len(row) for row in padded], dtype=int).tolist()])
        return SpikeEvents(z, channel, offsets, len(self.shift), torch.tensor(self.rest, dtype=dtype))

    def weight(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.tensor(self.shift, dtype=dtype)


@dataclass
class Events:
    """The four tensors that the ops below the faces take."""

    events: SpikeEvents = field(repr=False)

    def __iter__(self):
        return iter((self.events.z, self.events.channel, self.events.offsets, self.events.rest))


def random_dense(seed: int, batch: int, inputs: int, outputs: int, ties: float = 0.3, silent: float = 0.1) -> Dense:
    """Floats of ordinary size; in every row some inputs are tied at one late time, some silent."""
    rng = np.random.default_rng(seed)
    z = np.exp(rng.uniform(0, 2, (batch, inputs)))
    z[rng.random(z.shape) < ties] = math.e**2
    z[rng.random(z.shape) < silent] = math.inf
    if batch > 2:
        z[1] = math.inf
    if batch > 3:
        z[2] = math.e
    return Dense(z, rng.normal(3 / max(inputs, 1), 4 / max(inputs, 1), (inputs, outputs)))


# ----------------------------------------------------------------------------------------------- strategies

SIZES = st.one_of(st.just((1, 1, 1)), st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 11)))
STEPS = st.integers(1, 40).map(lambda k: k / 4)


def eighths(shape: tuple[int, ...], low: int = -16, high: int = 24) -> st.SearchStrategy[np.ndarray]:
    """Arrays of multiples of 1/8 from low/8 to high/8."""
    return hnp.arrays(np.int64, shape, elements=st.integers(low, high)).map(lambda x: x / 8)


@st.composite
def dyadic_dense(draw: st.DrawFn, octaves: int = 20) -> Dense:
    """Dense problems in exact arithmetic: ties, silent inputs and rows; times scaled by 2**±octaves."""
    batch, inputs, outputs = draw(SIZES)
    time = st.one_of(STEPS, STEPS.map(math.ceil).map(float), st.just(math.inf))
    z = draw(hnp.arrays(np.float64, (batch, inputs), elements=time))
    if batch and draw(st.booleans()):
        z[draw(st.integers(0, batch - 1))] = math.inf
    scale = 2.0 ** draw(st.sampled_from([0, 0, -octaves, octaves]))
    return Dense(z * scale, draw(eighths((inputs, outputs))))


@st.composite
def dyadic_explicit(draw: st.DrawFn) -> Explicit:
    """Explicit events in exact arithmetic: repeated channels at rest inf, or distinct ones and any rest."""
    batch, inputs, outputs = draw(SIZES)
    spikes, rest = [], []
    for _ in range(batch):
        if draw(st.booleans()):
            channels = draw(st.lists(st.integers(0, inputs - 1), max_size=12))
            later = st.just(math.inf)
        else:
            channels = draw(st.lists(st.integers(0, inputs - 1), max_size=inputs, unique=True))
            later = st.sampled_from([0.0, 0.25, 3.0, math.inf])
        times = sorted(draw(st.lists(STEPS, min_size=len(channels), max_size=len(channels))))
        spikes.append(list(zip(times, channels, strict=True)))
        rest.append((times[-1] if times else 0.25) + draw(later))
    unused = draw(st.lists(st.integers(0, 2), min_size=batch, max_size=batch))
    return Explicit(spikes, rest, unused, draw(eighths((inputs, outputs))))


def dyadic(octaves: int = 20) -> st.SearchStrategy[Dense | Explicit]:
    return st.one_of(dyadic_dense(octaves), dyadic_explicit())


@st.composite
def general_dense(draw: st.DrawFn, decades: float = 20) -> Dense:
    """Dense problems of floats: z from 10**-decades to 10**decades, weights of both signs."""
    batch, inputs, outputs = draw(SIZES)
    elements = st.one_of(st.floats(-decades, decades), st.floats(-1, 1), st.just(math.inf), st.just(0.0))
    z = draw(hnp.arrays(np.float64, (batch, inputs), elements=elements))
    z[z < math.inf] = 10.0 ** z[z < math.inf]
    return Dense(z, draw(hnp.arrays(np.float64, (inputs, outputs), elements=st.floats(-2, 3))))


# ---------------------------------------------------------------------------------------------- comparisons


def assert_sure_times(u: Tensor, want: Neurons, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Every spike time that rounding cannot flip is the oracle's; returns which those are, and u's relative error.

    A sum of n terms is off by at most n·eps·Σ|terms|, whatever its order, and `margin` and `condition` are
    measured in Σ|w|. So a decision is sure when its margin exceeds n·eps; then u is off by n·eps·condition
    (relative). A neuron closer to a turning point is left out: there a causal set with one input more or less is as
    right as the oracle's.
    """
    eps = (inputs + 8) * torch.finfo(u.dtype).eps
    sure = want.margin > eps
    fired = np.isfinite(want.u) & sure
    error = eps * np.where(fired, want.condition, 0)
    assert_within(u[torch.tensor(sure)], want.u[sure], (error * np.where(fired, want.u, 0))[sure])
    return sure, error


def assert_equal(got: Tensor, want: np.ndarray | Tensor) -> None:
    """Equal to the last bit; of 0 and -0 either will do."""
    torch.testing.assert_close(got, torch.as_tensor(want).to(got.dtype), rtol=0, atol=0)


def assert_within(got: Tensor, want: np.ndarray, error: np.ndarray) -> None:
    """|got − want| ≤ error, elementwise; inf only where inf is wanted."""
    actual = got.double().numpy()
    assert actual.shape == want.shape
    with np.errstate(invalid="ignore"):  # inf − inf, which is no deviation
        bad = ~((actual == want) | (np.abs(actual - want) <= error))
    assert not bad.any(), f"{actual[bad][:5]} should be {want[bad][:5]} ± {np.broadcast_to(error, bad.shape)[bad][:5]}"
