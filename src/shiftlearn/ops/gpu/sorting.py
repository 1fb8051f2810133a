"""Dense spike times to events."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import checks, reference, signatures

_LARGEST = 4096  # inputs that one program sorts


@triton.jit(do_not_specialize=["inputs"])
def _sort(dense, of_level, z, channel, rest, inputs, QUANTISED: tl.constexpr, SIZE: tl.constexpr):
    """One row. Positive floats are in order as integers are, so one integer holds an input's z and its number."""
    row = tl.program_id(0).to(tl.int64)
    index = tl.arange(0, SIZE)
    real = index < inputs
    at = row * inputs + index
    time = tl.load(dense + at, mask=real, other=0)
    if QUANTISED:
        time = tl.load(of_level + time.to(tl.int32), mask=real, other=0)
    quiet = tl.max(tl.where(real, time, 0), 0)
    bits = tl.where(real, time, float("inf")).to(tl.int32, bitcast=True)
    key = tl.sort((bits.to(tl.int64) << 32) | index)
    time = (key >> 32).to(tl.int32).to(tl.float32, bitcast=True)
    listed = time < quiet
    tl.store(z + at, tl.where(listed, time, float("inf")), mask=real)
    tl.store(channel + at, tl.where(listed, key.to(tl.int32), 0), mask=real)
    tl.store(rest + row, quiet)


def sort_spikes(z: Tensor) -> signatures.Events:
    events = signatures.sort_spikes(z)
    if checks.DEBUG or z.dtype != torch.float32 or not 0 < z.shape[-1] <= _LARGEST or not z.numel():
        return reference.sort_spikes(z)
    return _sorted(z, z, events, quantised=False)


def sort_levels(levels: Tensor, of_level: Tensor) -> signatures.Events:
    events = signatures.sort_levels(levels, of_level)
    if of_level.dtype != torch.float32 or not 0 < levels.shape[-1] <= _LARGEST or not levels.numel():
        return reference.sort_levels(levels, of_level)
    return _sorted(levels, of_level, events, quantised=True)


def _sorted(dense: Tensor, of_level: Tensor, events: signatures.Events, quantised: bool) -> signatures.Events:
    z, channel, _, rest = events
    inputs = dense.shape[-1]
    _sort[rest.shape[0],](
        dense.contiguous(), of_level.contiguous(), z, channel, rest, inputs,
        QUANTISED=quantised, SIZE=triton.next_power_of_2(inputs),
    )  # fmt: skip
    return events
