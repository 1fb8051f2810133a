"""Networks side by side: each is the network that it would be alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shiftlearn import SpikeEvents, ops, recipes
from shiftlearn.cross_validation import cross_validate
from shiftlearn.ensemble import Ensemble
from shiftlearn.errors import InputError
from shiftlearn.learner import Learner, random_state
from shiftlearn.model import build
from shiftlearn.nn import ShiftLinear
from shiftlearn.ops import reference
from shiftlearn.repeats import repeat

try:
    from shiftlearn.ops import cpu
except ImportError:
    cpu = None

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
    for epoch in range(1, recipe.epochs + 1):
        ensemble.epoch(epoch, z, labels, rows, steps or steps_of(recipe, rows))
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

    def note(inputs, target, weight=None):
        flat = inputs[0].reshape(-1, INPUTS)
        seen.update(k for k in range(SAMPLES) if (z[0, k] == flat).all(-1).any())
        return step(inputs, target, weight)

    ensemble = Ensemble(recipe, [0, 1])
    step, ensemble.learner.step = ensemble.learner.step, note
    for epoch in range(1, 31):
        ensemble.epoch(epoch, z, labels, rows, 1)
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
        assert torch.equal(ensemble.epoch(epoch, z, labels, rows, 1), torch.stack(before))


def test_batches_are_padded_to_the_largest():
    z, labels = problem(2)
    assert Ensemble(small(), [8, 9]).epoch(1, z, labels, samples([20, 17]), 3).shape == (2, 20, CLASSES)


def test_the_global_random_state_plays_no_part():
    z, labels = problem(2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = train(small(), [1, 2], z, labels, samples([20, 20]))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_same(state(one.network), state(train(small(), [1, 2], z, labels, samples([20, 20])).network))


# ------------------------------------------------------------------------------------------------ freezing


def mortal(**changed):
    return small(project_delays=False, delay_lr=0.02, delay_lr_final=0.02, homeostasis=0.0, batch=64, **changed)


def test_a_member_whose_delay_falls_to_0_keeps_its_weights(plain_adam):
    recipe = mortal(epochs=12)
    z, labels = problem(3)
    rows = samples([30] * 3)
    ensemble = Ensemble(recipe, [1, 2, 3])
    with torch.no_grad():
        ensemble.network[0].delay[1] = 0.02  # Adam moves by about 0.02 at a step, one neuron or another downwards
    history = []
    for epoch in range(1, recipe.epochs + 1):
        history.append((ensemble.alive.tolist(), state(ensemble.network, 1)))
        ensemble.epoch(epoch, z, labels, rows, 1)
    died = next(k for k, (alive, _) in enumerate(history) if not alive[1])
    assert 0 < died < recipe.epochs - 1
    assert [alive[1] for alive, _ in history] == [True] * died + [False] * (len(history) - died)
    for _, later in history[died:]:
        assert_same(later, history[died - 1][1])  # those it had before the step that killed it
    if died > 1:
        assert not torch.equal(history[0][1]["0.shift"], history[died - 1][1]["0.shift"])
    assert (history[-1][1]["0.delay"] > 0).all()
    assert ensemble.alive.tolist() == [True, False, True]
    for member, seed in ((0, 1), (2, 3)):
        assert_same(state(ensemble.network, member), state(alone(recipe, seed, z[member], labels, rows[member])))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_what_counts_as_dead(value):
    recipe = mortal(epochs=1)
    z, labels = problem(2)
    ensemble = Ensemble(recipe, [1, 2])
    step = ensemble.learner.step

    def fatal(*arguments):
        result = step(*arguments)
        with torch.no_grad():
            ensemble.network[1].delay[0, 2] = value
        return result

    ensemble.learner.step = fatal
    before = state(ensemble.network, 0)
    ensemble.epoch(1, z, labels, samples([20, 20]), 1)
    assert ensemble.alive.tolist() == [False, True]
    assert_same(state(ensemble.network, 0), before)


def test_projected_delays_let_nobody_die():
    z, labels = problem(3)
    ensemble = train(small(delay_lr=5.0, delay_lr_final=5.0), [1, 2, 3], z, labels, samples([30] * 3))
    assert ensemble.alive.all()
    assert all((layer.delay >= 1).all() for layer in ensemble.network)


# ------------------------------------------------------------------------------------------------ kernels


def events_and_weights(members, batch, inputs, outputs, dtype=torch.float32):
    """Multiples of 1/8 and powers of two: sums are exact even in float32, so results are equal to the last bit."""
    rng = np.random.default_rng(members * 1000 + batch * 100 + inputs * 10 + outputs)
    z = rng.integers(1, 12, (members, batch, inputs)) / 4
    z[rng.random(z.shape) < 0.2] = math.inf
    if batch > 1:
        z[:, 1] = math.inf  # a row without spikes
    shift = rng.integers(-6, 12, (members, inputs, outputs)) / 8
    if outputs > 1:
        shift[:, :, 1] = -0.5  # a neuron that is always silent
    a, c, f = rng.integers(-8, 9, (3, members, batch, outputs)) / 4
    tensors = [torch.tensor(x, dtype=dtype) for x in (z, shift, a, c, f)]
    return ops.sort_spikes(tensors[0]), *tensors


@pytest.mark.skipif(cpu is None, reason="installed without C++ kernels")
@pytest.mark.parametrize("count_of_threads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("members", "batch", "inputs", "outputs"),
    [(1, 4, 6, 5), (1, 1, 1, 1), (3, 1, 1, 1), (7, 5, 9, 17), (13, 3, 4, 2), (2, 6, 40, 33), (4, 1, 5, 3)],
)
def test_kernels_of_an_ensemble(threads, instruction_set, members, batch, inputs, outputs, dtype, count_of_threads):
    torch.set_num_threads(count_of_threads)
    events, z, shift, a, c, f = events_and_weights(members, batch, inputs, outputs, dtype)
    parts = events.z, events.channel, events.offsets, events.rest
    together = cpu.first_spike(*parts, shift)
    want = reference.first_spike(*parts, shift)
    count = want[1]
    for x, y in zip(together, want, strict=True):
        assert x.shape == (members, batch, outputs)
        torch.testing.assert_close(x, y, rtol=1e-6, atol=0)
    assert torch.equal(together[1], count)
    if outputs > 1:
        assert together[0][..., 1].isinf().all()
        assert (count[..., 1] == 0).all()
    grown, heard = cpu.plasticity(*parts, count, a, c, inputs), cpu.feedback(*parts, count, f, shift)
    assert torch.equal(grown, reference.plasticity(*parts, count, a, c, inputs))
    assert torch.equal(heard, reference.feedback(*parts, count, f, shift))
    for m in range(members):
        own = ops.sort_spikes(z[m])
        alone = own.z, own.channel, own.offsets, own.rest
        for x, y in zip(together, cpu.first_spike(*alone, shift[m]), strict=True):
            assert torch.equal(x[m], y)
        assert torch.equal(grown[m], cpu.plasticity(*alone, count[m], a[m], c[m], inputs))
        assert torch.equal(heard[m], cpu.feedback(*alone, count[m], f[m], shift[m]))
        if outputs > 1:
            assert not grown[m, :, 1].any()


@pytest.mark.skipif(cpu is None, reason="installed without C++ kernels")
@pytest.mark.parametrize("rule", ["shifting", "normalized", "exact"])
@pytest.mark.parametrize(("members", "batch", "outputs"), [(1, 4, 5), (3, 1, 1), (9, 6, 17)])
def test_coefficients_of_an_ensemble(threads, rule, members, batch, outputs):
    torch.set_num_threads(3)
    rng = np.random.default_rng(members)
    delta, u, drive = torch.tensor(rng.uniform(0.1, 3, (3, members, batch, outputs)), dtype=torch.float32)
    delta -= 1.5
    u[rng.random(u.shape) < 0.3] = math.inf
    delta[u.isinf()] = math.nan  # whatever reaches a silent neuron
    drive[u.isinf()] = 0
    delay = torch.tensor(rng.uniform(1, 2, (members, outputs)), dtype=torch.float32)
    together = cpu.coefficients(rule, delta, u, drive, delay, 0.5)
    want = reference.coefficients(rule, *(x.double() for x in (delta, u, drive, delay)), 0.5)
    assert [tuple(x.shape) for x in together] == [tuple(u.shape)] * 3 + [tuple(delay.shape)]
    for x, y in zip(together, want, strict=True):
        torch.testing.assert_close(x.double(), y, rtol=1e-5, atol=1e-5)
    for m in range(members):
        for x, y in zip(together, cpu.coefficients(rule, delta[m], u[m], drive[m], delay[m], 0.5), strict=True):
            assert torch.equal(x[m], y)
    assert u.isinf().any()
    assert not together[0][u.isinf()].any()


@pytest.mark.parametrize("rule", ["shifting", "normalized", "exact"])
@pytest.mark.parametrize("lead", [(1,), (5,), (2, 3)], ids=str)
def test_fire_of_an_ensemble_is_that_of_its_members(threads, rule, lead):
    torch.set_num_threads(3)
    rng = np.random.default_rng(len(lead))
    z = np.exp(rng.uniform(0, 2, (*lead, 6, 8)))
    z[rng.random(z.shape) < 0.2] = math.inf
    shift = rng.normal(0.3, 0.4, (*lead, 8, 7))
    shift[..., 2] = -0.1
    others = rng.uniform(1, 2, (*lead, 7)), rng.normal(0, 1, (*lead, 8, 7)), rng.normal(0, 1, (*lead, 6, 7))
    tensors = [torch.tensor(x, dtype=torch.float32) for x in (z, shift, *others)]

    def run(*tensors):
        *leaves, matrix, error = tensors
        leaves = [x.clone().requires_grad_() for x in leaves]
        out = ops.fire(*leaves, matrix, rule, 0.01)
        out.backward(error)
        return [out.detach(), *(x.grad for x in leaves)]

    together = run(*tensors)
    assert together[0][..., 2].isinf().all()
    assert not together[2][..., 2].any()
    for index in np.ndindex(*lead):
        for a, b in zip(together, run(*(x[index] for x in tensors)), strict=True):
            assert torch.equal(a[index], b)
    want = run(*(x.double() for x in tensors))
    for a, b in zip(together, want, strict=True):
        scale = float(b[b.isfinite()].abs().max())
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-4 * scale)


def test_explicit_events_belong_to_members_in_order():
    z = torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.5, 1.5], [math.inf, 1.0]])
    shift = torch.tensor([[[2.0], [0.0]], [[0.0], [3.0]]])
    out = ops.fire(SpikeEvents.from_dense(z), shift, torch.ones(2, 1))
    torch.testing.assert_close(out, torch.tensor([[[2.0], [4.0]], [[2.25], [1.5]]]))


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
