"""Plasticity and feedback: the sums over causal pairs, as products of matrices are, in tiles with a mask.

A spike is causal where its place in its row is below the neuron's count. So each (row, channel) is first given the
place and the z of its spike, its `turn` and its `time`: a channel at rest takes the last place. A channel that spikes
again in its row has its other spikes added one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import signatures

_NEVER = tl.constexpr(2147483647)
_BLOCK = 1024  # events, channels or neurons that a program looks at together
_CHANNELS, _COLUMNS = 32, 64  # synapses of a program of plasticity
_ROWS, _SENDERS = 16, 64  # rows and channels of a program of feedback


@triton.jit(do_not_specialize=["inputs", "outputs"])
def _invert(
    z, channel, offsets, rest, count, turn, time, repeated, active, inputs, outputs, tiles,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One row: turn and time of its channels, how many spike again, which tiles of channels are causal at all."""
    row = tl.program_id(0).to(tl.int64)
    begin = tl.load(offsets + row)
    end = tl.load(offsets + row + 1)
    turn += row * inputs
    time += row * inputs
    for first in tl.range(0, inputs, BLOCK):
        to = first + tl.arange(0, BLOCK)
        tl.store(turn + to, _NEVER, mask=to < inputs)
    tl.debug_barrier()
    listed = tl.full([], 0, tl.int32)
    for first in tl.range(begin, end, BLOCK):
        event = first + tl.arange(0, BLOCK)
        present = tl.load(z + event, mask=event < end, other=float("inf")) < float("inf")
        source = tl.load(channel + event, mask=present, other=0)
        tl.atomic_min(turn + source, (event - begin).to(tl.int32), mask=present, sem="relaxed")
        listed += tl.sum(present.to(tl.int32), 0)
    tl.debug_barrier()
    again = tl.full([], 0, tl.int32)
    for first in tl.range(begin, begin + listed, BLOCK):
        event = first + tl.arange(0, BLOCK)
        present = event < begin + listed
        source = tl.load(channel + event, mask=present, other=0)
        mine = tl.load(turn + source, mask=present, other=0) == event - begin
        tl.store(time + source, tl.load(z + event, mask=present, other=0), mask=present & mine)
        again += tl.sum((present & ~mine).to(tl.int32), 0)
    tl.store(repeated + row, again)
    most = tl.full([], 0, tl.int32)
    for first in tl.range(0, outputs, BLOCK):
        column = first + tl.arange(0, BLOCK)
        most = tl.maximum(most, tl.max(tl.load(count + row * outputs + column, mask=column < outputs, other=0), 0))
    quiet = tl.load(rest + row)
    has_rest = quiet < float("inf")
    last = tl.where(has_rest, listed, _NEVER)
    quiet = tl.where(has_rest, quiet, 0)
    for tile in tl.range(0, tiles):
        to = tile * CHANNELS + tl.arange(0, CHANNELS)
        place = tl.load(turn + to, mask=to < inputs, other=0)
        silent = (place == _NEVER) & (to < inputs)
        tl.store(turn + to, last, mask=silent)
        tl.store(time + to, quiet, mask=silent)
        place = tl.where(to < inputs, tl.where(silent, last, place), _NEVER)
        tl.store(active + row * tiles + tile, (tl.min(place, 0) < most).to(tl.int8))


@triton.jit(do_not_specialize=["inputs", "batch", "rows"])
def _learn(
    z, channel, offsets, turn, time, repeated, active, count, a, c, result, inputs, outputs, batch, tiles, rows,
    CHANNELS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """CHANNELS by COLUMNS synapses, and the share of one part of the rows."""
    member = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    part = tl.program_id(2)
    source = tile * CHANNELS + tl.arange(0, CHANNELS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside, real = source < inputs, column < outputs
    total = tl.zeros([CHANNELS, COLUMNS], a.dtype.element_ty)
    for row in tl.range(member * batch + part * rows, member * batch + tl.minimum((part + 1) * rows, batch)):
        if tl.load(active + row * tiles + tile) != 0:
            place = tl.load(turn + row * inputs + source, mask=inside, other=_NEVER)
            now = tl.load(time + row * inputs + source, mask=inside, other=0)
            cause = tl.load(count + row * outputs + column, mask=real, other=0)
            rate = tl.load(a + row * outputs + column, mask=real, other=0)
            less = tl.load(c + row * outputs + column, mask=real, other=0)
            term = rate[None, :] * now[:, None] - less[None, :]
            total += tl.where(place[:, None] < cause[None, :], term, 0)
        if tl.load(repeated + row) != 0:
            begin = tl.load(offsets + row)
            end = tl.load(offsets + row + 1)
            cause = tl.load(count + row * outputs + column, mask=real, other=0)
            rate = tl.load(a + row * outputs + column, mask=real, other=0)
            less = tl.load(c + row * outputs + column, mask=real, other=0)
            event = begin
            while event < end:
                now = tl.load(z + event)
                owner = tl.load(channel + event)
                further = tl.where(now < float("inf"), 1, 0) != 0
                further = further & (tl.load(turn + row * inputs + owner) != event - begin)
                mine = (source == owner) & further
                causal = mine[:, None] & ((event - begin) < cause)[None, :]
                total += tl.where(causal, (rate * tl.where(further, now, 0) - less)[None, :], 0)
                event += 1
    to = ((part * tl.num_programs(0) // tiles + member) * inputs + source[:, None]) * outputs + column[None, :]
    tl.store(result + to, total, mask=inside[:, None] & real[None, :])


@triton.jit(do_not_specialize=["inputs", "outputs", "batch"])
def _send(
    z, channel, offsets, turn, repeated, count, f, weight, result, inputs, outputs, batch, blocks,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """What CHANNELS inputs of ROWS rows receive; `weight` is (members, outputs, inputs)."""
    member = (tl.program_id(0) // blocks).to(tl.int64)
    within = tl.program_id(0) % blocks * ROWS + tl.arange(0, ROWS)
    row = member * batch + within
    source = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    here, inside = within < batch, source < inputs
    real = here[:, None] & inside[None, :]
    at = row[:, None] * inputs + source[None, :]
    place = tl.load(turn + at, mask=real, other=_NEVER)
    total = tl.zeros([ROWS, CHANNELS], f.dtype.element_ty)
    for output in tl.range(0, outputs):
        cause = tl.load(count + row * outputs + output, mask=here, other=0)
        error = tl.load(f + row * outputs + output, mask=here, other=0)
        w = tl.load(weight + (member * outputs + output) * inputs + source, mask=inside, other=0)
        total += tl.where(place < cause[:, None], error[:, None] * w[None, :], 0)
    for one in tl.range(member * batch + tl.program_id(0) % blocks * ROWS,
                        member * batch + tl.minimum((tl.program_id(0) % blocks + 1) * ROWS, batch)):  # fmt: skip
        if tl.load(repeated + one) != 0:
            begin = tl.load(offsets + one)
            event = begin
            while event < tl.load(offsets + one + 1):
                owner = tl.load(channel + event)
                further = tl.where(tl.load(z + event) < float("inf"), 1, 0) != 0
                further = further & (tl.load(turn + one * inputs + owner) != event - begin)
                mine = (row == one)[:, None] & (source == owner)[None, :] & further
                sent = tl.zeros([CHANNELS], f.dtype.element_ty)
                for output in tl.range(0, outputs):
                    causal = event - begin < tl.load(count + one * outputs + output)
                    w = tl.load(weight + (member * outputs + output) * inputs + source, mask=inside & causal, other=0)
                    sent += tl.load(f + one * outputs + output) * w
                total += tl.where(mine, sent[None, :], 0)
                event += 1
    tl.store(result + at, total, mask=real)


class _Turns(NamedTuple):
    """What :func:`_invert` found, (rows, inputs) and (rows,), and the events that it looked at."""

    z: Tensor
    channel: Tensor
    offsets: Tensor
    turn: Tensor
    time: Tensor
    repeated: Tensor
    active: Tensor


def _turns(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, inputs: int) -> _Turns:
    rows, tiles = rest.shape[0], triton.cdiv(inputs, _CHANNELS)
    z, channel, offsets, rest, count = (x.contiguous() for x in (z, channel, offsets, rest, count))
    turn = torch.empty(rows, inputs, dtype=torch.int32, device=z.device)
    time, repeated = z.new_empty(rows, inputs), turn.new_empty(rows)
    active = turn.new_empty(rows, tiles, dtype=torch.int8)
    _invert[rows,](
        z, channel, offsets, rest, count, turn, time, repeated, active, inputs, count.shape[-1], tiles,
        CHANNELS=_CHANNELS, BLOCK=_BLOCK,
    )  # fmt: skip
    return _Turns(z, channel, offsets, turn, time, repeated, active)


def plasticity(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, a: Tensor, c: Tensor, num_channels: int
) -> Tensor:
    signatures.plasticity(z, channel, offsets, rest, count, a, c, num_channels)
    turns = _turns(z, channel, offsets, rest, count, num_channels)
    *lead, batch, outputs = a.shape
    members, tiles = a.shape[:-2].numel(), triton.cdiv(num_channels, _CHANNELS)
    programs = members * tiles, triton.cdiv(outputs, _COLUMNS)
    # Few synapses: share out the rows too. The shapes alone decide, so that sums are the same every time.
    parts = max(1, min(triton.cdiv(batch, 16), 1024 // max(programs[0] * programs[1], 1)))
    rows = triton.cdiv(batch, parts)
    result = a.new_empty(parts, *lead, num_channels, outputs)
    _learn[*programs, parts](
        turns.z, turns.channel, turns.offsets, turns.turn, turns.time, turns.repeated, turns.active,
        count.contiguous(), a.contiguous(), c.contiguous(), result, num_channels, outputs, batch, tiles, rows,
        CHANNELS=_CHANNELS, COLUMNS=_COLUMNS,
    )  # fmt: skip
    return result.sum(0) if parts > 1 else result[0]


def feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    result = signatures.feedback(z, channel, offsets, rest, count, f, weight)
    turns = _turns(z, channel, offsets, rest, count, weight.shape[-2])
    *_, batch, outputs = f.shape
    members, inputs = f.shape[:-2].numel(), weight.shape[-2]
    blocks = triton.cdiv(batch, _ROWS)
    _send[members * blocks, triton.cdiv(inputs, _SENDERS)](
        turns.z, turns.channel, turns.offsets, turns.turn, turns.repeated,
        count.contiguous(), f.contiguous(), weight.transpose(-1, -2).contiguous(), result,
        inputs, outputs, batch, blocks, ROWS=_ROWS, CHANNELS=_SENDERS,
    )  # fmt: skip
    return result
