"""The epoch loop: how samples are cut into batches, what an epoch follows from, and what it tells."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.nn import Constraints, first_to_fire
from shiftlearn.training.loop import Loop, cut
from shiftlearn.training.step import Learner, random_state

pytestmark = pytest.mark.usefixtures("one_thread")

Z = torch.rand(23, 4, generator=torch.Generator().manual_seed(0)).exp()
LABELS = torch.arange(23) % 3


def loop_of(seed=0, weight=None, scheduled=True, **settings):
    """A loop over a new network, and the batches that it asks for."""
    base = {"layers": [4, 5, 3], "batch": 7, "epochs": 4, "lr": 0.02, "lr_final": 0.002}
    recipe = recipes.override(recipes.read("iris"), base | settings)
    asked = []

    def inputs(batch):
        asked.append(batch)
        return Z[batch.rows]

    learner = Learner(build(recipe, random_state(seed, 0)), recipe)
    return Loop(learner, inputs, LABELS, seed, weight=weight, scheduled=scheduled), asked


def rates(loop, number):
    seen = []
    loop.epoch(number, lambda _: seen.append(loop.learner.optimizer.param_groups[0]["lr"]))
    return seen


# ------------------------------------------------------------------------------------------------ batches


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 9))
def test_every_sample_is_in_one_batch_in_order(sizes, steps):
    orders = [torch.randperm(n, generator=torch.Generator().manual_seed(n)) for n in sizes]
    batches = cut(orders, 1, steps)
    assert len(batches) == steps
    for member, order in enumerate(orders):
        parts = [rows[member] if present is None else rows[member][present[member]] for rows, present in batches]
        assert torch.equal(torch.cat(parts), order)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_mask_tells_padding_from_samples():
    ((rows, present),) = cut([torch.tensor([4, 2, 6]), torch.tensor([5])], 9, 1)
    assert rows.tolist() == [[4, 2, 6], [5, 0, 0]]
    assert present.tolist() == [[True, True, True], [True, False, False]]


@given(st.integers(1, 40), st.integers(1, 45))
def test_without_a_number_of_steps_the_last_batch_has_what_is_left(count, size):
    batches = cut([torch.arange(count)], size)
    assert [present for _, present in batches] == [None] * math.ceil(count / size)
    assert [rows.shape[1] for rows, _ in batches[:-1]] == [size] * (len(batches) - 1)
    assert torch.cat([rows[0] for rows, _ in batches]).tolist() == list(range(count))


# ------------------------------------------------------------------------------------------------ epochs


def test_the_order_follows_from_seed_and_epoch():
    orders = {}
    for seed, epochs in ((0, (1, 2)), (0, (2,)), (1, (1,))):
        loop, asked = loop_of(seed)
        for epoch in epochs:
            asked.clear()
            loop.epoch(epoch)
            assert [len(batch.rows) for batch in asked] == [7, 7, 7, 2]
            order = torch.cat([batch.rows for batch in asked]).tolist()
            assert sorted(order) == list(range(23))
            assert orders.setdefault((seed, epoch), order) == order
    assert len({tuple(order) for order in orders.values()}) == 3


def test_without_shuffling_samples_keep_their_order():
    loop, asked = loop_of(shuffle=False)
    loop.epoch(1)
    loop.epoch(2)
    assert torch.cat([batch.rows for batch in asked]).tolist() == [*range(23)] * 2


def test_rates_follow_the_share_of_the_run_or_stay():
    loop, _ = loop_of()
    assert rates(loop, 3) == pytest.approx([0.02 * 0.1 ** ((2 + k / 4) / 4) for k in range(4)])
    assert rates(loop_of(scheduled=False)[0], 3) == [0.02] * 4


def test_figures_are_those_from_before_each_step():
    loop, asked = loop_of()
    seen = []

    def watch(tally):
        target = LABELS[asked[-1].rows]
        seen.append((tally.done, tally.z, loop.learner.loss(tally.z, target).item(), first_to_fire(tally.z) == target))

    tally = loop.epoch(1, watch)
    assert (tally.epoch, tally.batches, [done for done, *_ in seen]) == (1, 4, [1, 2, 3, 4])
    assert torch.equal(build(loop.learner.recipe, random_state(0, 0))(Z[asked[0].rows]), seen[0][1])
    loss, accuracy = tally.means()
    assert loss == pytest.approx(sum(loss for *_, loss, _ in seen) / 23)
    assert accuracy == pytest.approx(torch.cat([right for *_, right in seen]).double().mean().item())


def test_an_ensemble_counts_no_padding():
    recipe = recipes.override(recipes.read("iris"), {"layers": [4, 5, 3], "loss": "published"})
    network = build(recipe, [random_state(k, 0) for k in (0, 1)], 2)
    rows = [torch.arange(12), torch.arange(12, 17)]
    with torch.no_grad():
        z = network(Z.expand(2, *Z.shape))
    right = torch.cat([first_to_fire(z[m, own]) == LABELS[own] for m, own in enumerate(rows)])
    learner = Learner(network, recipe)
    loss = sum(learner.loss(z[m, own], LABELS[own]).item() for m, own in enumerate(rows))
    means = Loop(learner, lambda batch: Z[batch.rows], LABELS, [0, 1], rows, 1).epoch(1).means()
    assert means == pytest.approx((loss / 17, right.double().mean().item()), rel=1e-4)


def test_weights_of_samples_take_part():
    weight = torch.where(LABELS == 0, 1.0, 0.0)
    loop, _ = loop_of(weight=weight, epochs=60, lr=0.05, lr_final=0.05)
    for epoch in range(1, 61):
        loop.epoch(epoch)
    with torch.no_grad():
        assert (first_to_fire(loop.learner.network(Z)) == 0).all()


# ------------------------------------------------------------------------------------------------ the end


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_network_whose_delay_falls_to_0_is_frozen(monkeypatch, value):
    loop, asked = loop_of(project_delays=False)
    layer = loop.learner.network[1]
    kept, after = [], Constraints.after_step

    def fall(self):
        after(self)
        if len(asked) == 3:
            kept.append(layer.shift.detach().clone())
            with torch.no_grad():
                layer.delay[1] = value

    monkeypatch.setattr(Constraints, "after_step", fall)
    delays = []
    tally = loop.epoch(1, lambda _: delays.append(layer.delay.detach().clone()))
    assert (tally.done, tally.batches, bool(loop.learner.frozen)) == (3, 4, True)
    assert torch.equal(delays[2], delays[1])
    assert torch.equal(layer.delay, delays[1])
    assert torch.equal(layer.shift, kept[0])  # of the last step


@pytest.mark.parametrize("project", [True, False])
def test_weights_that_are_not_finite_are_an_error(monkeypatch, project):
    loop, _ = loop_of(project_delays=project, batch=23)

    def spoil(self):
        with torch.no_grad():
            loop.learner.network[1].delay[1] = math.nan

    monkeypatch.setattr(Constraints, "after_step", spoil)
    with pytest.raises(InputError, match="weights have become NaN or infinite"):
        loop.epoch(1)
