"""Read-outs and losses: their values, what flows back, and silence in every combination."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftlearn.errors import InputError
from shiftlearn.nn import (
    FirstSpikeCrossEntropy,
    ShiftLinear,
    SoftmaxTargetError,
    first_to_fire,
    spike_time_scores,
)

inf = math.inf
LOSSES = [
    pytest.param(FirstSpikeCrossEntropy(beta=2.0, label_smoothing=0.1), id="cross-entropy"),
    pytest.param(SoftmaxTargetError(), id="published"),
]


def times(batch: int = 6, classes: int = 4) -> Tensor:
    return torch.exp(2 * torch.rand(batch, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))


def value_and_error(loss: nn.Module, z: Tensor, target: Tensor) -> tuple[float, Tensor]:
    z = z.clone().requires_grad_()
    value = loss(z, target)
    assert value.ndim == 0
    value.backward()
    return value.item(), z.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "z",
    [[inf, 2.0, 3.0], [1.0, inf, 3.0], [1.0, inf, inf], [inf, 2.0, inf], [inf, inf, inf], [inf], [2.0]],
    ids=str,
)
def test_silence_is_finite_and_gets_no_error(loss: nn.Module, dtype: torch.dtype, z: list[float]) -> None:
    """The right class is 0: it, a wrong one, all wrong ones or all are silent; one class alone."""
    row = torch.tensor([z], dtype=dtype)
    value, error = value_and_error(loss, row, torch.tensor([0]))
    assert math.isfinite(value)
    assert error.isfinite().all()
    assert (error[row.isinf()] == 0).all()
    if len(z) > 1 and not all(map(math.isinf, z)):
        assert (error[row.isfinite()] != 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_sign_of_the_error(loss: nn.Module) -> None:
    """What the optimizer subtracts: the right class is to come earlier, the wrong ones later."""
    _, error = value_and_error(loss, torch.tensor([[1.5, 1.5, 1.5]]), torch.tensor([1]))
    assert error[0, 1] > 0
    assert error[0, 0] == error[0, 2] < 0


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs(reduction: str, smoothing: float) -> None:
    z, target = times(), torch.tensor([0, 1, 2, 3, 0, 1], dtype=torch.int32)
    loss = FirstSpikeCrossEntropy(beta=3.0, label_smoothing=smoothing, reduction=reduction)
    value, error = value_and_error(loss, z, target)
    log_p = F.log_softmax(-3.0 * z, dim=1)
    wanted = F.one_hot(target.long(), 4) * (1 - smoothing) + smoothing / 4
    per_row = -(wanted * log_p).sum(1)
    assert value == pytest.approx(per_row.mean().item() if reduction == "mean" else per_row.sum().item())
    expected = -3.0 * (log_p.exp() - wanted) / (6 if reduction == "mean" else 1)
    torch.testing.assert_close(error, expected)
    by_torch = F.cross_entropy(-3.0 * z, target.long(), label_smoothing=smoothing, reduction=reduction)
    assert value == pytest.approx(by_torch.item())


def test_the_horizon_stands_for_silence() -> None:
    target = torch.tensor([0, 0])
    z = torch.tensor([[1.0, inf], [inf, 2.0]])
    for make in (FirstSpikeCrossEntropy, SoftmaxTargetError):
        loss = make(horizon=5.0, reduction="sum")
        assert loss(z, target).item() == pytest.approx(loss(z.clamp(max=5.0), target).item())
        assert loss(z, target).item() != pytest.approx(make(horizon=3.0, reduction="sum")(z, target).item())


@pytest.mark.parametrize("make", [FirstSpikeCrossEntropy, SoftmaxTargetError])
def test_the_horizon_stands_for_nothing_else(make: type[nn.Module]) -> None:
    """A spike later than the horizon keeps its own time and gets an error."""
    late = torch.tensor([[6.0, 5.5]])
    value, error = value_and_error(make(horizon=5.0), late, torch.tensor([0]))
    assert value == pytest.approx(make()(late, torch.tensor([0])).item())
    assert (error != 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_published_error(reduction: str) -> None:
    z, target = times(), torch.tensor([0, 1, 2, 3, 3, 3])
    scale = 1 / 6 if reduction == "mean" else 1.0
    value, error = value_and_error(SoftmaxTargetError(reduction), z, target)
    wanted = torch.tensor([[math.exp(0.01 if j == t else 0.99) for j in range(4)] for t in target], dtype=z.dtype)
    difference = torch.softmax(z, 1) - torch.softmax(wanted, 1)
    assert value == pytest.approx(scale * difference.square().sum().item())
    torch.testing.assert_close(error, scale * difference)

    free = z.clone().requires_grad_()
    (scale * (torch.softmax(free, 1) - torch.softmax(wanted, 1)).square().sum()).backward()
    assert (free.grad - error).abs().max() > 0.1 * error.abs().max()  # it is not the gradient of the value


def test_the_published_loss_defaults_to_the_sum() -> None:
    z, target = times(), torch.tensor([0, 1, 2, 3, 3, 3])
    assert torch.equal(SoftmaxTargetError()(z, target), SoftmaxTargetError("sum")(z, target))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_error_scales_with_what_follows_the_loss(loss: nn.Module) -> None:
    z, target = times(), torch.tensor([0, 1, 2, 3, 0, 1])
    _, error = value_and_error(loss, z, target)
    free = z.clone().requires_grad_()
    (3 * loss(free, target)).backward()
    torch.testing.assert_close(free.grad, 3 * error)


@pytest.mark.parametrize("loss", [FirstSpikeCrossEntropy(reduction="sum"), SoftmaxTargetError()])
def test_no_samples_no_loss(loss: nn.Module) -> None:
    value, error = value_and_error(loss, torch.empty(0, 3), torch.empty(0, dtype=torch.int64))
    assert value == 0
    assert error.shape == (0, 3)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_layer_with_silent_classes_learns_finite_numbers(loss: nn.Module) -> None:
    layer = ShiftLinear(3, 3)
    with torch.no_grad():
        layer.shift.copy_(torch.tensor([[2.0, 0.1, 1.5], [1.0, 0.1, 1.5], [0.5, 0.1, 0.25]]))
    z = torch.tensor([[1.0, 2.0, inf], [inf, inf, inf]])
    loss(layer(z), torch.tensor([1, 0])).backward()
    assert layer.shift.grad.isfinite().all()
    assert layer.delay.grad.isfinite().all()
    assert (layer.shift.grad[:, 1] == 0).all()
    assert (layer.shift.grad[:, 0] != 0).any()


def test_first_to_fire() -> None:
    z = torch.tensor([[3.0, 1.0, 2.0], [2.0, 1.0, 1.0], [inf, inf, 7.0], [inf, inf, inf], [1.0, inf, 1.0]])
    assert first_to_fire(z).tolist() == [1, 1, 2, 0, 0]
    assert first_to_fire(z[:0]).shape == (0,)


def test_first_to_fire_breaks_ties_by_index_among_many() -> None:
    z = torch.full((5, 300), 2.0)
    z[:, 0] = 3.0
    assert first_to_fire(z).tolist() == [1] * 5
    assert first_to_fire(torch.full((5, 300), inf)).tolist() == [0] * 5


@pytest.mark.parametrize("beta", [0.5, 1.0, 8.0])
def test_scores(beta: float) -> None:
    z = times()
    z[0, 1] = z[1, :3] = inf
    z[2] = inf
    scores = spike_time_scores(z, beta)
    torch.testing.assert_close(scores.sum(1), torch.ones(6, dtype=torch.float64))
    assert scores[0, 1] == 0
    assert scores[1].tolist() == [0, 0, 0, 1]
    assert scores[2].tolist() == [0.25] * 4
    heard = [0, 1, 3, 4, 5]
    assert torch.equal(scores.argmax(1)[heard], first_to_fire(z)[heard])
    torch.testing.assert_close((scores[3, 0] / scores[3, 1]).log(), beta * (z[3, 1] - z[3, 0]))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_an_ordinal_target_is_a_normal_distribution_over_classes(reduction: str) -> None:
    z, target = times(), torch.tensor([0, 1, 2, 3, 1, 2])
    weight = torch.rand(6, dtype=torch.float64)
    loss = FirstSpikeCrossEntropy(beta=2.0, label_smoothing=0.1, ordinal=0.7, reduction=reduction)
    z.requires_grad_()
    rows = []
    for row, right in zip(z, target.tolist(), strict=True):
        bell = torch.tensor([math.exp(-((k - right) ** 2) / (2 * 0.7**2)) for k in range(4)], dtype=torch.float64)
        rows.append(F.cross_entropy(-2 * row, 0.9 * bell / bell.sum() + 0.1 / 4))
    expected = (torch.stack(rows) * weight).sum() / (6 if reduction == "mean" else 1)
    (wanted,) = torch.autograd.grad(expected, z)
    value = loss(z, target, weight)
    (found,) = torch.autograd.grad(value, z)
    assert value.item() == pytest.approx(expected.item())
    torch.testing.assert_close(found, wanted)


def test_a_narrow_ordinal_target_is_the_plain_one_and_silence_gets_no_error() -> None:
    z, target = times(), torch.tensor([0, 1, 2, 3, 1, 2])
    z[0, 0] = z[1, 2] = inf
    z[2] = inf
    narrow = value_and_error(FirstSpikeCrossEntropy(ordinal=0.01), z, target)
    plain = value_and_error(FirstSpikeCrossEntropy(), z, target)
    assert narrow[0] == pytest.approx(plain[0])
    torch.testing.assert_close(narrow[1], plain[1])
    assert (narrow[1][z.isinf()] == 0).all()
    with pytest.raises(InputError, match="ordinal must be 0 or more, got -1"):
        FirstSpikeCrossEntropy(ordinal=-1)
    with pytest.raises(InputError, match="target"):
        FirstSpikeCrossEntropy(ordinal=1.0)(z, target + 2)
