"""Rows of spike events as batches of their own."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftlearn import SpikeEvents
from shiftlearn.errors import InputError

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


@pytest.mark.parametrize("rows", [1, [0], torch.tensor([0.0]), torch.tensor([[0]]), torch.tensor([True, False])])
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
