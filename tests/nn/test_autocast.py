"""Under autocast layers and losses compute in float32, whatever half precision the modules before them pass on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from shiftlearn import SpikeEvents, ops
from shiftlearn.errors import InputError
from shiftlearn.nn import (
    DirectFeedback,
    FirstSpikeCrossEntropy,
    RewardLoss,
    ShiftConv2d,
    ShiftLinear,
    SoftmaxTargetError,
)

TARGET = torch.tensor([0, 1, 1, 0, 1])
NETWORKS = {
    "linear": lambda: ShiftLinear(4, 2),
    "events": lambda: ShiftLinear(4, 2),
    "convolution": lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 2)), ShiftConv2d(1, 2, 2), nn.Flatten()),
    "direct": lambda: DirectFeedback(ShiftLinear(4, 3, feedback="none"), ShiftLinear(3, 2, feedback="none")),
}


def halves() -> Tensor:
    return torch.exp(torch.rand(5, 4, generator=torch.Generator().manual_seed(0))).bfloat16()


@pytest.mark.parametrize("kind", NETWORKS)
def test_layers_compute_in_float32(kind: str) -> None:
    """The backward pass too, inside of the context."""
    torch.manual_seed(0)
    network, grads = NETWORKS[kind](), []
    for cast in (True, False):
        z = (halves() if cast else halves().float()).requires_grad_()
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            out = network(SpikeEvents.from_dense(z) if kind == "events" else z)
            FirstSpikeCrossEntropy(2.0)(out, TARGET).backward()
        assert out.dtype == torch.float32
        grads.append([p.grad.clone() for p in network.parameters()])
        received = None if z.grad is None else z.grad.bfloat16()
        grads[-1] += [] if received is None else [received]
    assert (received is None) == (kind in ("events", "direct"))
    assert all(x.abs().max() > 0 for x in grads[0])
    for x, y in zip(*grads, strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize(
    "loss", [FirstSpikeCrossEntropy(), FirstSpikeCrossEntropy(ordinal=1.0), SoftmaxTargetError(), RewardLoss()]
)
def test_losses_compute_in_float32(loss: nn.Module) -> None:
    for weight in (None, torch.ones(5), torch.ones(5).bfloat16()):
        values = []
        for cast in (True, False):
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=cast):
                z = halves() if cast else halves().float()
                values.append(loss(z, TARGET, weight if cast or weight is None else weight.float()))
        assert values[0].dtype == torch.float32
        torch.testing.assert_close(*values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_elsewhere(dtype: torch.dtype) -> None:
    z = halves().to(dtype)
    for run in (ShiftLinear(4, 2), ops.sort_spikes, lambda z: FirstSpikeCrossEntropy()(z, TARGET)):
        with pytest.raises(InputError, match=f"z must be float32 or float64, got {dtype}"):
            run(z)
    with pytest.raises(InputError, match=f"shift is {dtype} on cpu, but it meets torch.float32"):
        ShiftLinear(4, 2).to(dtype)(z.float())


def test_float64_stays() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert ShiftLinear(4, 2, dtype=torch.float64)(halves().double()).dtype == torch.float64
