"""The first spike of every neuron: rows are walked in time order."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .. import signatures

_COLUMNS = 64  # neurons of a program: two for each lane of the one warp that walks, which needs no barrier to agree
_AHEAD = 8  # events whose weights are asked for at once, and after which the walk looks whether all have fired


@triton.jit(do_not_specialize=["inputs", "batch"])
def _walk(
    z, channel, offsets, rest, shift, sums, u, count, drive, inputs, outputs, batch,
    COLUMNS: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """One row, COLUMNS neurons: the walk of cpu/walk_impl.hpp, where `total` and `excess` are explained."""
    row = tl.program_id(0).to(tl.int64)
    member = row // batch
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    real = column < outputs
    begin = tl.load(offsets + row)
    end = tl.load(offsets + row + 1)
    weights = shift + member * inputs * outputs + column

    total = tl.full([COLUMNS], -1, z.dtype.element_ty)  # Σ w − θ, θ = 1
    excess = tl.full([COLUMNS], 0, z.dtype.element_ty)  # S z − N
    cause = tl.full([COLUMNS], 0, tl.int32)
    waiting = real
    last = tl.full([], 0, z.dtype.element_ty)
    spikes = tl.full([], 0, tl.int32)  # walked so far; all that are listed if anyone still waits at the end
    event = begin
    # The row's list ends with the first inf. (A scalar that compares floats is no mask in the interpreter, so: where.)
    more = tl.where(tl.load(z + begin, mask=begin < end, other=float("inf")) < float("inf"), 1, 0) != 0
    while more:
        for ahead in tl.static_range(AHEAD):
            now = tl.load(z + event + ahead, mask=event + ahead < end, other=float("inf"))
            source = tl.load(channel + event + ahead, mask=event + ahead < end, other=0).to(tl.int64)
            present = tl.where(now < float("inf"), 1, 0) != 0
            now = tl.where(present, now, last)
            weight = tl.load(weights + source * outputs, mask=real & present, other=0)
            # Tied inputs join the causal set together: where no time passes, excess stays below 0. So it does after
            # the row's last event.
            after = excess + total * (now - last)
            waiting = waiting & ~(after >= 0)  # NaN (an overflow) does not count
            excess = tl.where(waiting, after, excess)
            total = tl.where(waiting, total + weight, total)
            cause += (waiting & present).to(tl.int32)
            spikes += present.to(tl.int32)
            last = now
            more = present
        event += AHEAD
        more = more & (event < end) & (tl.max(waiting.to(tl.int32), 0) > 0)

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
    latest = tl.load(z + begin + cause, mask=(cause <= spikes) & (begin + cause < end), other=float("inf"))
    latest = tl.where((cause > spikes) | (latest < float("inf")), latest, quiet)
    above, slope = total * earliest - excess, tl.where(total > 0, total, 1)
    # `/` rounds to nearest in float64 only
    crossing = tl.div_rn(above, slope) if z.dtype.element_ty == tl.float32 else above / slope
    crossing = tl.where(crossing < latest, crossing, latest)  # rounding must not move it across an input
    crossing = tl.where(crossing > earliest, crossing, earliest)
    fired = (total > 0) & (crossing < float("inf"))  # a quotient that overflows is silence
    crossing = tl.where(fired, crossing, float("inf"))
    at = row * outputs + column
    tl.store(u + at, crossing, mask=real)
    tl.store(count + at, tl.where(fired, cause, 0), mask=real)
    tl.store(drive + at, tl.where(fired, total, 0), mask=real)


def first_spike(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    u, count, drive = signatures.first_spike(z, channel, offsets, rest, shift)
    inputs, outputs = shift.shape[-2:]
    z, channel, offsets, rest, shift = (x.contiguous() for x in (z, channel, offsets, rest, shift))
    _walk[rest.shape[0], triton.cdiv(outputs, _COLUMNS)](
        z, channel, offsets, rest, shift, shift.sum(-2), u, count, drive, inputs, outputs, u.shape[-2],
        COLUMNS=_COLUMNS, AHEAD=_AHEAD, num_warps=1,
    )  # fmt: skip
    return u, count, drive
