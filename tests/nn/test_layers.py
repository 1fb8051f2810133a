"""ShiftLinear, its feedback pathways, and the steps that follow the optimizer's."""

from __future__ import annotations

import copy
import io
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shiftlearn import SpikeEvents, ops
from shiftlearn.errors import InputError, RunWarning
from shiftlearn.nn import FEEDBACK, ShiftConv2d, ShiftLinear, project_delays

inf = math.inf


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(feedback: str = "symmetric", seed: int = 0, **options: object) -> ShiftLinear:
    return ShiftLinear(6, 4, feedback=feedback, generator=seeded(seed), **options)


def times(batch: int = 5, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.exp(torch.rand(batch, 6, dtype=dtype, generator=seeded(7)))


def sent_back(layer: ShiftLinear, z: Tensor, delta: Tensor) -> Tensor | None:
    z = z.clone().requires_grad_()
    layer(z).backward(delta)
    return z.grad


def mixed(layer: ShiftLinear) -> ShiftLinear:
    """The layer with some weights negative and one 0."""
    with torch.no_grad():
        layer.shift[1] *= -0.5
        layer.shift[2, 0] = 0
    return layer


# --------------------------------------------------------------------------------------------- construction


def test_initial_values() -> None:
    layer = ShiftLinear(200, 50, feedback="random", init_scale=20.0, generator=seeded())
    for x in (layer.shift, layer.feedback_weight):
        assert x.shape == (200, 50)
        assert x.min() >= 0
        assert 0.099 < x.max() <= 0.1
        assert x.mean().item() == pytest.approx(0.05, rel=0.02)
    assert not torch.equal(layer.shift, layer.feedback_weight)
    assert torch.equal(layer.delay, torch.ones(50))
    assert make().shift.max() > 0.5 * 8 / 6  # init_scale 8 unless told


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_the_generator_decides(feedback: str) -> None:
    one, two, other = make(feedback, 1), make(feedback, 1), make(feedback, 2)
    for name, x in one.state_dict().items():
        assert torch.equal(x, two.state_dict()[name])
        assert name == "delay" or not torch.equal(x, other.state_dict()[name])
    other.reset_parameters(seeded(1))
    for name, x in one.state_dict().items():
        assert torch.equal(x, other.state_dict()[name])


def test_resetting_resets_the_delays() -> None:
    layer = make()
    with torch.no_grad():
        layer.delay.fill_(3)
    layer.reset_parameters()
    assert (layer.delay == 1).all()


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_what_is_saved(feedback: str) -> None:
    layer = make(feedback)
    matrix = ["feedback_weight"] if feedback in ("random", "aligning", "sign") else []
    assert sorted(layer.state_dict()) == sorted(["shift", "delay", *matrix])
    assert sorted(name for name, _ in layer.named_parameters()) == ["delay", "shift"]


def test_dtype_and_repr() -> None:
    layer = make(dtype=torch.float64, rule="exact")
    assert layer.shift.dtype == layer.delay.dtype == torch.float64
    assert repr(layer) == "ShiftLinear(6, 4, rule='exact', feedback='symmetric')"


# ------------------------------------------------------------------------------------------------- forward


def test_forward_is_fire() -> None:
    layer, z = mixed(make(rule="exact", published_delays=True)), times()
    with torch.no_grad():
        layer.delay.copy_(torch.tensor([1.0, 1.5, 2.0, 0.5]))
    out = layer(z)
    assert out.shape == (5, 4)
    assert torch.equal(out, ops.fire(z, layer.shift, layer.delay))
    u, _, _ = ops.first_spike(ops.sort_spikes(z), layer.shift.detach())
    assert torch.equal(out, u * layer.delay)
    assert out.isfinite().any()


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_events_are_inputs_too(feedback: str) -> None:
    layer, z = make(feedback), times()
    dense, events = layer(z), layer(SpikeEvents.from_dense(z))
    assert torch.equal(dense, events)
    grads = []
    for out in (dense, events):
        layer.zero_grad()
        out.sum().backward()
        grads.append(layer.shift.grad.clone())
    assert grads[0].abs().max() > 0
    torch.testing.assert_close(grads[0], grads[1])


def test_the_rule_and_the_floor_reach_the_backward_pass() -> None:
    z, delta = times(), torch.ones(5, 4)
    grads = {}
    for rule, floor in (("normalized", 0.0), ("normalized", 5.0), ("shifting", 0.0), ("exact", 0.0)):
        layer = make(rule=rule, min_drive=floor)
        layer(z).backward(delta)
        grads[rule, floor] = layer.shift.grad
    drive = ops.first_spike(ops.sort_spikes(z), make().shift.detach())[2]
    assert drive.max() < 5
    torch.testing.assert_close(grads["normalized", 5.0], grads["shifting", 0.0] / 5)
    torch.testing.assert_close(grads["normalized", 0.0], math.e * grads["exact", 0.0])  # where the delay is 1
    assert not torch.allclose(grads["normalized", 0.0], grads["normalized", 5.0])


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_copies_give_the_same_outputs(feedback: str) -> None:
    layer, z, delta = mixed(make(feedback)), times(), torch.ones(5, 4)
    with torch.no_grad():
        layer.delay.fill_(1.25)
    loaded = make(feedback, seed=9)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    loaded.load_state_dict(torch.load(buffer, weights_only=True))
    want, sent = layer(z), sent_back(layer, z, delta)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded):
        assert torch.equal(other(z), want)
        back = sent_back(other, z, delta)
        assert (back is None and sent is None) or torch.equal(back, sent)


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_to_float64(feedback: str) -> None:
    layer, z = make(feedback), times()
    single = layer(z).double()
    layer.to(torch.float64)
    assert all(x.dtype == torch.float64 for x in layer.state_dict().values())
    z = z.double().requires_grad_()
    out = layer(z)
    assert out.dtype == torch.float64
    torch.testing.assert_close(out, single, rtol=1e-4, atol=0)
    out.sum().backward()
    assert layer.shift.grad.dtype == torch.float64
    assert z.grad is None or z.grad.dtype == torch.float64


# -------------------------------------------------------------------------------------------------- delays


@pytest.mark.parametrize(
    ("layer", "given"),
    [
        (lambda tau: make(delay_tau=tau), 0.3),
        (lambda tau: make(delay_tau=tau), [0.0, 0.5, 1.0, 4.0]),
        (lambda tau: make(delay_tau=tau, members=2, dtype=torch.float64), torch.tensor([0.0, 0.5, 1.0, 4.0])),
        (lambda tau: ShiftConv2d(2, 4, 3, delay_tau=tau), 0.3),
    ],
)
def test_delays_in_units_of_tau(layer: Callable[..., ShiftLinear], given: Any) -> None:
    """A spike arrives so much later, and delays are that again after a reset."""
    one, without = layer(given), layer(0.0)
    factors = torch.as_tensor(given).exp().to(one.delay.dtype).expand_as(one.delay)
    torch.testing.assert_close(one.delay.detach(), factors)
    without.load_state_dict({**one.state_dict(), "delay": without.delay})
    z = times(dtype=one.delay.dtype).expand(*one.delay.shape[:-1], 5, 6)
    z = torch.rand(1, 2, 4, 4) + 1 if isinstance(one, ShiftConv2d) else z
    of_map = (4, 1, 1) if isinstance(one, ShiftConv2d) else (*one.delay.shape[:-1], 1, 4)
    torch.testing.assert_close(one(z), without(z) * factors.reshape(of_map))
    one.delay.data.fill_(3)
    one.reset_parameters()
    torch.testing.assert_close(one.delay.detach(), factors)


@pytest.mark.parametrize("layer", [make, lambda **options: ShiftConv2d(2, 4, 3, **options)])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (-0.1, "delay_tau must be 0 or more, in units of tau, .* got -0.1"),
        (math.nan, "delay_tau must be 0 or more, .* got nan"),
        (inf, "delay_tau must be 0 or more, .* got inf"),
        (89.0, r"exp\(delay_tau\) a torch.float32, got 89"),
        ([0.0, 1.0], r"delay_tau must be one number, or 4, got \(2,\)"),
    ],
)
def test_bad_delays(layer: Callable[..., ShiftLinear], given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        layer(delay_tau=given)


def set_by_fill(layer: ShiftLinear) -> None:
    with torch.no_grad():
        layer.delay.fill_(0.3)


def set_by_data(layer: ShiftLinear) -> None:
    layer.delay.data = torch.full_like(layer.delay, 0.3)


def set_by_parameter(layer: ShiftLinear) -> None:
    layer.delay = nn.Parameter(torch.full_like(layer.delay, 0.3))


def set_by_parameter_at_the_same_address(layer: ShiftLinear) -> None:
    """As the allocator may give it."""
    layer.delay = nn.Parameter(torch.ones_like(layer.delay))
    layer.look_at_delays()
    values = layer.delay.detach().numpy()
    values[:] = 0.3
    layer.delay = nn.Parameter(torch.from_numpy(values))


@pytest.mark.parametrize("lower", [set_by_fill, set_by_data, set_by_parameter, set_by_parameter_at_the_same_address])
@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_a_factor_below_1_warns_once(kind: str, lower: Callable[[ShiftLinear], None]) -> None:
    def layer(**options: bool) -> ShiftLinear:
        return make(**options) if kind == "linear" else ShiftConv2d(2, 4, 3, **options)

    z = times() if kind == "linear" else torch.rand(1, 2, 4, 4) + 1
    one = layer()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one(z)
    lower(one)
    with pytest.warns(RunWarning, match=r"delay of Shift.* holds the factor 0.3, below 1: .*delay_tau") as seen:
        one(z)
    assert [w.filename for w in seen] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one(z)
        published = layer(published_delays=True)
        lower(published)
        assert (published(z) < 1).any()
        projected = layer()
        lower(projected)
        project_delays(projected)
        projected(z)
        changed = layer()
        changed(z)
        torch.func.functional_call(changed, {"delay": torch.full((4,), 2.0)}, (z,))
        torch.func.grad(lambda z: changed(z).sum())(z)
    lower(changed)  # found though the layer was looked at before
    with pytest.warns(RunWarning, match="below 1"):
        changed(z)


# ------------------------------------------------------------------------------------------------- feedback


def by_matrix(layer: ShiftLinear, z: Tensor, delta: Tensor, matrix: Tensor) -> Tensor:
    """Σ_j δ_j B_ij over the neurons that input i helped to fire (rule "shifting")."""
    u, _, _ = ops.first_spike(ops.sort_spikes(z), layer.shift.detach())
    helped = (z[:, :, None] < u[:, None, :]) & u.isfinite()[:, None, :]
    return (helped * delta[:, None, :] * matrix).sum(2)


def test_symmetric_sends_through_the_weights() -> None:
    layer, z, delta = mixed(make(rule="shifting")), times(), torch.randn(5, 4, generator=seeded())
    assert layer.feedback_weight is None
    torch.testing.assert_close(sent_back(layer, z, delta), by_matrix(layer, z, delta, layer.shift.detach()))


def test_random_sends_through_a_fixed_matrix() -> None:
    layer, z, delta = mixed(make("random", rule="shifting")), times(), torch.randn(5, 4, generator=seeded())
    layer.published_delays = True
    matrix = layer.feedback_weight.clone()
    assert (matrix >= 0).all()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    for _ in range(3):
        torch.testing.assert_close(sent_back(layer, z, delta), by_matrix(layer, z, delta, matrix))
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(layer.feedback_weight, matrix)
    assert torch.equal(layer.state_dict()["feedback_weight"], matrix)


def test_aligning_is_random_until_it_is_aligned_and_then_symmetric() -> None:
    """B − W decays by what each step keeps, whatever the steps are."""
    layer, z, delta = mixed(make("aligning", rule="shifting")), times(), torch.randn(5, 4, generator=seeded())
    matrix = make("random").feedback_weight
    assert torch.equal(layer.feedback_weight, matrix)
    torch.testing.assert_close(sent_back(layer, z, delta), by_matrix(layer, z, delta, matrix))
    first = layer.feedback_weight - layer.shift.detach()
    for step in range(1, 61):
        before = layer.shift.detach().clone()
        with torch.no_grad():
            layer.shift.mul_(0.9).add_(torch.randn(6, 4, generator=seeded(step)), alpha=0.1)
        layer.align(before, 0.9)
        gap = layer.feedback_weight - layer.shift.detach()
        torch.testing.assert_close(gap, 0.9**step * first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        sent_back(layer, z, delta), by_matrix(layer, z, delta, layer.shift), rtol=0.01, atol=0.02
    )
    with pytest.raises(InputError, match="feedback must be 'aligning' to be aligned, got 'random'"):
        make("random").align(before, 0.9)


def test_sign_follows_the_weights_with_fixed_magnitudes() -> None:
    layer, z, delta = mixed(make("sign", rule="shifting")), times(), torch.randn(5, 4, generator=seeded())
    magnitude = layer.feedback_weight.clone()
    for _ in range(2):
        signs = torch.sign(layer.shift.detach())
        assert set(signs.unique().tolist()) == {-1, 0, 1}
        torch.testing.assert_close(sent_back(layer, z, delta), by_matrix(layer, z, delta, magnitude * signs))
        with torch.no_grad():
            layer.shift[3] *= -0.25
    assert torch.equal(layer.feedback_weight, magnitude)


def test_the_matrix_does_not_change_what_the_layer_itself_learns() -> None:
    z, delta = times(), torch.randn(5, 4, generator=seeded())
    grads = []
    for feedback in FEEDBACK:
        layer = make(feedback)
        layer(z).backward(delta)
        grads.append((layer.shift.grad, layer.delay.grad))
    assert grads[0][0].abs().max() > 0
    assert all(torch.equal(a, b) for other in grads[1:] for a, b in zip(grads[0], other, strict=True))


def test_none_sends_nothing() -> None:
    first, second = make(), ShiftLinear(4, 3, feedback="none", generator=seeded(3))
    z = times().requires_grad_()
    second(first(z)).sum().backward()
    assert second.shift.grad.abs().max() > 0
    assert z.grad is None
    assert first.shift.grad is None
