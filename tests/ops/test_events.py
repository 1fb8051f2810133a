"""Spike times as z; rows of spike events as batches of their own, and their other forms."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, StackDataset

from shiftlearn import SpikeEvents, to_time, to_z
from shiftlearn.errors import IndexInputError, InputError

LENGTHS = st.lists(st.integers(0, 4), min_size=1, max_size=5)


def trains(lengths: list[int]) -> SpikeEvents:
    z = torch.cat([torch.arange(1.0, n + 1) + 10 * row for row, n in enumerate(lengths)])
    channel = torch.cat([torch.arange(n) % 2 for n in lengths])
    rest = torch.tensor([100.0 if n == 2 else math.inf for n in lengths])
    return SpikeEvents(z, channel, torch.tensor([0, *lengths]).cumsum(0), 2, rest)


@given(LENGTHS, st.data())
def test_rows_are_those_asked_for(lengths: list[int], data: st.DataObject) -> None:
    events = trains(lengths)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=6))
    some = events[torch.tensor(rows, dtype=torch.int64)]
    assert len(some) == some.batch == len(rows)
    assert some.offsets.tolist() == [0, *torch.tensor([lengths[r] for r in rows]).cumsum(0).tolist()][: len(rows) + 1]
    for k, row in enumerate(rows):
        (a, b), (c, d) = events.offsets[row : row + 2], some.offsets[k : k + 2]
        assert torch.equal(events.z[a:b], some.z[c:d])
        assert torch.equal(events.channel[a:b], some.channel[c:d])
        assert some.rest[k] == events.rest[row]
    SpikeEvents(some.z, some.channel, some.offsets, some.num_channels, some.rest)  # its checks pass


def test_a_slice_of_rows() -> None:
    events = trains([2, 0, 3])
    assert events[1:].z.tolist() == [21.0, 22.0, 23.0]
    assert events[1:].offsets.tolist() == [0, 0, 3]
    assert events[:].z.tolist() == events.z.tolist()
    assert len(events[3:]) == 0


@pytest.mark.parametrize("rows", [slice(1, None), torch.tensor([1, 2])], ids=["slice", "numbers"])
def test_rows_stay_on_the_device_of_the_events(rows: slice | torch.Tensor) -> None:
    """Whatever torch's default device is: here the one without memory."""
    events = trains([2, 0, 3])
    with torch.device("meta"):
        some = events[rows]
        SpikeEvents(some.z, some.channel, some.offsets, 2, some.rest)  # its checks pass, there too
    assert some.z.tolist() == [21.0, 22.0, 23.0]


@pytest.mark.parametrize("row", [2, -1, np.int64(2)])
def test_one_row(row: int) -> None:
    events = trains([2, 0, 3])
    assert (len(events[row]), events[row].z.tolist()) == (1, [21.0, 22.0, 23.0])
    assert events[row].rest.tolist() == events.rest[2:].tolist()


@pytest.mark.parametrize("row", [3, -4])
def test_iteration_ends_at_a_row_that_is_not_there(row: int) -> None:
    events = trains([2, 0, 3])
    assert [one.z.tolist() for one in events] == [[1.0, 2.0], [], [21.0, 22.0, 23.0]]
    with pytest.raises(IndexInputError, match=f"rows must lie in 0 … 2, got {row}"):
        events[row]
    with pytest.raises(IndexInputError):
        events[3:][0]


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loaders_give_batches(workers: int) -> None:
    events = trains([2, 0, 3, 1])
    first, second = DataLoader(events, batch_size=3, num_workers=workers)
    for batch, rows in ((first, events[:3]), (second, events[3:])):
        for name in ("z", "channel", "offsets", "rest"):
            assert torch.equal(getattr(batch, name), getattr(rows, name))
    [(batch, labels)] = DataLoader(StackDataset(events, torch.arange(4)), batch_size=4, num_workers=workers)
    assert batch.z.tolist() == events.z.tolist()
    assert labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("rows", [True, [0], torch.tensor([0.0]), torch.tensor([[0]]), torch.tensor([True, False])])
def test_another_index_is_refused(rows: object) -> None:
    with pytest.raises(InputError, match="rows must be a slice or an"):
        trains([1, 2])[rows]


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_that_is_not_there_is_refused(row: int) -> None:
    with pytest.raises(InputError, match=f"rows must lie in 0 … 1, got {row}"):
        trains([1, 2])[torch.tensor([row])]


@given(LENGTHS, st.integers(0, 5))
def test_batches_joined_are_the_batch_that_was_cut(lengths: list[int], cut: int) -> None:
    events = trains(lengths)
    joined = SpikeEvents.cat([events[:cut], events[cut:]])
    assert joined.num_channels == events.num_channels
    for name in ("z", "channel", "offsets", "rest"):
        assert torch.equal(getattr(joined, name), getattr(events, name))


def test_batches_of_other_channels_are_not_joined() -> None:
    other = SpikeEvents.from_dense(torch.ones(1, 5))
    with pytest.raises(InputError, match=r"several must be batches with one number of channels, got \[2, 5\]"):
        SpikeEvents.cat([trains([1]), other])
    with pytest.raises(InputError, match="several must be"):
        SpikeEvents.cat([])


# ----------------------------------------------------------------------------------------- z, and other forms


def test_time_becomes_z_and_back() -> None:
    t = torch.tensor([0.0, 4.0, math.inf], dtype=torch.float64)
    assert to_z(t, 2.0).tolist() == [1.0, pytest.approx(math.exp(2.0)), math.inf]
    assert to_time(to_z(t, 2.0), 2.0).tolist() == [0.0, pytest.approx(4.0), math.inf]
    assert to_z(t).tolist() == [1.0, pytest.approx(math.exp(4.0)), math.inf]
    assert to_time(to_z(t)).tolist() == [0.0, pytest.approx(4.0), math.inf]


@pytest.mark.parametrize(
    ("t", "tau", "message"),
    [
        (torch.tensor([1.0, math.nan]), 1.0, "t holds NaN; use inf for a spike that never comes"),
        (torch.tensor([1.0]), 0.0, "tau must be positive, got 0.0"),
        (
            torch.tensor([1.0, 41.0, math.inf]),
            0.5,
            "t / tau reaches 82, beyond the 80 that exp can carry in float32: use float64, or a larger tau",
        ),
        (
            torch.tensor([0.0, -200.0]),
            1.0,
            "exp(t / tau) leaves the range of torch.float32 at t = -200, tau = 1",
        ),
        (
            torch.tensor([800.0], dtype=torch.float64),
            0.5,
            "exp(t / tau) leaves the range of torch.float64 at t = 800, tau = 0.5",
        ),
    ],
)
def test_times_that_have_no_z(t: torch.Tensor, tau: float, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        to_z(t, tau)


def test_the_latest_time_in_float32() -> None:
    assert to_z(torch.tensor([80.0])).isfinite().all()


def test_no_tau_is_refused_on_the_way_back() -> None:
    with pytest.raises(InputError, match="tau must be positive, got -1"):
        to_time(torch.ones(1), -1.0)


def test_another_dtype_keeps_the_spikes() -> None:
    events = trains([2, 0, 3])
    double = events.to(dtype=torch.float64)
    assert double.z.dtype == double.rest.dtype == torch.float64
    assert double.z.tolist() == events.z.tolist()
    assert double.rest.tolist() == events.rest.tolist()
    assert double.channel.tolist() == events.channel.tolist()
    assert double.offsets.tolist() == events.offsets.tolist()
    assert double.num_channels == events.num_channels


def test_another_device_has_all_of_them() -> None:
    """On the device without memory, which every torch has."""
    events = trains([2, 0, 3]).to("meta")
    assert {x.device.type for x in (events.z, events.channel, events.offsets, events.rest)} == {"meta"}
    assert (events.z.shape, events.rest.shape, events.num_channels) == ((5,), (3,), 2)


@pytest.mark.parametrize(
    ("z", "dtype", "message"),
    [
        ([1.0, 1e39], torch.float32, "dtype torch.float32 cannot hold z = 1e+39"),
        ([1e-50, 1.0], torch.float32, "dtype torch.float32 cannot hold z = 1e-50"),
        ([1.0], torch.int64, "dtype must be a floating type, got torch.int64"),
    ],
)
def test_a_dtype_that_cannot_hold_a_spike(z: list[float], dtype: torch.dtype, message: str) -> None:
    events = SpikeEvents(torch.tensor(z, dtype=torch.float64), torch.arange(len(z)), torch.tensor([0, len(z)]), 2)
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        events.to(dtype=dtype)
