"""Dense spike times to events."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import checks, reference

_LARGEST = 4096  # inputs that one program sorts


@triton.jit(do_not_specialize=["inputs", "rows"])
def _sort(dense, of_level, z, channel, offsets, rest, inputs, rows, QUANTISED: tl.constexpr, SIZE: tl.constexpr):
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
    tl.store(offsets + row, row * inputs)
    tl.store(offsets + rows, rows.to(tl.int64) * inputs)  # by all programs: the same number


def sort_spikes(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    checks.sort_spikes(z)
    inputs = z.shape[-1]
    if checks.DEBUG or z.dtype != torch.float32 or not 0 < inputs <= _LARGEST or not z.numel():
        return reference.sort_spikes(z)
    return _sorted(z, z, quantised=False)


def sort_levels(levels: Tensor, of_level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if of_level.dtype != torch.float32 or not 0 < levels.shape[-1] <= _LARGEST or not levels.numel():
        return reference.sort_spikes(of_level[levels.long()])
    return _sorted(levels, of_level, quantised=True)


def _sorted(dense: Tensor, of_level: Tensor, quantised: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = dense.shape[-1]
    rows = dense.numel() // inputs
    z, rest = of_level.new_empty(rows * inputs), of_level.new_empty(rows)
    channel = torch.empty(rows * inputs, dtype=torch.int32, device=dense.device)
    offsets = torch.empty(rows + 1, dtype=torch.int64, device=dense.device)
    _sort[rows,](
        dense.contiguous(), of_level.contiguous(), z, channel, offsets, rest, inputs, rows,
        QUANTISED=quantised, SIZE=triton.next_power_of_2(inputs),
    )  # fmt: skip
    return z, channel, offsets, rest
