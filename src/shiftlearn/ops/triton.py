"""The GPU kernels, in Triton, behind the same signatures as :mod:`.reference`; float32 and float64.

No result depends on the order in which programs run (there are no atomics), and nothing here waits for the device or
asks it for a shape: a step can be captured in a CUDA graph. With ``TRITON_INTERPRET=1``, set before Triton is first
imported, the same kernels run on CPU tensors, in NumPy: that is how they are tested where there is no GPU.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["feedback", "first_spike", "plasticity"]

_COLUMNS = 64  # neurons of a program: two for each lane of the one warp that walks, which needs no barrier to agree
_AHEAD = 4  # events whose weights are asked for at once, and after which the walk looks whether all have fired
_CHANNELS = 16  # inputs of a program of feedback


@triton.jit
def _walk(
    z, channel, offsets, listed, rest, shift, sums, u, count, drive, inputs, outputs, batch,
    COLUMNS: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """One row, COLUMNS neurons: the walk of _cpu/walk_impl.hpp, where `total` and `excess` are explained."""
    row = tl.program_id(0).to(tl.int64)
    member = row // batch
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    real = column < outputs
    begin = tl.load(offsets + row)
    spikes = tl.load(listed + row)
    end = begin + spikes
    weights = shift + member * inputs * outputs + column

    total = tl.full([COLUMNS], -1, z.dtype.element_ty)  # Σ w − θ, θ = 1
    excess = tl.full([COLUMNS], 0, z.dtype.element_ty)  # S z − N
    cause = tl.full([COLUMNS], 0, tl.int32)
    waiting = real
    last = tl.full([], 0, z.dtype.element_ty)
    event = begin
    more = event < end
    while more:
        for ahead in tl.static_range(AHEAD):
            present = event + ahead < end
            now = tl.load(z + event + ahead, mask=present, other=0)
            now = tl.where(present, now, last)
            source = tl.load(channel + event + ahead, mask=present, other=0).to(tl.int64)
            weight = tl.load(weights + source * outputs, mask=real & present, other=0)
            # Tied inputs join the causal set together: where no time passes, excess stays below 0.
            after = excess + total * (now - last)
            waiting = waiting & ~(after >= 0)  # NaN (an overflow) does not count
            excess = tl.where(waiting, after, excess)
            total = tl.where(waiting, total + weight, total)
            cause += (waiting & present).to(tl.int32)
            last = now
        event += AHEAD
        more = (event < end) & (tl.max(waiting.to(tl.int32), 0) > 0)

    quiet = tl.load(rest + row)
    quiet = tl.broadcast_to(tl.where(spikes < inputs, quiet, float("inf")), [COLUMNS])
    has_rest = quiet < float("inf")
    after = excess + total * (tl.where(has_rest, quiet, last) - last)
    waiting = waiting & has_rest & ~(after >= 0)
    excess = tl.where(waiting, after, excess)
    everyone = tl.load(sums + member * outputs + column, mask=real, other=0)
    total = tl.where(waiting, everyone - 1, total)
    cause += waiting.to(tl.int32)
    # With no input to come, whoever has positive drive fires; the others stay silent.

    earliest = tl.load(z + begin + cause - 1, mask=(cause > 0) & (cause <= spikes), other=0)
    earliest = tl.where(cause > spikes, quiet, earliest)
    latest = tl.load(z + begin + cause, mask=cause < spikes, other=float("inf"))
    latest = tl.where(cause == spikes, quiet, latest)
    above, slope = total * earliest - excess, tl.where(total > 0, total, 1)
    # `/` rounds to nearest in float64 only
    crossing = tl.div_rn(above, slope) if z.dtype.element_ty == tl.float32 else above / slope
    crossing = tl.where(crossing < latest, crossing, latest)  # rounding must not move it across an input
    crossing = tl.where(crossing > earliest, crossing, earliest)
    fired = (total > 0) & (crossing < float("inf"))  # a quotient that overflows is silence
    at = row * outputs + column
    tl.store(u + at, tl.where(fired, crossing, float("inf")), mask=real)
    tl.store(count + at, tl.where(fired, cause, 0), mask=real)
    tl.store(drive + at, tl.where(fired, total, 0), mask=real)


@triton.jit
def _adjust(
    z, row, position, begin, count, a, c, common, result, inputs, outputs, batch, COLUMNS: tl.constexpr
):  # fmt: skip
    """COLUMNS synapses of one channel: its spikes in one part of the rows, in order."""
    source = tl.program_id(0).to(tl.int64)
    part, parts = tl.program_id(2).to(tl.int64), tl.num_programs(2)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    real = column < outputs
    total = tl.load(common + source // inputs * outputs + column, mask=real & (part == 0), other=0)
    first = tl.load(begin + source * batch + part * batch // parts)
    end = tl.load(begin + source * batch + (part + 1) * batch // parts)
    for event in tl.range(first, end, loop_unroll_factor=4):
        at = tl.load(row + event) * outputs + column
        causal = tl.load(count + at, mask=real, other=0) > tl.load(position + event)
        term = tl.load(a + at, mask=real, other=0) * tl.load(z + event) - tl.load(c + at, mask=real, other=0)
        total += tl.where(causal, term, 0)
    tl.store(result + (part * tl.num_programs(0) + source) * outputs + column, total, mask=real)


@triton.jit
def _send(
    position, begin, listed, count, f, weight, result, inputs, outputs, batch,
    CHANNELS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """What CHANNELS inputs of one row receive. All take a turn for each of their spikes, those at rest one."""
    row = tl.program_id(0).to(tl.int64)
    member = row // batch
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    real = channel < inputs
    source = member * inputs + channel
    event = tl.load(begin + source * batch + row % batch, mask=real, other=0)
    end = tl.load(begin + source * batch + row % batch + 1, mask=real, other=0)
    never = 2147483647
    turn = tl.load(position + event, mask=event < end, other=never)
    turn = tl.where(real & (event == end), tl.load(listed + row), turn)
    total = tl.full([CHANNELS, COLUMNS], 0, weight.dtype.element_ty)
    more = tl.max(real.to(tl.int32), 0) > 0
    while more:
        for first in tl.range(0, outputs, COLUMNS):
            column = first + tl.arange(0, COLUMNS)
            cause = tl.load(count + row * outputs + column, mask=column < outputs, other=0)
            error = tl.load(f + row * outputs + column, mask=column < outputs, other=0)
            causal = cause[None, :] > turn[:, None]
            w = tl.load(weight + source[:, None] * outputs + column[None, :], mask=causal, other=0)
            total += tl.where(causal, error[None, :] * w, 0)
        event += 1
        turn = tl.load(position + event, mask=event < end, other=never)
        more = tl.max((event < end).to(tl.int32), 0) > 0
    tl.store(result + row * inputs + channel, tl.sum(total, 1), mask=real)


def first_spike(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    *lead, inputs, outputs = shift.shape
    z, channel, offsets, rest, shift = (x.contiguous() for x in (z, channel, offsets, rest, shift))
    rows, members = rest.shape[0], shift.shape[:-2].numel()
    batch = rows // max(members, 1)
    size = *lead, batch, outputs
    u, drive, count = shift.new_empty(size), shift.new_empty(size), shift.new_empty(size, dtype=torch.int32)
    _walk[rows, triton.cdiv(outputs, _COLUMNS)](
        z, channel, offsets, _listed(z, offsets), rest, shift, shift.sum(-2), u, count, drive, inputs, outputs, batch,
        COLUMNS=_COLUMNS, AHEAD=_AHEAD, num_warps=1,
    )  # fmt: skip
    return u, count, drive


def plasticity(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, a: Tensor, c: Tensor, num_channels: int
) -> Tensor:
    *lead, batch, outputs = a.shape
    members = a.shape[:-2].numel()
    count, a, c = (x.reshape(members * batch, outputs).contiguous() for x in (count, a, c))
    # All channels get what those at rest do, a·rest − c; the listed ones' own share is then a·(z − rest).
    waited = (count > _listed(z, offsets)[:, None]) & rest.isfinite()[:, None]
    at_rest = a * rest[:, None]
    common = torch.where(waited, at_rest - c, 0).reshape(members, batch, outputs).sum(1)
    c = torch.where(waited, at_rest, c)
    order, row, position, begin = _by_channel(z, channel, offsets, members, batch, num_channels)
    programs = members * num_channels, triton.cdiv(outputs, _COLUMNS)
    # Few synapses: share out the rows too. The shapes alone decide, so that sums are the same every time.
    parts = max(1, min(batch // 64, 2048 // max(programs[0] * programs[1], 1)))
    result = a.new_empty(parts, *lead, num_channels, outputs)
    _adjust[*programs, parts](
        z[order], row, position, begin, count, a, c, common, result,
        num_channels, outputs, batch, COLUMNS=_COLUMNS, num_warps=1,
    )  # fmt: skip
    return result.sum(0) if parts > 1 else result[0]


def feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    *lead, inputs, outputs = weight.shape
    members, batch = f.shape[:-2].numel(), f.shape[-2]
    _, _, position, begin = _by_channel(z, channel, offsets, members, batch, inputs)
    listed = _listed(z, offsets)
    most = (listed + rest.isfinite()).reshape(*lead, batch, 1)
    count = torch.minimum(count, most)  # none at rest that never spike
    result = f.new_empty(*lead, batch, inputs)
    _send[members * batch, triton.cdiv(inputs, _CHANNELS)](
        position, begin, listed, count.contiguous(), f.contiguous(), weight.contiguous(), result,
        inputs, outputs, batch, CHANNELS=_CHANNELS, COLUMNS=_COLUMNS,
    )  # fmt: skip
    return result


def _listed(z: Tensor, offsets: Tensor) -> Tensor:
    """How many events each row lists, (rows,) int32."""
    return torch.nn.functional.pad((z < torch.inf).cumsum(0), (1, 0))[offsets].diff().to(torch.int32)


def _by_channel(
    z: Tensor, channel: Tensor, offsets: Tensor, members: int, batch: int, inputs: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The events by member, channel, row and time: their order, row and position in it.

    And where those of each (member, channel, row) begin, (members · inputs · batch + 1,).
    """
    event = torch.arange(z.numel(), device=z.device)
    row = torch.searchsorted(offsets.contiguous(), event, right=True) - 1
    batch = max(batch, 1)
    key = (row // batch * inputs + channel) * batch + row % batch
    last = members * inputs * batch
    key, order = torch.sort(torch.where(z < torch.inf, key, last), stable=True)
    begin = torch.searchsorted(key, torch.arange(last + 1, device=z.device))
    row = row[order]
    return order, row, (order - offsets[row]).to(torch.int32), begin
