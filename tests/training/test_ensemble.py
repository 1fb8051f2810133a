"""Networks side by side: each is the network that it would be alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shiftlearn import SpikeEvents, recipes
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.nn import Constraints, ShiftLinear
from shiftlearn.training.cross_validation import cross_validate
from shiftlearn.training.ensemble import Ensemble
from shiftlearn.training.repeats import repeat
from shiftlearn.training.step import Learner, random_state

SAMPLES, INPUTS, CLASSES = 37, 7, 3


pytestmark = pytest.mark.usefixtures("one_thread")


def small(**changed):
    base = {"layers": [INPUTS, 5, CLASSES], "batch": 8, "epochs": 4, "min_drive": 1e-3, "init_scale": [8.0, 8.0]}
    return recipes.override(recipes.read("iris"), base | changed)


def problem(members=3, seed=0):
    """(members, n, in) of z with silent inputs and ties, and labels."""
    rng = np.random.default_rng(seed)
    z = np.exp(rng.uniform(0, 2, (members, SAMPLES, INPUTS)))
    z[rng.random(z.shape) < 0.1] = math.inf
    z[rng.random(z.shape) < 0.1] = math.e
    return torch.tensor(z, dtype=torch.float32), torch.from_numpy(rng.integers(0, CLASSES, SAMPLES))


def samples(sizes):
    """For each member, that many of the samples."""
    return [torch.from_numpy(np.random.default_rng(k).permutation(SAMPLES)[:n]) for k, n in enumerate(sizes)]


def state(network, member=None):
    return {k: v.clone() if member is None else v[member].clone() for k, v in network.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), f"{name}: {(a[name] - b[name]).abs().max()}"


def alone(recipe, seed, z, labels, rows):
    """The plain loop: batches of nearly equal size, cut from the epoch's order."""
    network = build(recipe, random_state(seed, 0))
    learner = Learner(network, recipe)
    steps = steps_of(recipe, [rows])
    for epoch in range(1, recipe.epochs + 1):
        order = rows
        if steps > 1:
            order = rows[torch.randperm(len(rows), generator=random_state(seed, epoch))]
        for step, part in enumerate(order.tensor_split(steps)):
            learner.set_rates((epoch - 1 + step / steps) / recipe.epochs)
            learner.step(z[part], labels[part])
    return network


def steps_of(recipe, rows):
    return -(-max(map(len, rows)) // recipe.batch)


def train(recipe, seeds, z, labels, rows, steps=None):
    ensemble = Ensemble(recipe, seeds)
    loop = ensemble.loop(z, labels, rows, steps or steps_of(recipe, rows))
    for epoch in range(1, recipe.epochs + 1):
        loop.epoch(epoch)
    return ensemble


@pytest.fixture(name="plain_adam")
def _plain_adam():
    """Adam whose rounding does not depend on where in its tensor a weight lies; that of the fused one does."""
    with pytest.MonkeyPatch.context() as patch:
        fused = torch.optim.Adam
        patch.setattr(torch.optim, "Adam", lambda *a, **k: fused(*a, **(k | {"fused": False})))
        yield


SETTINGS = [
    {},
    {"feedback": "random", "rule": "exact"},
    {"feedback": "sign", "homeostasis": 0.0},
    {"feedback": "aligning", "weight_decay": 4.0},
    {"feedback": "none", "rule": "shifting", "loss": "published", "lr": 1e-3, "lr_final": 1e-3},
    {"batch": 64},
    {"batch": 1, "epochs": 2},
    {"layers": [INPUTS, CLASSES], "init_scale": [8.0]},
    {"layers": [INPUTS, 33, 17, CLASSES], "init_scale": [20.0, 8.0, 8.0]},
]


# ------------------------------------------------------------------------------------------------ one and many


@pytest.mark.parametrize("feedback", ["symmetric", "random", "aligning", "sign", "none"])
def test_a_member_starts_as_the_single_network(feedback):
    recipe = small(feedback=feedback)
    seeds = [3, 0, 3, 2**40]
    ensemble = Ensemble(recipe, seeds)
    for member, seed in enumerate(seeds):
        assert_same(state(ensemble.network, member), state(build(recipe, random_state(seed, 0))))
    assert not torch.equal(ensemble.network[0].shift[0], ensemble.network[0].shift[1])


@pytest.mark.parametrize("changed", SETTINGS, ids=str)
def test_a_member_learns_as_the_single_network_bit_for_bit(plain_adam, changed):
    recipe = small(**changed)
    z, labels = problem()
    rows, seeds = samples([29, 29, 29]), [5, 6, 7]
    ensemble = train(recipe, seeds, z, labels, rows)
    for member, seed in enumerate(seeds):
        single = alone(recipe, seed, z[member], labels, rows[member])
        assert_same(state(ensemble.network, member), state(single))
        assert not torch.equal(single[-1].shift, build(recipe, random_state(seed, 0))[-1].shift)
        with torch.no_grad():
            assert torch.equal(ensemble.fire(member, z[member]), single(z[member]))


@pytest.mark.parametrize("changed", SETTINGS, ids=str)
def test_a_member_learns_as_the_single_network_up_to_rounding(changed):
    recipe = small(**changed)
    z, labels = problem()
    rows, seeds = samples([29, 29, 29]), [5, 6, 7]
    ensemble = train(recipe, seeds, z, labels, rows)
    for member, seed in enumerate(seeds):
        single = state(alone(recipe, seed, z[member], labels, rows[member]))
        for name, value in state(ensemble.network, member).items():
            torch.testing.assert_close(value, single[name], rtol=1e-4, atol=1e-5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.integers(1, 5), rows=st.integers(1, SAMPLES), batch=st.integers(1, 40), hidden=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)  # fmt: skip
def test_any_member_is_the_single_network(plain_adam, members, rows, batch, hidden, seed):
    recipe = small(batch=batch, epochs=1, layers=[INPUTS, hidden, CLASSES])
    z, labels = problem(members, seed)
    chosen = samples([rows] * members)
    ensemble = train(recipe, range(seed, seed + members), z, labels, chosen)
    single = alone(recipe, seed + members - 1, z[-1], labels, chosen[-1])
    assert_same(state(ensemble.network, members - 1), state(single))


def test_other_members_do_not_matter(plain_adam):
    recipe = small()
    z, labels = problem(4)
    rows = samples([24] * 4)
    all_four = train(recipe, [1, 2, 3, 4], z, labels, rows)
    two = train(recipe, [4, 2], z[[3, 1]], labels, [rows[3], rows[1]])
    one = train(recipe, [2], z[1:2], labels, rows[1:2])
    assert_same(state(all_four.network, 3), state(two.network, 0))
    assert_same(state(all_four.network, 1), state(two.network, 1))
    assert_same(state(all_four.network, 1), state(one.network, 0))


def test_members_with_fewer_samples_do_not_matter(plain_adam):
    recipe = small()
    z, labels = problem(2)
    rows = samples([33, 31])
    both = train(recipe, [1, 2], z, labels, rows, 5)
    assert_same(state(both.network, 0), state(train(recipe, [1], z[:1], labels, rows[:1], 5).network, 0))
    few = state(train(recipe, [2], z[1:], labels, rows[1:], 5).network, 0)
    for name, value in state(both.network, 1).items():  # its batches are padded, and weighted to make up for it
        torch.testing.assert_close(value, few[name], rtol=1e-4, atol=1e-5)


def test_every_sample_is_learned_from():
    recipe = small(batch=16, epochs=30)
    z, labels = problem(2)
    rows = samples([5, 4])
    seen = set()

    def note(inputs, target, **rest):
        flat = inputs[0].reshape(-1, INPUTS)
        seen.update(k for k in range(SAMPLES) if (z[0, k] == flat).all(-1).any())
        return step(inputs, target, **rest)

    ensemble = Ensemble(recipe, [0, 1])
    step, ensemble.learner.step = ensemble.learner.step, note
    loop = ensemble.loop(z, labels, rows, 1)
    for epoch in range(1, 31):
        loop.epoch(epoch)
    assert seen == set(rows[0].tolist())


def test_the_number_of_threads_does_not_matter(threads):
    recipe = small()
    z, labels = problem(5)
    rows = samples([24] * 5)
    torch.set_num_threads(1)
    one = train(recipe, range(5), z, labels, rows)
    torch.set_num_threads(2)
    assert_same(state(one.network), state(train(recipe, range(5), z, labels, rows).network))


def test_answers_are_those_from_before_the_step_in_the_order_of_the_samples():
    recipe = small(batch=64)
    z, labels = problem(2)
    rows = samples([20, 20])
    ensemble = Ensemble(recipe, [8, 9])
    for epoch in (1, 2):
        before = [ensemble.fire(member, z[member, rows[member]]) for member in range(2)]
        assert torch.equal(ensemble.loop(z, labels, rows, 1).epoch(epoch).z, torch.stack(before))


def test_the_global_random_state_plays_no_part():
    z, labels = problem(2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = train(small(), [1, 2], z, labels, samples([20, 20]))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_same(state(one.network), state(train(small(), [1, 2], z, labels, samples([20, 20])).network))


# ------------------------------------------------------------------------------------------------ freezing


def unprojected(**changed):
    return small(project_delays=False, delay_lr=0.02, delay_lr_final=0.02, homeostasis=0.0, batch=64, **changed)


def test_a_member_whose_delay_falls_to_0_keeps_its_weights(plain_adam):
    recipe = unprojected(epochs=12)
    z, labels = problem(3)
    rows = samples([30] * 3)
    ensemble = Ensemble(recipe, [1, 2, 3])
    with torch.no_grad():
        ensemble.network[0].delay[1] = 0.02  # Adam moves by about 0.02 at a step, one neuron or another downwards
    history, loop = [], ensemble.loop(z, labels, rows, 1)
    for epoch in range(1, recipe.epochs + 1):
        history.append((ensemble.learner.frozen.tolist(), state(ensemble.network, 1)))
        loop.epoch(epoch)
    first = next(k for k, (frozen, _) in enumerate(history) if frozen[1])
    assert 0 < first < recipe.epochs - 1
    assert [frozen[1] for frozen, _ in history] == [False] * first + [True] * (len(history) - first)
    for _, later in history[first:]:
        assert_same(later, history[first - 1][1])  # those it had before the step that froze it
    if first > 1:
        assert not torch.equal(history[0][1]["0.shift"], history[first - 1][1]["0.shift"])
    assert (history[-1][1]["0.delay"] > 0).all()
    assert ensemble.learner.frozen.tolist() == [False, True, False]
    for member, seed in ((0, 1), (2, 3)):
        assert_same(state(ensemble.network, member), state(alone(recipe, seed, z[member], labels, rows[member])))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_what_freezes_a_member(value, monkeypatch):
    recipe = unprojected(epochs=1)
    z, labels = problem(2)
    ensemble = Ensemble(recipe, [1, 2])

    def fatal(self):
        with torch.no_grad():
            ensemble.network[1].delay[0, 2] = value

    monkeypatch.setattr(Constraints, "after_step", fatal)
    before = state(ensemble.network, 0)
    ensemble.loop(z, labels, samples([20, 20]), 1).epoch(1)
    assert ensemble.learner.frozen.tolist() == [True, False]
    assert_same(state(ensemble.network, 0), before)


def test_projected_delays_freeze_nobody():
    z, labels = problem(3)
    ensemble = train(small(delay_lr=5.0, delay_lr_final=5.0), [1, 2, 3], z, labels, samples([30] * 3))
    assert not ensemble.learner.frozen.any()
    assert all((layer.delay >= 1).all() for layer in ensemble.network)


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    "members",
    [0, -1, 1.5, "3"],
)
def test_members_must_be_a_number_of_1_or_more(members):
    with pytest.raises(InputError, match="members must be an integer of 1 or more"):
        ShiftLinear(2, 3, members=members)


def test_one_generator_for_each_member():
    generators = [random_state(k, 0) for k in range(2)]
    for members in (1, 3, None):
        with pytest.raises(InputError, match="generator must be one"):
            ShiftLinear(2, 3, members=members, generator=generators)
    assert ShiftLinear(2, 3, members=2, generator=generators).shift.shape == (2, 2, 3)
    assert ShiftLinear(2, 3, members=2, generator=generators[0]).delay.shape == (2, 3)


def test_inputs_must_have_the_members():
    layer = ShiftLinear(2, 3, members=2)
    for z in (torch.ones(4, 2), torch.ones(3, 4, 2), torch.ones(2, 4, 5), torch.ones(1, 2, 4, 2)):
        with pytest.raises(InputError, match=r"z must have shape \*?\(?"):
            layer(z)
    with pytest.raises(InputError, match="do not divide"):
        layer(SpikeEvents.from_dense(torch.ones(3, 2)))
    assert layer(torch.ones(2, 4, 2)).shape == (2, 4, 3)


def test_a_layer_says_how_many():
    assert "members=4" in repr(ShiftLinear(2, 3, members=4))
    assert "members" not in repr(ShiftLinear(2, 3))


def test_the_recipe_needs_sizes():
    recipe = dataclasses.replace(small(), layers=(0, 5, 3))
    with pytest.raises(InputError, match="in_features"):
        Ensemble(recipe, [1])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"modulator": "reward"}, "modulator 'reward' is for single networks"),
        ({"init": "data"}, "init 'data' is for single networks"),
        ({"translate": 1}, "translate is for single networks, .* got 1"),
        ({"jitter": 0.1}, r"jitter is for single networks, .* got \(0.1,\)"),
        ({"deletion": 0.1}, "deletion is for single networks"),
        ({"averaging": 0.9}, "averaging is for single networks"),
    ],
)
def test_what_single_networks_alone_can_do_is_refused_before_anything_is_written(tmp_path, setting, message):
    class Nobody:
        def batch(self, *_): ...

        def epoch(self, record): ...

    table, xor = (recipes.override(recipes.read(name), setting) for name in ("iris", "xor"))
    with pytest.raises(InputError, match=message):
        Ensemble(recipes.override(xor, {"layers": [4, 5, 2]}), [1])
    with pytest.raises(InputError, match=message):
        cross_validate(table, tmp_path / "folds", 0, 3, 1, Nobody())
    with pytest.raises(InputError, match=message):
        repeat(xor, tmp_path / "repeats", 0, 3, Nobody())
    assert not list(tmp_path.iterdir())
