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
    RewardLoss,
    ShiftLinear,
    SoftmaxTargetError,
    first_to_fire,
    spike_time_scores,
)

inf = math.inf
LOSSES = [
    pytest.param(FirstSpikeCrossEntropy(beta=2.0, label_smoothing=0.1), id="cross-entropy"),
    pytest.param(FirstSpikeCrossEntropy(beta=2.0, label_smoothing=0.1, readout="t"), id="cross-entropy in t"),
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


# --------------------------------------------------------------------------------------------- read-out in t


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_in_t_is_that_of_minus_beta_log_z(reduction: str, smoothing: float) -> None:
    z, target = times(), torch.tensor([0, 1, 2, 3, 0, 1])
    loss = FirstSpikeCrossEntropy(3.0, smoothing, reduction=reduction, readout="t")
    value, error = value_and_error(loss, z, target)
    leaf = z.clone().requires_grad_()
    expected = F.cross_entropy(-3.0 * leaf.log(), target, label_smoothing=smoothing, reduction=reduction)
    expected.backward()
    torch.testing.assert_close(value, expected.item())
    torch.testing.assert_close(error, leaf.grad)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), z.clone().requires_grad_())


def test_in_t_neither_loss_nor_scores_depend_on_the_unit_of_z() -> None:
    z, target = times(), torch.tensor([0, 1, 2, 3, 0, 1])
    z[1, 2] = inf
    for c in (0.1, 7.0):
        torch.testing.assert_close(spike_time_scores(c * z, 5.0, "t"), spike_time_scores(z, 5.0, "t"))
        heard = z[2:]
        loss = FirstSpikeCrossEntropy(5.0, readout="t")
        torch.testing.assert_close(loss(c * heard, target[2:]), loss(heard, target[2:]))


def test_in_t_a_silent_class_counts_as_if_it_spiked_at_the_horizon() -> None:
    row, target = torch.tensor([[inf, 2.0, 3.0]], dtype=torch.float64), torch.tensor([1])
    loss = FirstSpikeCrossEntropy(2.0, horizon=50.0, readout="t")
    value, error = value_and_error(loss, row, target)
    heard, expected = value_and_error(loss, row.clamp_max(50.0), target)
    assert value == pytest.approx(heard)
    assert error[0, 0] == 0
    assert error[0, 1:].tolist() == pytest.approx(expected[0, 1:].tolist())


def test_scores_in_t() -> None:
    z = torch.tensor([[1.0, 2.0, 4.0], [1.0, inf, 2.0], [inf, inf, inf]], dtype=torch.float64)
    scores = spike_time_scores(z, 2.0, "t")
    expected = [[16 / 21, 4 / 21, 1 / 21], [0.8, 0.0, 0.2], [1 / 3] * 3]
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64))


def test_reward_in_t_is_that_in_z_of_log_z() -> None:
    """With the same guesses; of what is later than 1, since log z must be a z itself."""
    z, target = times() * math.e, torch.tensor([0, 1, 2, 3, 0, 1])
    z[0, 1] = z[1, 1] = inf
    own, other = (
        RewardLoss(0.5, horizon, generator=torch.Generator().manual_seed(3), readout=readout)
        for horizon, readout in ((math.exp(9), "t"), (9.0, "z"))
    )
    value, error = value_and_error(own, z, target)
    expected, by_log = value_and_error(other, z.log(), target)
    assert value == pytest.approx(expected)
    torch.testing.assert_close(error, torch.where(z.isinf(), 0.0, by_log / z))
    assert error.isfinite().all()


@pytest.mark.parametrize("make", [FirstSpikeCrossEntropy, RewardLoss])
def test_unknown_readouts(make: type[nn.Module]) -> None:
    with pytest.raises(InputError, match=r"unknown readout 'x'\..* Valid: t, z"):
        make(readout="x")
    with pytest.raises(InputError, match="unknown readout 'x'"):
        spike_time_scores(times(), 1.0, "x")
