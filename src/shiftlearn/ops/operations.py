"""The public operations, which take :class:`~shiftlearn.SpikeEvents`; the torch ops are in :mod:`.signatures`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from . import rules
from .autograd import CrossEntropy, Fire, direct
from .checks import FLOATS, widened
from .dispatch import cpu
from .events import SpikeEvents
from .signatures import Events

__all__ = [
    "cross_entropy",
    "feedback",
    "fire",
    "first_spike",
    "plasticity",
    "sort_levels",
    "sort_spikes",
    "sort_windows",
    "sum_windows",
]

_ops = torch.ops.shiftlearn


def sort_spikes(z: Tensor) -> SpikeEvents:
    """Dense spike times to events.

    Args:
        z: (batch, in) of z = exp(t / tau) > 0, inf for no spike; leading dimensions are flattened into rows.

    Raises:
        InputError: ``z`` has fewer than two dimensions, another dtype than float32 or float64, or (on the CPU)
            holds NaN or a value that is not positive.
    """
    z = widened(z)
    _require_dense(z)
    return SpikeEvents.from_dense(z)


def sort_levels(levels: Tensor, of_level: Tensor) -> SpikeEvents:
    """Quantised inputs to events, by counting: the same spikes as ``sort_spikes(of_level[levels])``, sooner.

    Args:
        levels: (batch, in) uint8.
        of_level: (256,) float32 or float64, the z at which an input of each level spikes; inf for never.

    Raises:
        InputError: another shape, dtype or device, or (on the CPU) a z that is NaN or not positive.
    """
    events: Events = _ops.sort_levels(levels, of_level)
    return SpikeEvents._of(*events, levels.shape[1])


def sort_windows(images: Tensor, size: int) -> SpikeEvents:
    """The events of all square windows of images: each image is sorted once, not each window.

    Args:
        images: (batch, channels, rows, columns) of z, inf for no spike.
        size: side of the windows, which lie at every pixel, in the order of image, row and column. A window has
            channels · size² inputs, in the order of torch.nn.Unfold: channel, row, column.

    Raises:
        InputError: another shape or dtype, a window that does not fit, or (on the CPU) a z that is NaN or not positive.
    """
    events: Events = _ops.sort_windows(images.detach(), size)
    return SpikeEvents._of(*events, images.shape[1] * size**2)


def sum_windows(values: Tensor, shape: Sequence[int], size: int) -> Tensor:
    """Every pixel's sum over the windows that it lies in; what an image makes of its windows' gradients.

    Args:
        values: (windows, inputs), in the order of :func:`sort_windows`.
        shape: (batch, channels, rows, columns), of the images and of the result.
        size: side of the windows.

    Raises:
        InputError: these do not belong together, or another dtype than float32 or float64.
    """
    result: Tensor = _ops.sum_windows(values, shape, size)
    return result


def first_spike(events: SpikeEvents, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """First physical threshold crossing of every neuron, before the axonal delay.

    Args:
        events: the input spikes.
        shift: (in, out) synaptic weights (the paper's e_ts). Leading dimensions are members of an ensemble: the rows of
            the events are then theirs in order, the same number to each.

    Returns:
        Three tensors of shape (batch, out).

        * u, the crossing Σ_C w z / (Σ_C w − 1); inf for a silent neuron.
        * count, int32: how many of the row's events lie in the causal set C, one more when the channels at rest do; 0
          for a silent neuron. Inputs that are tied exactly are in or out together.
        * drive, Σ_C w − 1, the slope dV/d(t/τ) at the crossing; 0 for a silent neuron.
    """
    shift = widened(shift)
    _require_weight("shift", shift, events)
    u, count, drive = _ops.first_spike(*events.tensors, shift)
    return u, count, drive


def plasticity(events: SpikeEvents, count: Tensor, a: Tensor, c: Tensor) -> Tensor:
    """ΔW_ij = Σ_b [i ∈ C_bj] (a_bj z_bi − c_bj), shape (in, out); count, a and c are (batch, out).

    ``count`` is what :func:`first_spike` gives: tied inputs are in C together, or none of them is.
    """
    a, c = widened(a), widened(c)
    result: Tensor = _ops.plasticity(*events.tensors, count, a, c, events.num_channels)
    return result


def feedback(events: SpikeEvents, count: Tensor, f: Tensor, weight: Tensor) -> Tensor:
    """What every input receives, Σ_j f_bj w_ij [i ∈ C_bj], shape (batch, in); count and f are (batch, out)."""
    f, weight = widened(f), widened(weight)
    _require_weight("weight", weight, events)
    result: Tensor = _ops.feedback(*events.tensors, count, f, weight)
    return result


def fire(
    inputs: Tensor | SpikeEvents,
    shift: Tensor,
    delay: Tensor,
    feedback: Tensor | None = None,
    rule: str = "normalized",
    min_drive: float = 0.0,
    dense: Tensor | None = None,
) -> Tensor:
    """Spike times of a layer, with a local rule as its backward pass.

    Args:
        inputs: (..., batch, in) of z, inf for no spike, or SpikeEvents (to which no gradient flows).
        shift: (..., in, out) synaptic weights (the paper's e_ts); the leading dimensions of all arguments are the same.
        delay: (..., out) axonal delays as factors d > 0 on z (the paper's passing times e_tp).
        feedback: (..., in, out) matrix that carries the error back; None: ``shift`` itself.
        rule: a name from :func:`shiftlearn.ops.rules.names`. The gradients are the rule's weight updates.
        min_drive: floor of the drive where the rule divides by it, >= 0.
        dense: beside SpikeEvents: a (..., batch, in) tensor that receives the input gradient; its values are ignored.

    Returns:
        z_out: (..., batch, out) = u · d, inf for a silent neuron.

    Raises:
        InputError: shapes, dtypes or devices do not agree, an unknown rule, a delay or z that is not positive.
    """
    function = rules.get(rule)
    if not min_drive >= 0:
        raise InputError(f"min_drive must be 0 or more, got {min_drive}")
    if shift.ndim < 2:
        raise InputError(f"shift must have shape (in, out), got {tuple(shift.shape)}")
    shift, delay, feedback = widened(shift), widened(delay), None if feedback is None else widened(feedback)
    *lead, wanted, outputs = shift.shape
    spikes: tuple[Tensor | None, ...]
    if isinstance(inputs, SpikeEvents):
        _require_weight("shift", shift, inputs)
        spikes = inputs.tensors
        received = (*lead, inputs.batch // max(math.prod(lead), 1), wanted)
        if dense is not None and dense.shape != received:
            raise InputError(f"dense must have shape {received}, as the events, got {tuple(dense.shape)}")
    else:
        if dense is not None:
            raise InputError("dense must be None where inputs are a tensor, which then receives the gradient itself")
        dense, spikes = widened(inputs), (None, None, None, None)
        _require_dense(dense)
        if dense.shape[-1] != wanted or dense.shape[:-2] != shift.shape[:-2]:
            expected = ", ".join(map(str, (*lead, "batch", wanted)))
            raise InputError(f"z must have shape ({expected}), got {tuple(dense.shape)}")
        _require_like("shift", shift, dense)
    if delay.shape != (*lead, outputs):
        raise InputError(
            f"delay must have one entry per output of shift {tuple(shift.shape)}, got {tuple(delay.shape)}"
        )
    _require_like("delay", delay, shift)
    if feedback is not None:
        if feedback.shape != shift.shape:
            raise InputError(
                f"feedback must have the shape of shift, {tuple(shift.shape)}, got {tuple(feedback.shape)}"
            )
        _require_like("feedback", feedback, shift)
    settings = shift, delay, feedback, rule, min_drive
    z_out: Tensor
    if direct(dense, *settings[:3], *spikes) and function in cpu.RULES and shift.numel():
        if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (dense, shift, delay)):
            z_out = Fire.apply(True, dense, *spikes, *settings)  # type: ignore[no-untyped-call]
        else:
            z_out, _ = cpu.forward(dense, None if spikes[0] is None else spikes, shift, delay, keep=False)
    else:
        if dense is not None and spikes[0] is None:
            spikes = _ops.sort_spikes(dense.detach())
        z_out = _ops.fire(dense, *spikes, *settings)[0]
    return z_out


def cross_entropy(
    z: Tensor, target: Tensor, weight: Tensor | None, among: int, beta: float, smoothing: float, horizon: float
) -> Tensor:
    """Cross-entropy of softmax(−β z) with label smoothing, summed over the rows and divided by ``among``.

    Args:
        z: (batch, classes) spike times; a silent class (inf) counts as if it spiked at ``horizon``, and gets no error.
        target: (batch,) int64, the right classes.
        weight: (batch,), the rows' weights, or None: 1 each.
        among: 1 for their sum, the number of rows for their mean.
        beta: inverse temperature.
        smoothing: share of the target spread evenly over all classes.
        horizon: a z.

    Raises:
        InputError: shapes or dtypes do not agree, or a class that does not exist.
    """
    given = z, target, weight, among, beta, smoothing, horizon
    loss: Tensor = (CrossEntropy.apply(True, *given) if direct(z, target, weight) else _ops.cross_entropy(*given))[0]  # type: ignore[no-untyped-call]
    return loss


def _require_dense(z: Tensor) -> None:
    if z.ndim < 2:
        raise InputError(f"z must have shape (batch, in), got {tuple(z.shape)}")
    if z.dtype not in FLOATS:
        raise InputError(f"z must be float32 or float64, got {z.dtype}")


def _require_like(name: str, x: Tensor, other: Tensor) -> None:
    if x.dtype != other.dtype or x.device != other.device:
        raise InputError(f"{name} is {x.dtype} on {x.device}, but it meets {other.dtype} on {other.device}")


def _require_weight(name: str, weight: Tensor, events: SpikeEvents) -> None:
    """What the op cannot know, which gets no number of channels."""
    if weight.ndim < 2 or weight.shape[-2] != events.num_channels:
        raise InputError(f"{name} must have shape ({events.num_channels}, out), got {tuple(weight.shape)}")
    _require_like(name, weight, events.z)
