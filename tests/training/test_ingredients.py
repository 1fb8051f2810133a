"""What recipes add to a training step: decay, averages, noise, schedules, aligning feedback, rates for each layer."""

from __future__ import annotations

import pytest
import torch
from small_runs import Watch, results, small

from shiftlearn import nn
from shiftlearn.errors import InputError
from shiftlearn.training import run
from shiftlearn.training.run import _Run, resume, start

EVERYTHING = {
    "feedback": "aligning",
    "weight_decay": 5.0,
    "averaging": 0.9,
    "translate": 1,
    "jitter": [0.0, 0.05],
    "deletion": [0.0, 0.1],
    "schedule": "cosine",
    "homeostasis": [3.0, 9.0],
    "homeostasis_every": 3,
    "coding_levels": 4,
}
CHANGES = [{name: value} for name, value in EVERYTHING.items()]


@pytest.mark.parametrize("changed", [*CHANGES, EVERYTHING, {"modulator": "reward", "deletion": 0.05}], ids=str)
def test_every_ingredient_trains_and_resumes_bit_for_bit(splits, tmp_path, changed):
    recipe = small(validation=300, epochs=2, **changed)
    start(recipe, tmp_path / "whole", 5, Watch())
    with pytest.raises(KeyboardInterrupt):
        start(recipe, tmp_path / "cut", 5, Watch(stop_after=1))
    resume(tmp_path / "cut", Watch())
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    plain = small(validation=300, epochs=2)
    start(plain, tmp_path / "plain", 5, Watch())
    assert results(tmp_path / "plain")["weights.safetensors"] != results(tmp_path / "whole")["weights.safetensors"]


def test_all_ingredients_together_learn(splits, tmp_path):
    assert start(small(epochs=6, **EVERYTHING), tmp_path / "run", 0, Watch())["test_accuracy"] > 0.5


def steps(recipe, count):
    """Weights of the layers before and after each of some steps, and the run."""
    run = _Run(recipe, 0, "cpu", None)
    weights = [[layer.shift.detach().clone() for layer in run.model.network]]
    for number in range(count):
        run.learner.set_rates(number / count)
        run.learner.step(run.model.encode(run.x[:30]), run.y[:30])
        weights.append([layer.shift.detach().clone() for layer in run.model.network])
    return weights, run


def test_what_is_reported_is_the_average_of_the_weights(splits, tmp_path):
    weights, run = steps(small(averaging=0.8), 4)
    for number, layer in enumerate(run.trained.network):
        mean = weights[1][number]
        for after in weights[2:]:
            mean = 0.8 * mean + 0.2 * after[number]
        torch.testing.assert_close(layer.shift.detach(), mean)


def test_weight_decay_takes_a_share_of_the_shifts_alone(splits):
    settings = {"lr": 1e-3, "lr_final": 1e-3, "lr_scale": [2.0, 1.0], "homeostasis": 0.0}
    (before, plain), _ = steps(small(**settings), 1)
    (_, decayed), run = steps(small(weight_decay=10.0, **settings), 1)
    for old, new, other, rate in zip(before, plain, decayed, (2e-3, 1e-3), strict=True):
        torch.testing.assert_close(other, new - rate * 10 * old)
    assert {group["weight_decay"] for group in run.learner.optimizer.param_groups[:-1]} == {10.0}
    assert run.learner.optimizer.param_groups[-1]["weight_decay"] == 0


def test_aligning_feedback_comes_to_be_the_weights(splits):
    """Each step takes off its share of the difference, here 0.05 · 2 · 4, homeostasis or not."""
    recipe = small(feedback="aligning", lr=0.05, lr_final=0.05, lr_scale=[1.0, 2.0], weight_decay=4.0)
    gaps = [(layer.feedback_weight - layer.shift).detach() for layer in steps(recipe, 0)[1].model.network]
    after = [(layer.feedback_weight - layer.shift).detach() for layer in steps(recipe, 5)[1].model.network]
    torch.testing.assert_close(after[1], 0.6**5 * gaps[1], rtol=1e-4, atol=1e-5)
    first = steps(recipe, 5)[1].model.network[0]
    assert torch.equal(first.feedback_weight, steps(recipe, 0)[1].model.network[0].feedback_weight)  # of no use


def test_schedules(splits):
    for schedule, middle in (("geometric", 2e-4), ("cosine", (4e-4 + 1e-4) / 2)):
        _, run = steps(small(lr=4e-4, lr_final=1e-4, schedule=schedule), 0)
        for share, rate in ((0.0, 4e-4), (0.5, middle), (1.0, 1e-4)):
            run.learner.set_rates(share)
            assert run.learner.optimizer.param_groups[0]["lr"] == pytest.approx(rate)


def test_the_images_that_are_held_out_are_not_moved(splits, monkeypatch):
    seen = []
    monkeypatch.setattr(run, "translate", lambda x, offsets: seen.append((x, offsets)) or nn.translate(x, offsets))
    mine = _Run(small(translate=2, validation=300), 0, "cpu", None)
    mine._epoch(1, Watch())
    offsets = torch.cat([offsets for _, offsets in seen])
    assert offsets.shape == (700, 2)
    assert sorted(offsets.unique().tolist()) == [-2, -1, 0, 1, 2]


def test_each_layer_has_its_share_of_the_learning_rate(splits, tmp_path):
    """Adam's first step is the learning rate, wherever there is an adjustment."""
    run = _Run(small(lr_scale=[0.5, 2.0], lr=1e-3, lr_final=1e-3, homeostasis=0.0), 0, "cpu", None)
    before = [layer.shift.detach().clone() for layer in run.model.network]
    run.learner.set_rates(0.0)
    run.learner.step(run.model.encode(run.x[:30]), run.y[:30])
    for layer, old, rate in zip(run.model.network, before, (0.5e-3, 2e-3), strict=True):
        assert (layer.shift - old).abs().max().item() == pytest.approx(rate, rel=1e-3)
    with pytest.raises(InputError, match=r"lr_scale must have 1 entry, or 2 \(one per layer of synapses\), got 3"):
        small(lr_scale=[1, 1, 1])
