"""What follows the optimizer's step: as its hook, and on layers whose weights are pruned or parametrized."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune, weight_norm

from shiftlearn.errors import InputError
from shiftlearn.nn import (
    FirstSpikeCrossEntropy,
    Homeostasis,
    ShiftConv2d,
    ShiftLinear,
    constrain,
    initialise,
    project_delays,
)

Z = torch.exp(torch.rand(20, 12, generator=torch.Generator().manual_seed(0)))
TARGET = torch.arange(20) % 3


class Positive(nn.Module):
    """x ↦ exp(x), which can be inverted."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp()

    def right_inverse(self, x: Tensor) -> Tensor:
        return x.clamp_min(1e-9).log()


class Softplus(nn.Module):
    """Cannot be set, as it does not say how."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.softplus(x)


class Half(nn.Module):
    """Takes what is set, and gives back something else."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.tensor([[1.0], [0.0]]).repeat(x.shape[0] // 2, 1)

    def right_inverse(self, x: Tensor) -> Tensor:
        return x


def network(feedback: str = "symmetric") -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(ShiftLinear(12, 9, feedback=feedback), ShiftLinear(9, 3, feedback=feedback))


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5, after: object = None) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        FirstSpikeCrossEntropy(4.0)(model(Z), TARGET).backward()
        optimizer.step()
        if after is not None:
            after()


def pruned(amount: float = 0.7, layer: type = ShiftLinear, *sizes: int) -> ShiftLinear:
    """A layer with many synapses masked, in its last neuron all of them, and far too little drive."""
    made = layer(*(sizes or (12, 9)), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.shift.mul_(0.1)
    mask = torch.rand(made.shift.shape, generator=torch.Generator().manual_seed(1)) >= amount
    mask[:, -1] = False
    mask[0, :-1] = True
    prune.custom_from_mask(made, "shift", mask)
    return made


# ------------------------------------------------------------------------------------------------ constrain


@pytest.mark.parametrize(
    "homeostasis", [1.5, [1.5, 0.0], None, Homeostasis(1.5, every=2)], ids=["one", "each", "none", "own"]
)
def test_constrain_is_what_one_calls_oneself(homeostasis: object) -> None:
    models = [network(), network()]
    optimizers = [torch.optim.Adam(model.parameters(), lr=0.05) for model in models]
    own = Homeostasis(homeostasis) if isinstance(homeostasis, (float, list)) else copy.copy(homeostasis)

    def after() -> None:
        if own:
            own(models[0])
        project_delays(models[0])

    learn(models[0], optimizers[0], after=after)
    constraints = constrain(optimizers[1], models[1], homeostasis=homeostasis)
    learn(models[1], optimizers[1])
    for name, x in models[0].state_dict().items():
        assert torch.equal(x, models[1].state_dict()[name]), name
    assert (constraints.homeostasis is None) == (homeostasis is None)
    assert min(layer.delay.min().item() for layer in models[1]) == 1
    constraints.remove()
    with torch.no_grad():
        models[1][0].shift.fill_(-1)
    optimizers[1].zero_grad()
    optimizers[1].step()
    assert models[1](Z).isinf().all()


def test_delays_are_projected_unless_told_otherwise() -> None:
    least = []
    for project in (True, False):
        model = nn.Sequential(*(ShiftLinear(n, m, published_delays=True) for n, m in ((12, 9), (9, 3))))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        constrain(optimizer, model, project_delays=project)
        learn(model, optimizer, steps=10)
        least.append(min(layer.delay.min().item() for layer in model))
    assert least[0] == 1 > least[1]


def test_aligning_feedback_follows_the_weights() -> None:
    """The gap between both decays by what each step keeps, after everything that the step is followed by."""
    model = network("aligning")
    prune.random_unstructured(model[1], "shift", amount=0.5)
    gaps = [layer.feedback_weight - layer.shift.detach() for layer in model]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.5, weight_decay=3.0)
    constrain(optimizer, model, homeostasis=2.0)
    optimizer.load_state_dict(optimizer.state_dict())  # replaces its groups
    optimizer.param_groups[0]["lr"] = 0.01
    learn(model, optimizer, steps=20)
    for layer, gap in zip(model, gaps, strict=True):
        torch.testing.assert_close(layer.feedback_weight - layer.shift.detach(), 0.97**20 * gap, rtol=1e-3, atol=1e-5)
    # The groups that a checkpoint brings are new ones, and so are their rates.
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.param_groups[0]["lr"] = 0.02
    gaps = [layer.feedback_weight - layer.shift.detach() for layer in model]
    learn(model, optimizer, steps=1)
    for layer, gap in zip(model, gaps, strict=True):
        torch.testing.assert_close(layer.feedback_weight - layer.shift.detach(), 0.94 * gap, rtol=1e-3, atol=1e-5)
    matrix = model[0].feedback_weight.clone()
    one = torch.optim.AdamW(model.parameters(), lr=0.01)
    constrain(one, model, aligning=[model[1]])
    learn(model, one, steps=1)
    assert torch.equal(model[0].feedback_weight, matrix)


def test_bad_arguments() -> None:
    model, other = network("aligning"), network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1)
    with pytest.raises(InputError, match="optimizer must have parameters of network, got one that has none of them"):
        constrain(optimizer, other)
    with pytest.raises(InputError, match="target must be positive"):
        constrain(optimizer, model, homeostasis=-1.0)
    with pytest.raises(InputError, match=r"weight_decay must be decoupled .*AdamW.* got 0.1 of Adam"):
        constrain(optimizer, model)
    with pytest.raises(InputError, match="optimizer must have the weights of ShiftLinear"):
        constrain(torch.optim.SGD([model[0].shift]), model)


# ------------------------------------------------------------------------------------------------- pruned


@pytest.mark.parametrize("sizes", [(ShiftLinear, 12, 9), (ShiftConv2d, 3, 9, 2)], ids=["linear", "convolution"])
def test_homeostasis_gives_what_is_missing_to_living_synapses(sizes: tuple) -> None:
    layer = pruned(0.7, *sizes)
    before, mask = layer.shift_orig.detach().clone(), layer.shift_mask.bool()
    Homeostasis(1.2)(layer)
    added = layer.shift_orig.detach() - before
    assert not added[~mask].any()
    torch.testing.assert_close(layer.shift.detach().sum(0)[:-1], torch.full((8,), 1.2))
    for neuron in range(8):
        given = added[mask[:, neuron], neuron]
        assert given.min() > 0
        torch.testing.assert_close(given, given[:1].expand_as(given))
    assert not layer.shift[:, -1].any()  # no living synapse: nothing to raise
    assert torch.equal(layer.shift, layer.shift_orig * layer.shift_mask)  # not only after the next forward pass
    assert layer.shift_orig.grad_fn is None
    layer.shift.sum().backward()
    assert torch.equal(layer.shift_orig.grad, layer.shift_mask)


def test_sparse_networks_stay_alive_in_training() -> None:
    model = network()
    for layer in model:
        prune.random_unstructured(layer, "shift", amount=0.8)
    dead = [(layer.shift_mask == 0).clone() for layer in model]
    masked = [layer.shift_orig.detach()[d] for layer, d in zip(model, dead, strict=True)]
    with torch.no_grad():
        for layer in model:
            layer.shift_orig.mul_(0.05)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    constrain(optimizer, model, homeostasis=1.2)
    learn(model, optimizer, steps=3)
    connected = model[0].shift_mask.any(0)
    assert model[0](Z)[:, connected].isfinite().all()
    for layer, d, x in zip(model, dead, masked, strict=True):
        assert torch.equal(layer.shift_orig.detach()[d], 0.05 * x)


def test_delays_of_pruned_layers_and_pruned_delays() -> None:
    layer = pruned()
    prune.custom_from_mask(layer, "delay", torch.tensor([1, 1, 0] * 3))
    with torch.no_grad():
        layer.delay_orig.copy_(torch.tensor([0.5, 2.0, 0.25] * 3))
    project_delays(layer)
    assert layer.delay_orig.tolist() == [1.0, 2.0, 0.25] * 3
    assert layer.delay.tolist() == [1.0, 2.0, 0.0] * 3


def test_new_weights_of_pruned_layers() -> None:
    layer, same = pruned(), ShiftLinear(12, 9)
    before, mask = layer.shift_orig.detach().clone(), layer.shift_mask.bool()
    for each in (layer, same):
        each.reset_parameters(torch.Generator().manual_seed(5))
    assert torch.equal(layer.shift_orig.detach(), torch.where(mask, same.shift.detach(), before))
    assert torch.equal(layer.shift, layer.shift_orig * layer.shift_mask)


def test_initialise_draws_living_synapses() -> None:
    layer = ShiftLinear(12, 9)
    prune.random_unstructured(layer, "shift", amount=0.3)
    before, mask = layer.shift_orig.detach().clone(), layer.shift_mask.bool()
    initialise(nn.Sequential(layer), Z, 0.8, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(layer.shift_orig.detach()[~mask], before[~mask])
    assert (layer.shift_orig != before)[mask].all()
    assert layer(Z).isfinite().all()
    assert (layer.shift.detach().sum(0) > 1.4).all()


# --------------------------------------------------------------------------------------------- parametrized


def test_parametrized_layers_are_written_through() -> None:
    layer = ShiftLinear(12, 9, init_scale=0.5, generator=torch.Generator().manual_seed(0))
    parametrize.register_parametrization(layer, "shift", Positive())
    parametrize.register_parametrization(layer, "delay", Positive())
    held = layer.parametrizations.shift.original
    Homeostasis(1.2)(layer)
    torch.testing.assert_close(layer.shift.detach().sum(0), torch.full((9,), 1.2))
    assert layer.parametrizations.shift.original is held  # which the optimizer has
    with torch.no_grad():
        layer.parametrizations.delay.original.fill_(-1)
    project_delays(layer)
    torch.testing.assert_close(layer.delay.detach(), torch.ones(9))
    layer.reset_parameters(torch.Generator().manual_seed(5))
    torch.testing.assert_close(
        layer.shift.detach(),
        ShiftLinear(12, 9, init_scale=0.5, generator=torch.Generator().manual_seed(5)).shift.detach(),
    )
    model = nn.Sequential(layer)
    constrain(torch.optim.Adam(model.parameters()), model)
    parametrize.remove_parametrizations(layer, "shift")
    parametrize.register_parametrization(layer, "shift", nn.Identity(), unsafe=True)
    initialise(model, Z, 0.8, 0.3, torch.Generator().manual_seed(0))
    plain = nn.Sequential(ShiftLinear(12, 9))
    initialise(plain, Z, 0.8, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(layer.shift, plain[0].shift)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda layer: parametrize.register_parametrization(layer, "shift", Softplus()), "Softplus does not implement"),
        (lambda layer: parametrize.register_parametrization(layer, "shift", Half()), "does not give back what is set"),
        (lambda layer: parametrizations.spectral_norm(layer, "shift"), "does not give back what is set"),
        (lambda layer: weight_norm(layer, "shift"), "computed from shift_g, shift_v"),
    ],
    ids=["no inverse", "mask", "spectral norm", "weight norm"],
)
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_what_cannot_be_set_is_refused_by_name_and_left_as_it_is(make: object, reason: str) -> None:
    layer = ShiftLinear(12, 9, init_scale=0.5)
    make(layer)
    layer.eval()(Z)
    before = copy.deepcopy(layer.state_dict())
    for run in (lambda: Homeostasis(20.0)(layer), layer.reset_parameters):
        with pytest.raises(InputError, match=rf"shift of \w*ShiftLinear\(12, 9, .* cannot be changed: .*{reason}"):
            run()
    for name, x in before.items():
        assert torch.equal(x, layer.state_dict()[name])
    Homeostasis(1e-6)(layer)  # where there is nothing to raise
    project_delays(layer)
