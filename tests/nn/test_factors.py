"""Pathways and modulators as parts: each update equals its formula, and a network of three layers learns with it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from shiftlearn import ops, recipes
from shiftlearn.coding import encoder
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.nn import DirectFeedback, FirstSpikeCrossEntropy, RewardLoss, ShiftLinear, first_to_fire
from shiftlearn.training.step import Learner, random_state

PATHWAYS = ["symmetric", "random", "aligning", "sign", "direct"]


def inputs(*shape: int) -> Tensor:
    return torch.exp(2 * torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))


def layers(*sizes: int, feedback: str = "none", members: int | None = None) -> list[ShiftLinear]:
    generator = torch.Generator().manual_seed(1)
    made = [
        ShiftLinear(a, b, feedback=feedback, init_scale=9.0, dtype=torch.float64, members=members)
        for a, b in itertools.pairwise(sizes)
    ]
    for layer in made:
        layer.reset_parameters([generator] * members if members else generator)
    return made


def error(z: Tensor, target: Tensor) -> Tensor:
    z = z.detach().requires_grad_()
    FirstSpikeCrossEntropy(2.0, 0.1)(z, target).backward()
    assert z.grad is not None
    return z.grad


# ------------------------------------------------------------------------------------------------- pathways


def test_direct_feedback_is_the_error_times_a_matrix() -> None:
    """Each hidden layer changes by the local rule for δ = e·B, and the read-out for δ = e."""
    network = DirectFeedback(*layers(7, 6, 5, 4), generator=torch.Generator().manual_seed(2))
    target = torch.tensor([0, 1, 2, 3, 1])
    z = [inputs(5, 7)]
    for layer in network:
        z.append(layer(z[-1]).detach())
    out = network(z[0])
    assert torch.equal(out, z[-1])
    FirstSpikeCrossEntropy(2.0, 0.1)(out, target).backward()
    e = error(z[-1], target)
    deltas = [e @ network.get_buffer("direct_0"), e @ network.get_buffer("direct_1"), e]
    for layer, before, delta in zip(network, z, deltas, strict=False):
        shift, delay = layer.shift.detach().requires_grad_(), layer.delay.detach().requires_grad_()
        ops.fire(before, shift, delay).backward(delta)
        assert shift.grad is not None
        assert shift.grad.abs().max() > 0
        torch.testing.assert_close(layer.shift.grad, shift.grad)
        torch.testing.assert_close(layer.delay.grad, delay.grad)


@pytest.mark.parametrize("feedback", ["symmetric", "random", "sign", "none"])
def test_a_pathway_is_the_matrix_that_it_names(feedback: str) -> None:
    """δ of the hidden layer: Σ_j f_j m_ij over the neurons j whose causal set holds i, f = δ_j / D_j."""
    first, second = layers(6, 5, 4, feedback=feedback)
    z0, target = inputs(3, 6), torch.tensor([0, 1, 2])
    z1 = first(z0)
    z1.retain_grad()
    z2 = second(z1)
    FirstSpikeCrossEntropy(2.0, 0.1)(z2, target).backward()
    if feedback == "none":
        assert z1.grad is None
        assert first.shift.grad is None
        return
    matrix = {
        "symmetric": second.shift.detach(),
        "random": second.feedback_weight,
        "sign": None if second.feedback_weight is None else second.feedback_weight * torch.sign(second.shift.detach()),
    }[feedback]
    e, events = error(z2, target), ops.sort_spikes(z1.detach())
    _, _, drive = ops.first_spike(events, second.shift.detach())
    causal = z1.detach()[:, :, None] < z2.detach()[:, None, :]
    expected = ((e / drive)[:, None, :] * matrix * causal).sum(2)
    assert expected.abs().max() > 0
    torch.testing.assert_close(z1.grad, expected)


def test_direct_feedback_of_an_ensemble_is_its_members() -> None:
    recipe = recipes.override(recipes.read("iris"), {"layers": [4, 6, 5, 3], "feedback": "direct", "init_scale": 8})
    together = build(recipe, [random_state(s, 0) for s in (4, 9)], 2)
    z = inputs(2, 5, 4).float()
    delta = torch.rand(2, 5, 3)
    together(z).backward(delta)
    for member, seed in enumerate((4, 9)):
        alone = build(recipe, random_state(seed, 0))
        alone(z[member]).backward(delta[member])
        for layer, own in zip(together, alone, strict=True):
            torch.testing.assert_close(layer.shift.grad[member], own.shift.grad)


def test_direct_feedback_takes_layers_that_send_nothing() -> None:
    with pytest.raises(InputError, match="layers must be ShiftLinear with feedback 'none'"):
        DirectFeedback(*layers(4, 3, 2, feedback="random"))
    with pytest.raises(InputError, match="layers must be ShiftLinear with feedback 'none'"):
        DirectFeedback(nn.Linear(3, 2))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- modulators


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reward_is_its_formula(reduction: str) -> None:
    z = inputs(40, 4).requires_grad_()
    target = torch.arange(40) % 4
    loss = RewardLoss(0.5, reduction=reduction, generator=torch.Generator().manual_seed(7))(z, target)
    loss.backward()
    chances = torch.softmax(-0.5 * z.detach(), 1)
    guess = torch.multinomial(chances, 1, generator=torch.Generator().manual_seed(7))[:, 0]
    surprise = (guess == target).double() - (guess == target).double().mean()
    assert 0 < (guess == target).sum() < 40
    scale = 40 if reduction == "mean" else 1
    rows = -surprise * chances[torch.arange(40), guess].log()
    assert loss.item() == pytest.approx(rows.sum().item() / scale)
    expected = surprise[:, None] * 0.5 * (nn.functional.one_hot(guess, 4) - chances) / scale
    torch.testing.assert_close(z.grad, expected)


def test_surprise_at_a_confident_guess_follows_the_brier_score() -> None:
    """Over all guesses, each as often as it is made, the error of the baseline "confidence" is half the score's."""
    z = inputs(1, 4).requires_grad_()
    chances = torch.softmax(-0.7 * z, 1)[0]
    right = nn.functional.one_hot(torch.tensor(2), 4).double()
    (wanted,) = torch.autograd.grad((chances - right).square().sum() / 2, z)
    loss = RewardLoss(0.7, reduction="mean", baseline="confidence", generator=torch.Generator().manual_seed(0))
    rows = z.detach().expand(200_000, 4).clone().requires_grad_()
    loss(rows, torch.full((200_000,), 2)).backward()
    torch.testing.assert_close(rows.grad.sum(0, keepdim=True), wanted, rtol=0.02, atol=1e-3)
    with pytest.raises(InputError, match=r"unknown baseline 'meen'\. Did you mean 'mean'\?"):
        RewardLoss(baseline="meen")


def test_exploring_guesses_teach_the_cross_entropy() -> None:
    """Guesses drawn from all classes alike: on average the gradient of log π(right), over the number of classes."""
    z = inputs(1, 4).requires_grad_()
    right = torch.tensor([2])
    (wanted,) = torch.autograd.grad(nn.functional.cross_entropy(-0.7 * z, right) / 4, z)
    generator = torch.Generator().manual_seed(0)
    loss = RewardLoss(0.7, reduction="mean", baseline="confidence", generator=generator, exploration=1.0)
    rows = z.detach().expand(200_000, 4).clone().requires_grad_()
    loss(rows, right.expand(200_000)).backward()
    torch.testing.assert_close(rows.grad.sum(0, keepdim=True), wanted, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("exploration", [0.0, 0.2])
def test_a_class_without_a_chance_is_tried_by_exploration_alone(exploration: float) -> None:
    z = torch.tensor([1.0, 1e4], dtype=torch.float64).expand(2000, 2).clone().requires_grad_()
    loss = RewardLoss(
        1.0, 1e5, baseline="confidence", exploration=exploration, generator=torch.Generator().manual_seed(0)
    )
    loss(z, torch.ones(2000, dtype=torch.long)).backward()
    tried = (z.grad[:, 1] > 0).double().mean().item()
    assert tried == pytest.approx(exploration / 2, abs=0.03)


def test_reward_tells_nothing_of_the_right_class() -> None:
    """Where the guess was wrong, the error is the same whichever other class is right."""
    z = inputs(6, 5)
    errors = []
    for right in (torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)):
        leaf = z.clone().requires_grad_()
        RewardLoss(1.0, generator=torch.Generator().manual_seed(0))(leaf, right).backward()
        assert leaf.grad is not None
        errors.append(leaf.grad)
    guess = torch.multinomial(torch.softmax(-z, 1), 1, generator=torch.Generator().manual_seed(0))[:, 0]
    neither = guess > 1
    assert neither.any()
    baselines = [(guess == k).double().mean() for k in (0, 1)]
    torch.testing.assert_close(errors[0][neither] * baselines[1], errors[1][neither] * baselines[0])


def test_reward_gives_silence_no_error() -> None:
    z = inputs(8, 3)
    z[0], z[1, 2] = torch.inf, torch.inf
    z.requires_grad_()
    RewardLoss()(z, torch.zeros(8, dtype=torch.long)).backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert (z.grad[z.detach().isinf()] == 0).all()
    assert RewardLoss()(inputs(0, 3), torch.zeros(0, dtype=torch.long)).item() == 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((0.0,), "beta"),
        ((1.0, 0.0), "horizon"),
        ((1.0, 9.0, "max"), "reduc"),
        ((1.0, 9.0, "sum", None, "z", "mean", 1.5), r"exploration must be in \[0, 1\], got 1\.5"),
    ],
)
def test_bad_arguments_of_reward(arguments: tuple, part: str) -> None:
    with pytest.raises(InputError, match=part):
        RewardLoss(*arguments)


# ------------------------------------------------------------------------------------------------- learning


def accuracy_after(digits: dict, epochs: int, **settings: object) -> float:
    x, y = (torch.from_numpy(part) for part in digits["train"])
    changed = {"layers": [784, 64, 32, 10], "init_scale": [20.0, 12.0, 8.0], "epochs": epochs, "batch": 32}
    recipe = recipes.override(recipes.read("mnist"), changed | settings)
    network = build(recipe, random_state(0, 0))
    learner, encode = Learner(network, recipe), encoder(recipe.coding, recipe.coding_exponent)
    for epoch in range(1, epochs + 1):
        generator = random_state(0, epoch)
        learner.begin(generator)
        learner.set_rates((epoch - 1) / epochs)
        for part in torch.randperm(len(x), generator=generator).split(recipe.batch):
            learner.step(encode(x[part].flatten(1)), y[part].long())
    test, labels = (torch.from_numpy(part) for part in digits["test"])
    with torch.no_grad():
        return (first_to_fire(network(encode(test.flatten(1)))) == labels).double().mean().item()


@pytest.mark.parametrize("feedback", PATHWAYS)
def test_three_layers_learn_digits_by_each_pathway(digits: dict, feedback: str) -> None:
    assert accuracy_after(digits, 15, feedback=feedback, lr=3e-3, lr_final=3e-4) > 0.65


@pytest.mark.parametrize(
    ("feedback", "baseline"), [("symmetric", "mean"), ("direct", "mean"), ("symmetric", "confidence")]
)
def test_three_layers_learn_digits_by_reward(digits: dict, feedback: str, baseline: str) -> None:
    settings = {"feedback": feedback, "modulator": "reward", "beta": 1.0, "lr": 3e-3, "lr_final": 1e-3}
    settings["baseline"] = baseline
    assert accuracy_after(digits, 15, **settings) > 0.45


def test_the_modulator_in_a_recipe() -> None:
    recipe = recipes.read("mnist")
    with pytest.raises(InputError, match="modulator must be one of error, reward"):
        recipes.override(recipe, {"modulator": "dopamine"})
    with pytest.raises(InputError, match="modulator 'reward' takes the place of the loss"):
        recipes.override(recipe, {"modulator": "reward", "loss": "published"})
