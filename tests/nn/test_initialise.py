"""Data-driven initialisation: what was asked for is there, at any depth, where uniform weights lose it."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from shiftlearn import ops, recipes
from shiftlearn.coding import latency
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.nn import DirectFeedback, ShiftLinear, causal_share, first_to_fire, initialise, sample_spread
from shiftlearn.training.step import Learner

inf = math.inf
SIZES = (60, 50, 50, 50, 50, 10)
pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def deep(dtype: torch.dtype = torch.float32, **options: object) -> nn.Sequential:
    sizes = pairwise(SIZES)
    return nn.Sequential(*(ShiftLinear(a, b, generator=seeded(), dtype=dtype, **options) for a, b in sizes))


def batch(dtype: torch.dtype = torch.float32, size: int = 100, seed: int = 1) -> Tensor:
    return torch.exp(2 * torch.rand(size, SIZES[0], generator=seeded(seed), dtype=dtype))


@torch.no_grad()
def measured(network: nn.Sequential, z: Tensor) -> list[tuple[float, float]]:
    """Share and spread of every layer; none of its neurons is silent."""
    found = []
    for layer in network:
        events = ops.sort_spikes(z)
        _, count, _ = ops.first_spike(events, layer.shift)
        z = layer(events)
        assert z.isfinite().all()
        found.append((causal_share(events, count).mean().item(), sample_spread(z).item()))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("share", "spread"), [(0.9, 0.2), (0.6, 0.1), (0.75, [0.2, 0.1, 0.1, 0.2, 0.05])])
def test_every_layer_has_the_share_and_the_spread(
    dtype: torch.dtype, share: float, spread: float | list[float]
) -> None:
    network = deep(dtype)
    initialise(network, batch(dtype), share, spread, seeded())
    wanted = [spread] * 5 if isinstance(spread, float) else spread
    for (own_share, own_spread), target in zip(measured(network, batch(dtype)), wanted, strict=True):
        assert own_share == pytest.approx(share, abs=0.03)
        assert own_spread == pytest.approx(target, rel=0.1)
    for (own_share, own_spread), target in zip(measured(network, batch(dtype, 500, seed=2)), wanted, strict=True):
        assert own_share == pytest.approx(share, abs=0.1)  # of samples that were not seen
        assert own_spread == pytest.approx(target, rel=0.4)


def test_uniform_weights_lose_the_spread() -> None:
    uniform, fitted = deep(), deep()
    initialise(fitted, batch(), 0.9, 0.2, seeded())
    assert measured(uniform, batch())[-1][1] < 0.002
    assert measured(fitted, batch())[-1][1] > 0.15


def test_shares_can_differ_by_layer() -> None:
    network = deep()
    initialise(network, batch(), [0.5, 0.9, 0.7, 0.9, 0.9], 0.2, seeded())
    assert [share for share, _ in measured(network, batch())] == pytest.approx([0.5, 0.9, 0.7, 0.9, 0.9], abs=0.03)


def test_it_follows_from_the_generator_alone() -> None:
    several = []
    for seed in (3, 3, 4):
        network = deep()
        torch.manual_seed(seed + len(several))  # the global one has no part in it
        initialise(network, batch(), generator=seeded(seed))
        several.append([layer.shift.detach() for layer in network])
    assert all(torch.equal(a, b) for a, b in zip(several[0], several[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(several[0], several[2], strict=True))


def test_events_are_inputs_too_and_the_rest_of_a_layer_stays() -> None:
    dense, events = deep(feedback="random"), deep(feedback="random")
    before = [layer.feedback_weight.clone() for layer in dense]
    initialise(dense, batch(), generator=seeded())
    initialise(events, ops.sort_spikes(batch()), generator=seeded())
    for a, b, matrix in zip(dense, events, before, strict=True):
        assert torch.equal(a.shift, b.shift)
        assert torch.equal(a.feedback_weight, matrix)
        assert torch.equal(a.delay, torch.ones_like(a.delay))
        assert (a.shift < 0).any()
        assert a.shift.requires_grad


def test_silent_inputs_are_no_inputs_of_a_share() -> None:
    z = batch()
    z[torch.rand(z.shape, generator=seeded(5)) < 0.3] = inf
    network = deep()
    initialise(network, z, 0.8, 0.2, seeded())
    assert [share for share, _ in measured(network, z)] == pytest.approx([0.8] * 5, abs=0.05)


def test_direct_feedback_can_be_initialised() -> None:
    layers = [ShiftLinear(a, b, feedback="none") for a, b in pairwise(SIZES)]
    network = DirectFeedback(*layers, generator=seeded())
    initialise(network, batch(), generator=seeded())
    assert measured(network, batch())[-1][1] == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"share": 0.0}, r"share must be one number between 0 and 1, or 5, one per layer, got 0.0"),
        ({"share": 1.0}, "share must be one number between 0 and 1"),
        ({"share": [0.9, 0.9]}, r"share must be one .* got \[0.9, 0.9\]"),
        ({"spread": 0.0}, "spread must be one positive number, or 5, one per layer, got 0.0"),
        ({"spread": inf}, "spread must be one positive number"),
        ({"spread": [0.2] * 4}, "spread must be one positive number"),
        ({"z": torch.ones(1, 60)}, "z must hold two samples or more"),
        (
            {"z": torch.ones(20, 60)},
            r"layer 1 cannot have share 0.9 and spread 0.2 with these inputs: it comes to 1 and",
        ),
        (
            {"network": nn.Sequential(nn.Linear(60, 10))},
            "network must consist of single ShiftLinear layers, got Linear",
        ),
        ({"network": nn.Sequential(ShiftLinear(60, 10, members=2))}, "single ShiftLinear layers, got ShiftLinear"),
    ],
)
def test_bad_input(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        initialise(**{"network": deep(), "z": batch(), "share": 0.9, "spread": 0.2} | arguments)


# ----------------------------------------------------------------------------------------- what is measured


def test_causal_share_by_hand() -> None:
    z = torch.tensor([[1.0, 2.0, 4.0, 4.0], [1.0, 2.0, 3.0, inf], [1.0, 2.0, inf, inf]])
    events = ops.sort_spikes(z)
    # The first neuron fires on the first input, the second needs three, the third never has enough.
    shift = torch.tensor([[3.0, 0.4, 0.1]] * 4)
    _, count, _ = ops.first_spike(events, shift)
    assert causal_share(events, count).tolist() == [[0.25, 1, 0], [pytest.approx(1 / 3), 1, 0], [0.5, 0, 0]]


def test_the_spread_leaves_out_what_all_neurons_or_all_samples_share() -> None:
    own = torch.tensor([[0.1, -0.1], [-0.1, 0.1]], dtype=torch.float64)
    t = own + torch.tensor([[0.0], [3.0]]) + torch.tensor([[0.0, 2.0]])
    assert sample_spread(t.exp()).item() == pytest.approx(0.1)
    silent = torch.cat([t.exp(), torch.full((2, 1), inf)], 1)
    assert sample_spread(silent).item() == pytest.approx(0.1)
    assert sample_spread(torch.full((2, 2), inf)).isnan()


# ------------------------------------------------------------------------------------------------- learning


def learned(init: str) -> float:
    """Share of 597 digits (scikit-learn's, 8 x 8) that five layers get right after four epochs of the other 1,200."""
    from sklearn.datasets import load_digits

    x, y = (torch.from_numpy(a) for a in load_digits(return_X_y=True))
    z = latency((x / 16).float())
    recipe = recipes.override(
        recipes.read("mnist-deep"), {"layers": [64, 50, 50, 50, 50, 10], "init": init, "lr": 3e-3, "lr_final": 1e-3}
    )
    network = build(recipe, seeded())
    if init == "data":
        initialise(network, z[:200], recipe.init_share, recipe.init_spread, seeded())
    learner = Learner(network, recipe)
    for epoch in range(4):
        learner.set_rates(epoch / 4)
        for part in torch.randperm(1200, generator=seeded(epoch)).split(32):
            learner.step(z[part], y[part])
    with torch.no_grad():
        return (first_to_fire(network(z[1200:])) == y[1200:]).double().mean().item()


def test_five_layers_learn_from_it_and_hardly_from_uniform_weights() -> None:
    uniform, fitted = learned("uniform"), learned("data")
    assert fitted > 0.8
    assert uniform < 0.6
