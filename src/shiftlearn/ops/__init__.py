"""The operations: sort, first spike, plasticity, feedback, and ``fire``, the one differentiable op.

These faces take :class:`~shiftlearn.SpikeEvents` and check shapes; the torch ops that they call are in
:mod:`.registry`. Only ``fire`` has a gradient, and no second one: a backward pass through anything else raises
NotImplementedError. Under torch.autocast they take half precision too and compute in float32.

May import: errors, files, registry.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from . import eager, rules
from . import registry as registry
from .checks import widened
from .events import SpikeEvents

__all__ = [
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
    _check_dense(z)
    times, channel, offsets, rest = _ops.sort_spikes(z.detach())
    return SpikeEvents._of(times, channel, offsets, z.shape[-1], rest)


def sort_levels(levels: Tensor, of_level: Tensor) -> SpikeEvents:
    """Quantised inputs to events, by counting: the same spikes as ``sort_spikes(of_level[levels])``, sooner.

    Args:
        levels: (batch, in) uint8.
        of_level: (256,) float32 or float64, the z at which an input of each level spikes; inf for never.

    Raises:
        InputError: another shape, dtype or device, or (on the CPU) a z that is NaN or not positive.
    """
    if levels.ndim != 2 or levels.dtype != torch.uint8:
        raise InputError(f"levels must be (batch, in) of uint8, got {tuple(levels.shape)} of {levels.dtype}")
    if of_level.shape != (256,) or of_level.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"of_level must be (256,) of float32 or float64, got {tuple(of_level.shape)} of {of_level.dtype}"
        )
    if levels.device != of_level.device:
        raise InputError(f"levels are on {levels.device}, but of_level is on {of_level.device}")
    if levels.device.type == "cuda":
        times, channel, offsets, rest = registry.sort_levels_on_gpu(levels, of_level)
        return SpikeEvents._of(times, channel, offsets, levels.shape[1], rest)
    if registry.cpu is None or levels.device.type != "cpu":
        return sort_spikes(of_level[levels.long()])
    times, channel, offsets, rest = registry.cpu.sort_levels(levels, of_level)
    return SpikeEvents._of(times, channel, offsets, levels.shape[1], rest)


def sort_windows(images: Tensor, size: int) -> SpikeEvents:
    """The events of all square windows of images: each image is sorted once, not each window.

    Args:
        images: (batch, channels, rows, columns) of z, inf for no spike.
        size: side of the windows, which lie at every pixel, in the order of image, row and column. A window has
            channels · size² inputs, in the order of torch.nn.Unfold: channel, row, column.

    Raises:
        InputError: another shape or dtype, a window that does not fit, or (on the CPU) a z that is NaN or not positive.
    """
    times, channel, offsets, rest = _ops.sort_windows(images.detach(), size)
    return SpikeEvents._of(times, channel, offsets, images.shape[1] * size**2, rest)


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
    """First physical threshold crossing of every neuron, before the passing time.

    Args:
        events: the input spikes.
        shift: (in, out) synaptic weights. Leading dimensions are members of an ensemble: the rows of the events
            are then theirs in order, the same number to each.

    Returns:
        Three tensors of shape (batch, out).

        * u, the crossing Σ_C w z / (Σ_C w − 1); inf for a silent neuron.
        * count, int32: how many of the row's events lie in the causal set C, one more when the channels at rest do; 0
          for a silent neuron. Inputs that are tied exactly are in or out together.
        * drive, Σ_C w − 1, the slope dV/d(t/τ) at the crossing; 0 for a silent neuron.
    """
    shift = widened(shift)
    _check_weight("shift", shift, events)
    u, count, drive = _ops.first_spike(*_tensors(events), shift)
    return u, count, drive


def plasticity(events: SpikeEvents, count: Tensor, a: Tensor, c: Tensor) -> Tensor:
    """ΔW_ij = Σ_b [i ∈ C_bj] (a_bj z_bi − c_bj), shape (in, out); count, a and c are (batch, out).

    ``count`` is what :func:`first_spike` gives: tied inputs are in C together, or none of them is.
    """
    a, c = widened(a), widened(c)
    _check_counts(events, count, a=a, c=c)
    result: Tensor = _ops.plasticity(*_tensors(events), count, a, c, events.num_channels)
    return result


def feedback(events: SpikeEvents, count: Tensor, f: Tensor, weight: Tensor) -> Tensor:
    """What every input receives, Σ_j f_bj w_ij [i ∈ C_bj], shape (batch, in); count and f are (batch, out)."""
    f, weight = widened(f), widened(weight)
    _check_weight("weight", weight, events)
    _check_counts(events, count, f=f)
    if f.shape[-1] != weight.shape[-1] or f.shape[:-2] != weight.shape[:-2]:
        raise InputError(f"f {tuple(f.shape)} and weight {tuple(weight.shape)} must agree in their outputs")
    result: Tensor = _ops.feedback(*_tensors(events), count, f, weight)
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
        shift: (..., in, out) weights, the paper's e_ts; the leading dimensions of all arguments are the same.
        delay: (..., out) passing times as factors d > 0 on z, the paper's e_tp.
        feedback: (..., in, out) matrix that carries the error back; None: ``shift`` itself.
        rule: a name from :func:`shiftlearn.ops.rules.names`. What arrives in the gradients is the rule's adjustments.
        min_drive: floor of the drive where the rule divides by it, >= 0.
        dense: beside SpikeEvents: a (..., batch, in) tensor whose gradient is to be what the inputs receive. Its values
            are not looked at.

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
    if isinstance(inputs, SpikeEvents):
        _check_weight("shift", shift, inputs)
        events: tuple[Tensor, Tensor, Tensor, Tensor] | None = _tensors(inputs)
        received = (*shift.shape[:-2], inputs.batch // max(shift.shape[:-2].numel(), 1), inputs.num_channels)
        if dense is not None and dense.shape != received:
            raise InputError(f"dense must have shape {received}, as the events, got {tuple(dense.shape)}")
    else:
        if dense is not None:
            raise InputError("dense must be None where inputs are a tensor, which then receives the gradient itself")
        inputs = widened(inputs)
        _check_dense(inputs)
        if inputs.shape[-1] != shift.shape[-2] or inputs.shape[:-2] != shift.shape[:-2]:
            *lead, wanted, _ = shift.shape
            expected = ", ".join(map(str, (*lead, "batch", wanted)))
            raise InputError(f"z must have shape ({expected}), got {tuple(inputs.shape)}")
        _check_like("shift", shift, inputs)
        dense, events = inputs, None
    if delay.shape != (*shift.shape[:-2], shift.shape[-1]):
        raise InputError(
            f"delay must have one entry per output of shift {tuple(shift.shape)}, got {tuple(delay.shape)}"
        )
    _check_like("delay", delay, shift)
    if feedback is not None:
        if feedback.shape != shift.shape:
            raise InputError(
                f"feedback must have the shape of shift, {tuple(shift.shape)}, got {tuple(feedback.shape)}"
            )
        _check_like("feedback", feedback, shift)
    settings = shift, delay, feedback, rule, min_drive
    if eager.serves(dense, *settings[:3], *(events or ())) and function in registry.cpu.RULES and shift.numel():
        return eager.fire(dense, events, *settings)
    if events is None:
        assert dense is not None
        events = _ops.sort_spikes(dense.detach())
    z_out: Tensor = _ops.fire(dense, *events, *settings)[0]
    return z_out


def _tensors(events: SpikeEvents) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return events.z, events.channel, events.offsets, events.rest


def _check_dense(z: Tensor) -> None:
    if z.ndim < 2:
        raise InputError(f"z must have shape (batch, in), got {tuple(z.shape)}")
    if z.dtype not in (torch.float32, torch.float64):
        raise InputError(f"z must be float32 or float64, got {z.dtype}")


def _check_like(name: str, x: Tensor, other: Tensor) -> None:
    if x.dtype != other.dtype or x.device != other.device:
        raise InputError(f"{name} is {x.dtype} on {x.device}, but it meets {other.dtype} on {other.device}")


def _check_weight(name: str, weight: Tensor, events: SpikeEvents) -> None:
    if weight.ndim < 2 or weight.shape[-2] != events.num_channels:
        raise InputError(f"{name} must have shape ({events.num_channels}, out), got {tuple(weight.shape)}")
    members = weight.shape[:-2].numel() if weight.ndim > 2 else 1
    if events.batch % max(members, 1):
        raise InputError(f"the {events.batch} rows of the events do not divide among {members} members of {name}")
    _check_like(name, weight, events.z)


def _check_counts(events: SpikeEvents, count: Tensor, **coefficients: Tensor) -> None:
    if count.dtype != torch.int32:
        raise InputError(f"count must be int32, got {count.dtype}")
    if count.ndim < 2 or count.shape[:-1].numel() != events.batch:
        raise InputError(f"count must have shape ({events.batch}, out), got {tuple(count.shape)}")
    for name, x in coefficients.items():
        if x.shape != count.shape:
            raise InputError(f"{name} must have the shape of count, {tuple(count.shape)}, got {tuple(x.shape)}")
        _check_like(name, x, events.z)
