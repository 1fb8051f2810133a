"""Homeostasis and the projection of delays."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shiftlearn.errors import InputError
from shiftlearn.nn import Homeostasis, ShiftLinear, project_delays


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make() -> ShiftLinear:
    return ShiftLinear(6, 4, generator=seeded())


def test_homeostasis_adds_evenly_and_only_where_needed() -> None:
    layer = ShiftLinear(5, 3)
    with torch.no_grad():
        layer.shift.copy_(torch.rand(5, 3, generator=seeded()) - 0.5)
        layer.shift[:, 1] = torch.tensor([0.9, 0.7, -0.3, 0.1, 0.1])  # 1.5: strong
        layer.shift[:, 2] = 0
    before = layer.shift.detach().clone()
    Homeostasis(1.3)(layer)
    after = layer.shift.detach()
    assert torch.equal(after[:, 1], before[:, 1])
    torch.testing.assert_close(after.sum(0)[[0, 2]], torch.tensor([1.3, 1.3]))
    added = after - before
    torch.testing.assert_close(added[:, 0], added[:1, 0].expand(5))
    assert (added[:, 0] > 0.2).all()
    torch.testing.assert_close(after[:, 2], torch.full((5,), 0.26))

    Homeostasis(1.3)(layer)
    torch.testing.assert_close(layer.shift.detach(), after, rtol=0, atol=1e-6)
    assert torch.equal(layer.shift[:, 1], before[:, 1])


def test_homeostasis_with_a_target_for_each_layer() -> None:
    model = nn.Sequential(make(), ShiftLinear(4, 3), ShiftLinear(3, 2))
    with torch.no_grad():
        for layer in model:
            layer.shift.zero_()
    Homeostasis([1.5, 0.0, 3.0])(model)
    for layer, target in zip(model, (1.5, 0.0, 3.0), strict=True):
        torch.testing.assert_close(layer.shift.detach().sum(0), torch.full((layer.out_features,), target))
    with pytest.raises(InputError, match="target must be 0 or more for each of the 3 layers"):
        Homeostasis([1.5, 1.2])(model)


def test_homeostasis_in_every_third_call() -> None:
    layer = ShiftLinear(4, 2)
    homeostasis = Homeostasis(9.0, every=3)
    raised = []
    for _ in range(7):
        with torch.no_grad():
            layer.shift.zero_()
        homeostasis(layer)
        raised.append(bool(layer.shift.any()))
    assert raised == [False, False, True, False, False, True, False]
    with pytest.raises(InputError, match="every must be an integer of 1 or more, got 0"):
        Homeostasis(9.0, every=0)


def test_homeostasis_keeps_every_neuron_alive() -> None:
    model = nn.Sequential(make(), nn.Sequential(ShiftLinear(4, 3, generator=seeded(3))))
    with torch.no_grad():
        for layer in (model[0], model[1][0]):
            layer.shift -= 2
    times = torch.exp(torch.rand(5, 6, generator=seeded(7)))
    assert model(times).isinf().all()
    Homeostasis()(model)
    assert model(times).isfinite().all()
    for layer in (model[0], model[1][0]):
        torch.testing.assert_close(layer.shift.detach().sum(0), torch.full((layer.out_features,), 1.2))
        assert layer.shift.requires_grad
        assert layer.shift.grad_fn is None


def test_project_delays() -> None:
    model = nn.Sequential(make(), ShiftLinear(4, 2))
    with torch.no_grad():
        model[0].delay.copy_(torch.tensor([-1.0, 0.5, 1.0, 2.5]))
        model[1].delay.copy_(torch.tensor([0.999, 1.001]))
    shift = model[0].shift.detach().clone()
    project_delays(model)
    assert model[0].delay.tolist() == [1.0, 1.0, 1.0, 2.5]
    assert model[1].delay.tolist() == pytest.approx([1.0, 1.001])
    assert torch.equal(model[0].shift, shift)
    assert model[0].delay.requires_grad
