"""The operations in readable torch: the oracle the kernels are tested against, and the fallback without them.

Exact to rounding in the dtype given (use float64 as the oracle), on any device. Events are walked one at a time,
all rows at once, so memory stays at O(rows · out). Weights may carry leading dimensions, ``shift (..., in, out)``:
then the rows of the events belong to the members in order, the same number to each, and the results have shape
(..., batch, out). ``count``, ``a``, ``c`` and ``f`` have that shape too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from . import checks, rules
from .signatures import windows as windows

THRESHOLD = 1.0


def sort_spikes(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Dense (..., batch, in) z to events (z, channel, offsets, rest); see SpikeEvents.from_dense."""
    inputs = z.shape[-1]
    rows = z.reshape(math.prod(z.shape[:-1]), inputs)
    if checks.looks_at(z):
        checks.positive(rows)
    offsets = torch.arange(rows.shape[0] + 1, device=z.device) * inputs
    if inputs == 0:
        nothing = z.new_empty(0)
        return nothing, nothing.to(torch.int32), offsets, z.new_full(rows.shape[:1], math.inf)
    ordered, channel = torch.sort(rows, dim=1, stable=True)
    rest = ordered[:, -1].clone()
    listed = ordered < rest[:, None]
    ordered = torch.where(listed, ordered, math.inf)
    channel = torch.where(listed, channel, 0).to(torch.int32)
    return ordered.reshape(-1), channel.reshape(-1), offsets, rest


def sort_levels(levels: Tensor, of_level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Quantised (batch, in) inputs to events: ``of_level`` (256,) is the z of each level."""
    return sort_spikes(of_level[levels.long()])


def sort_windows(images: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The events of all windows, ``size`` by ``size``, of images (batch, channels, rows, columns).

    A window is a row of inputs in the order of torch.nn.Unfold: channel, row, column.
    """
    found = images.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5)
    return sort_spikes(found.reshape(math.prod(found.shape[:3]), images.shape[1] * size**2))


def sum_windows(values: Tensor, shape: Sequence[int], size: int) -> Tensor:
    """Every pixel's sum over the windows that it lies in: (windows, inputs) to images of ``shape``."""
    batch, channels, rows, columns = shape
    if batch * channels == 0:
        return values.new_zeros(shape)
    of_image = (rows - size + 1) * (columns - size + 1)
    columns_first = values.reshape(batch, of_image, values.shape[1]).transpose(1, 2)
    return torch.nn.functional.fold(columns_first, (rows, columns), size)


def _steps(z: Tensor, channel: Tensor, offsets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The k-th event of every row, for k = 0, 1, …: z (rows,), inf where the row has ended, and channel (rows,)."""
    begin, length = offsets[:-1], offsets.diff()
    for k in range(int(length.max()) if length.numel() else 0):
        inside = length > k
        at = torch.where(inside, begin + k, 0)
        yield torch.where(inside, z[at], math.inf), channel[at].long()


def _unlisted(z: Tensor, channel: Tensor, offsets: Tensor, num_channels: int) -> Tensor:
    """(rows, in): 1 for every channel that the row does not list."""
    mask = z.new_ones(offsets.numel() - 1, num_channels)
    row = torch.arange(mask.shape[0], device=z.device)
    for time, where in _steps(z, channel, offsets):
        listed = time.isfinite()
        mask[row[listed], where[listed]] = 0
    return mask


def first_spike(z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    """First physical threshold crossing of every neuron: u, count, drive, each (..., batch, out)."""
    *lead, inputs, outputs = shift.shape
    weight, member = _members(shift, offsets)
    rows = offsets.numel() - 1
    total = shift.new_zeros(rows, outputs)  # Σ_C w − θ: the drive, should the neuron fire now
    total -= THRESHOLD
    moment = shift.new_zeros(rows, outputs)  # Σ_C w z
    u = torch.full_like(total, math.inf)
    count = torch.zeros_like(total, dtype=torch.int32)
    drive = torch.zeros_like(total)
    last = z.new_zeros(rows)

    def fire_before(time: Tensor, k: Tensor) -> None:
        """Neurons that cross threshold after the last input and no later than ``time`` (rows,)."""
        until = time[:, None]
        # with no input to come, (S − θ)·∞ ≥ N says S > θ
        reached = torch.where(until.isinf(), total > 0, total * until - moment >= 0)
        crossing = torch.maximum(torch.minimum(moment / total, until), last[:, None])
        hit = reached & (total > 0) & (time > last)[:, None] & (count == 0) & crossing.isfinite()
        torch.where(hit, crossing, u, out=u)
        torch.where(hit, k[:, None].to(torch.int32), count, out=count)
        torch.where(hit, total, drive, out=drive)

    listed = torch.zeros_like(offsets[:-1])
    for time, where in _steps(z, channel, offsets):
        present = time.isfinite()
        fire_before(torch.where(present, time, last), listed)  # a row that has ended waits for the others
        w = torch.where(present[:, None], weight[member, where], 0.0)
        total += w
        moment += w * torch.where(present, time, 0.0)[:, None]
        last = torch.where(present, time, last)
        listed = listed + present
    others = rest.isfinite() & (listed < inputs)
    fire_before(torch.where(others, rest, math.inf), listed)

    mask = _unlisted(z, channel, offsets, inputs).reshape(weight.shape[0], rows // max(weight.shape[0], 1), inputs)
    w = torch.where(others[:, None], (mask @ weight).reshape(rows, outputs), 0.0)
    total += w
    moment += w * torch.where(others, rest, 0.0)[:, None]
    last = torch.where(others, rest, last)
    fire_before(torch.full_like(rest, math.inf), listed + others)
    shape = (*lead, rows // max(weight.shape[0], 1), outputs)
    return u.reshape(shape), count.reshape(shape), drive.reshape(shape)


def narrow_first_spike(z: Tensor, shift: Tensor, slots: int = 16) -> Tensor:
    """u (batch, out) of dense (batch, in) z that nobody sorted: the readable form of cpu/narrow_impl.hpp.

    Inputs are put into slots of time. Where no neuron can fire before a slot ends, even if all positive weights came at
    its beginning, the slot's inputs are summed in any order; otherwise they are sorted and processed one by one.
    """
    u = z.new_full((len(z), shift.shape[1]), math.inf)
    for row, times in enumerate(z):
        listed = times.isfinite()
        now = times.min()
        slot = torch.where(listed, (times - now) / (times[listed].max() - now) * slots, 0).nan_to_num(0).long()
        total = shift.new_full((shift.shape[1],), -THRESHOLD)  # Σ w − θ
        excess = -now * torch.ones_like(total)  # total · now − Σ w z, below 0 until the neuron fires

        for members in (((slot == k) & listed).nonzero()[:, 0] for k in range(slots + 1)):
            if not len(members):
                continue
            weight, end = shift[members], times[members].max()
            rising = total.clamp_min(0) + weight.clamp_min(0).sum(0)
            if ((excess + rising * (end - now) < 0) | u[row].isfinite()).all():
                excess += total * (end - now) + (weight * (end - times[members])[:, None]).sum(0)
                total += weight.sum(0)
                now = end
                continue
            for i in members[times[members].argsort()]:
                fires = (excess + total * (times[i] - now) >= 0) & u[row].isinf()
                u[row] = torch.where(fires, now - excess / total, u[row])
                excess += total * (times[i] - now)
                total += shift[i]
                now = times[i]
        u[row] = torch.where((total > 0) & u[row].isinf(), now - excess / total, u[row])
    return u


def plasticity(
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    count: Tensor,
    a: Tensor,
    c: Tensor,
    num_channels: int,
) -> Tensor:
    """ΔW_ij = Σ_b [i ∈ C_bj] (a_bj z_bi − c_bj), shape (..., in, out)."""
    *lead, batch, outputs = count.shape
    members = math.prod(lead)
    count, a, c = (x.reshape(members * batch, outputs) for x in (count, a, c))
    result = a.new_zeros(members * num_channels, outputs)
    base = torch.arange(members, device=a.device).repeat_interleave(batch) * num_channels
    listed = torch.zeros_like(offsets[:-1])
    for time, where in _steps(z, channel, offsets):
        present = time.isfinite()
        causal = (count > listed[:, None]) & present[:, None]
        term = torch.where(causal, a * torch.where(present, time, 0.0)[:, None] - c, 0.0)
        result.index_add_(0, base + torch.where(present, where, 0), term)
        listed = listed + present
    others = rest.isfinite() & (listed < num_channels)
    causal = (count > listed[:, None]) & others[:, None]
    term = torch.where(causal, a * torch.where(others, rest, 0.0)[:, None] - c, 0.0)
    mask = _unlisted(z, channel, offsets, num_channels).reshape(members, batch, num_channels)
    result = result.reshape(members, num_channels, outputs)
    result += mask.transpose(1, 2) @ term.reshape(members, batch, outputs)
    return result.reshape(*lead, num_channels, outputs)


def feedback(
    z: Tensor, channel: Tensor, offsets: Tensor, rest: Tensor, count: Tensor, f: Tensor, weight: Tensor
) -> Tensor:
    """What each input receives: Σ_j f_bj w_ij [i ∈ C_bj], shape (..., batch, in)."""
    *lead, inputs, outputs = weight.shape
    flat, member = _members(weight, offsets)
    shape = (*lead, count.shape[-2], inputs)
    rows = math.prod(count.shape[:-1])
    count, f = count.reshape(rows, outputs), f.reshape(rows, outputs)
    result = f.new_zeros(f.shape[0], inputs)
    listed = torch.zeros_like(offsets[:-1])
    for time, where in _steps(z, channel, offsets):
        present = time.isfinite()
        causal = (count > listed[:, None]) & present[:, None]
        sent = (torch.where(causal, f, 0.0) * flat[member, where]).sum(1)
        result.scatter_add_(1, where[:, None], sent[:, None])
        listed = listed + present
    others = rest.isfinite() & (listed < inputs)
    causal = (count > listed[:, None]) & others[:, None]
    per_member = torch.where(causal, f, 0.0).reshape(flat.shape[0], shape[-2], outputs)
    sent = (per_member @ flat.transpose(1, 2)).reshape(result.shape)
    result += sent * _unlisted(z, channel, offsets, inputs)
    return result.reshape(shape)


def coefficients(
    rule: str, delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor, min_drive: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a rule makes of the error: a, c, f (..., batch, out), and g (..., out), summed over the batch."""
    a, c, f, g = rules.coefficients(rule, delta, u, drive, delay, min_drive)
    # A rule may well return one tensor twice, an op must not.
    return a, c.clone(), f.clone(), g


def cross_entropy(
    z: Tensor, target: Tensor, weight: Tensor | None, among: int, beta: float, smoothing: float, horizon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Cross-entropy of softmax(−β z), (batch, classes), with label smoothing.

    A silent class counts as if it spiked at the horizon, and its error is 0. ``target`` is (batch,) int64.

    Returns:
        The sum of the rows' losses times their ``weight`` over ``among``, its gradient by z, and the rows' own losses.
    """
    checks.classes(target, z.shape[1])
    silent = z.isinf()
    log_p = torch.log_softmax(-beta * z.masked_fill(silent, horizon), -1)
    wanted = torch.full_like(z, smoothing / max(z.shape[1], 1))
    wanted.scatter_add_(1, target[:, None], torch.full_like(z[:, :1], 1 - smoothing))
    rows, error = -(wanted * log_p).sum(1), (beta * (wanted - log_p.exp())).masked_fill(silent, 0)
    return reduced(rows, error, weight, among)


def reduced(rows: Tensor, error: Tensor, weight: Tensor | None, among: int) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`cross_entropy` returns, of the rows' own losses and their gradients."""
    if weight is None:
        return rows.sum() / among, error / among, rows
    return (rows * weight).sum() / among, error * (weight / among)[:, None], rows


def _members(weight: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Weights as (members, in, out), and the member that each row of the events belongs to."""
    flat = weight.reshape(math.prod(weight.shape[:-2]), *weight.shape[-2:])
    rows = offsets.numel() - 1
    member = torch.arange(flat.shape[0], device=weight.device).repeat_interleave(rows // max(flat.shape[0], 1))
    return flat, member
