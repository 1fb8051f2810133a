"""What is done to each neuron by itself: a rule's coefficients, and the loss of the classes."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .. import checks, reference, rules, signatures

_RULES = (rules.shifting, rules.normalized, rules.exact)
_ROWS, _COLUMNS = 16, 64
_CLASSES = 1024  # of the loss, in one program


@triton.jit(do_not_specialize=["batch"])
def _coefficients(
    delta, u, drive, delay, a, c, f, g, batch, outputs,
    RULE: tl.constexpr, MIN_DRIVE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """ROWS rows of one member, COLUMNS neurons; see shiftlearn.ops.rules, whose function number RULE this is."""
    part, parts = tl.program_id(1), tl.num_programs(1)
    member = tl.program_id(2).to(tl.int64)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    row = part * ROWS + tl.arange(0, ROWS)
    real = (row < batch)[:, None] & (column < outputs)[None, :]
    at = (member * batch + row[:, None]) * outputs + column[None, :]
    late = tl.load(delay + member * outputs + column, mask=column < outputs, other=1)[None, :]
    crossing = tl.load(u + at, mask=real, other=float("inf"))
    spiked = crossing * late < float("inf")
    crossing = tl.where(spiked, crossing, 0)
    error = tl.where(spiked, tl.load(delta + at, mask=real, other=0), 0)
    slope = tl.load(drive + at, mask=real, other=1)
    slope = tl.where(spiked, tl.where(slope > MIN_DRIVE, slope, tl.full([], MIN_DRIVE, slope.dtype)), 1)
    scaled = error
    if RULE != 0:  # `/` rounds to nearest in float64 only
        scaled = tl.div_rn(error, slope) if u.dtype.element_ty == tl.float32 else error / slope
    if RULE == 2:
        scaled *= late
        tl.store(a + at, scaled, mask=real)
        tl.store(c + at, scaled * crossing, mask=real)
        late_error = error * crossing
    else:
        rate = scaled * tl.exp(late)
        tl.store(a + at, rate, mask=real)
        tl.store(c + at, rate * crossing * late, mask=real)
        late_error = scaled * crossing * late
    tl.store(f + at, scaled, mask=real)
    total = tl.sum(tl.where(real, late_error, 0), 0)
    tl.store(g + (member * parts + part) * outputs + column, total, mask=column < outputs)


@triton.jit
def _cross_entropy(
    z, target, loss, error, classes,
    BETA: tl.constexpr, SMOOTHING: tl.constexpr, HORIZON: tl.constexpr, CLASSES: tl.constexpr,
):  # fmt: skip
    """One row. The settings are constants, since as arguments Triton would round them to float32."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, CLASSES)
    real = column < classes
    time = tl.load(z + row * classes + column, mask=real, other=float("inf"))
    silent = time == float("inf")
    score = tl.where(real, -BETA * tl.where(silent, tl.full([], HORIZON, time.dtype), time), -float("inf"))
    score -= tl.max(score, 0)
    log_p = score - tl.log(tl.sum(tl.exp(score), 0))
    elsewhere = tl.full([CLASSES], SMOOTHING, time.dtype) / classes
    wanted = tl.where(column == tl.load(target + row), tl.full([], 1 - SMOOTHING, time.dtype), 0) + elsewhere
    tl.store(loss + row, -tl.sum(tl.where(real, wanted * log_p, 0), 0))
    tl.store(error + row * classes + column, tl.where(silent, 0, BETA * (wanted - tl.exp(log_p))), mask=real)


def coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a, c, f, _ = signatures.coefficients(rule, delta, u, drive, delay, min_drive)
    function = rules.get(rule)
    if function not in _RULES or not u.numel():
        return reference.coefficients(rule, delta, u, drive, delay, min_drive)
    *lead, batch, outputs = u.shape
    members, parts = u.shape[:-2].numel(), triton.cdiv(batch, _ROWS)
    delta, u, drive, delay = (x.contiguous() for x in (delta, u, drive, delay))
    g = u.new_empty(*lead, parts, outputs)
    _coefficients[triton.cdiv(outputs, _COLUMNS), parts, members](
        delta, u, drive, delay, a, c, f, g, batch, outputs,
        RULE=_RULES.index(function), MIN_DRIVE=min_drive, ROWS=_ROWS, COLUMNS=_COLUMNS,
    )  # fmt: skip
    return a, c, f, g.sum(-2)


def cross_entropy(
    z: Tensor, target: Tensor, weight: Tensor | None, among: int, beta: float, smoothing: float, horizon: float
) -> tuple[Tensor, Tensor, Tensor]:
    _, error, loss = signatures.cross_entropy(z, target, weight, among, beta, smoothing, horizon)
    checks.classes(target, z.shape[1])
    rows, classes = z.shape
    if not 0 < classes <= _CLASSES or not rows:
        return reference.cross_entropy(z, target, weight, among, beta, smoothing, horizon)
    _cross_entropy[rows,](
        z.contiguous(), target.contiguous(), loss, error, classes,
        BETA=beta, SMOOTHING=smoothing, HORIZON=horizon, CLASSES=triton.next_power_of_2(classes), num_warps=1,
    )  # fmt: skip
    return reference.reduced(loss, error, weight, among)
