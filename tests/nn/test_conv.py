"""Convolution and pooling: a convolution is a ShiftLinear over windows that are unfolded here by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from shiftlearn import SpikeEvents, ops, recipes
from shiftlearn.coding import encoder
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.nn import (
    FEEDBACK,
    DirectFeedback,
    EarliestSpikePool2d,
    FirstSpikeCrossEntropy,
    Homeostasis,
    ShiftConv2d,
    ShiftLinear,
    first_to_fire,
    project_delays,
)
from shiftlearn.training.step import Learner, random_state

inf = math.inf


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image(*shape: int) -> Tensor:
    """Spike times, some of them tied, some silent."""
    z = torch.exp(2 * torch.rand(shape, dtype=torch.float64, generator=seeded(7)))
    chance = torch.rand(shape, generator=seeded(8))
    return z.masked_fill(chance < 0.2, 3.0).masked_fill(chance > 0.9, inf)


def make(layer: type = ShiftConv2d, *sizes: int, **options: object) -> ShiftLinear:
    """A layer with some negative weights and delays that differ."""
    result = layer(*sizes, init_scale=9.0, dtype=torch.float64, generator=seeded(), **options)
    with torch.no_grad():
        result.shift[::5] *= -0.3
        result.delay.copy_(1 + torch.arange(sizes[1]) / 4)
    return result


def places(z: Tensor, size: int, padding: int) -> Iterator[tuple[int, int, int, list[tuple[int, int, int] | None]]]:
    """Sample, row and column of each window, and where its inputs come from; None: from outside the image."""
    batch, channels, rows, columns = z.shape
    for b in range(batch):
        for r in range(rows + 2 * padding - size + 1):
            for s in range(columns + 2 * padding - size + 1):
                window: list[tuple[int, int, int] | None] = []
                for c in range(channels):
                    for y in range(r - padding, r - padding + size):
                        for x in range(s - padding, s - padding + size):
                            window.append((c, y, x) if 0 <= y < rows and 0 <= x < columns else None)
                yield b, r, s, window


def unfolded(z: Tensor, size: int, padding: int) -> Tensor:
    rows = [[inf if at is None else z[b][at] for at in window] for b, _, _, window in places(z, size, padding)]
    return torch.tensor(rows, dtype=z.dtype)


# --------------------------------------------------------------------------------------------- convolution


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("feedback", FEEDBACK)
@pytest.mark.parametrize("rule", ["shifting", "normalized", "exact"])
def test_a_convolution_is_a_linear_layer_over_windows(rule: str, feedback: str, padding: int) -> None:
    """Forward, every adjustment, and the weights after a step."""
    options = {"rule": rule, "feedback": feedback, "min_drive": 0.1}
    conv = make(ShiftConv2d, 2, 4, 3, padding=padding, **options)
    linear = make(ShiftLinear, 18, 4, **options)
    for name, x in conv.state_dict().items():
        assert torch.equal(x, linear.state_dict()[name])
    z = image(2, 2, 5, 4).requires_grad_()
    windows = unfolded(z.detach(), 3, padding).requires_grad_()
    fired, rows = conv(z), linear(windows)
    assert fired.shape == (2, 4, 3 + 2 * padding, 2 + 2 * padding)
    assert fired.isfinite().any()
    delta = torch.randn(fired.shape, dtype=z.dtype, generator=seeded(3))
    optimizers = [torch.optim.Adam(layer.parameters(), lr=0.01) for layer in (conv, linear)]
    fired.backward(delta)
    rows.backward(torch.stack([delta[b, :, r, s] for b, r, s, _ in places(z, 3, padding)]))
    for k, (b, r, s, _) in enumerate(places(z, 3, padding)):
        torch.testing.assert_close(fired[b, :, r, s], rows[k], rtol=1e-12, atol=0)  # sums in another order
    torch.testing.assert_close(conv.shift.grad, linear.shift.grad)
    torch.testing.assert_close(conv.delay.grad, linear.delay.grad)
    assert conv.shift.grad.abs().max() > 0
    if feedback == "none":
        assert z.grad is windows.grad is None
    else:
        sent = torch.zeros_like(z)
        for k, (b, _, _, window) in enumerate(places(z, 3, padding)):
            for at, x in zip(window, windows.grad[k], strict=True):
                if at is not None:
                    sent[b][at] += x
        assert sent.abs().max() > 0
        torch.testing.assert_close(z.grad, sent)
    before = conv.shift.detach().clone()
    for optimizer in optimizers:
        optimizer.step()
    assert not torch.equal(conv.shift, before)
    torch.testing.assert_close(conv.shift, linear.shift)
    torch.testing.assert_close(conv.delay, linear.delay)


def test_one_window_in_loops() -> None:
    """The smallest case, with nothing of the library: 1 channel, 2 x 3 pixels, windows of 2 x 2, 1 map."""
    conv = ShiftConv2d(1, 1, 2, rule="normalized", dtype=torch.float64)
    weights = [0.9, 0.4, -0.2, 0.7]
    with torch.no_grad():
        conv.shift.copy_(torch.tensor(weights)[:, None])
        conv.delay.fill_(1.25)
    pixels = [[1.0, 3.0, 2.0], [1.5, 4.0, inf]]
    z = torch.tensor([[pixels]], dtype=torch.float64, requires_grad=True)
    delta = [0.5, -2.0]
    fired, to_shift, to_delay, sent = [], [0.0] * 4, 0.0, [[0.0] * 3, [0.0] * 3]
    for window in range(2):
        inputs = sorted((pixels[k // 2][window + k % 2], k) for k in range(4))
        causal, total, moment = [], -1.0, 0.0
        for time, k in inputs:
            if time == inf or (total > 0 and moment / total <= time):
                break
            causal.append(k)
            total, moment = total + weights[k], moment + weights[k] * time
        assert total > 0
        z_out = 1.25 * moment / total
        fired.append(z_out)
        error = delta[window] / total
        to_delay += error * z_out
        for k in causal:
            y, x = k // 2, window + k % 2
            to_shift[k] += error * math.exp(1.25) * (pixels[y][x] - z_out)
            sent[y][x] += error * weights[k]
    out = conv(z)
    out.backward(torch.tensor(delta, dtype=z.dtype).reshape(1, 1, 1, 2))
    assert out.flatten().tolist() == pytest.approx(fired)
    assert conv.shift.grad.flatten().tolist() == pytest.approx(to_shift)
    assert conv.delay.grad.tolist() == pytest.approx([to_delay])
    assert z.grad[0, 0].tolist() == [pytest.approx(row) for row in sent]


def test_the_border_is_silent() -> None:
    """An image with a border of inf gives the same, and nothing that spikes there does: neither at 0 nor late."""
    z = torch.exp(torch.rand(3, 2, 4, 5, dtype=torch.float64, generator=seeded(7)))
    padded, plain = make(ShiftConv2d, 2, 4, 3, padding=2), make(ShiftConv2d, 2, 4, 3)
    want = padded(z)
    assert want.shape == (3, 4, 6, 7)
    assert torch.equal(plain(nn.functional.pad(z, (2,) * 4, value=inf)), want)
    for late in (1.0, math.e, 1e6):
        assert not torch.allclose(plain(nn.functional.pad(z, (2,) * 4, value=late)), want)
    with pytest.raises(InputError, match="z must be positive"):
        plain(nn.functional.pad(z, (2,) * 4))
    corner = want[:, :, 0, 0]  # hears one pixel of each channel, the last of its window
    heard = torch.stack([z[:, 0, 0, 0], z[:, 1, 0, 0]], 1)
    assert torch.equal(corner, ops.fire(heard, padded.shift[[8, 17]], padded.delay))


def test_silent_windows_stay_silent_and_learn_nothing() -> None:
    conv = ShiftConv2d(1, 3, 3, padding=1, dtype=torch.float64, generator=seeded())
    z = torch.full((2, 1, 6, 6), inf, dtype=torch.float64, requires_grad=True)
    out = conv(z)
    assert out.isinf().all()
    out.backward(torch.ones_like(out))
    for x in (conv.shift, conv.delay, z):
        assert (x.grad == 0).all()


def test_memory_does_not_grow_with_inputs_times_maps() -> None:
    """All that a step ever allocates is less than one (batch, windows, inputs, maps) tensor."""
    conv = ShiftConv2d(4, 64, 5, generator=seeded())
    z = torch.exp(torch.rand(4, 4, 16, 16, generator=seeded())).requires_grad_()
    windows, inputs, maps, size = 4 * 12 * 12, 100, 64, 4
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        conv(z).sum().backward()
    allocated = sum(max(event.self_cpu_memory_usage, 0) for event in seen.events())
    assert size * windows * inputs < allocated < size * windows * inputs * maps / 2


def test_what_follows_the_step_knows_convolutions() -> None:
    conv = ShiftConv2d(2, 4, 3, generator=seeded())
    with torch.no_grad():
        conv.shift -= 1
        conv.delay.copy_(torch.tensor([-1.0, 0.5, 1.0, 2.5]))
    network = nn.Sequential(conv, EarliestSpikePool2d(2))
    Homeostasis(1.3)(network)
    torch.testing.assert_close(conv.shift.detach().sum(0), torch.full((4,), 1.3))
    project_delays(network)
    assert conv.delay.tolist() == [1.0, 1.0, 1.0, 2.5]


def test_construction_and_repr() -> None:
    conv = ShiftConv2d(3, 7, 5, padding=2, rule="exact", feedback="random", generator=seeded())
    linear = ShiftLinear(75, 7, rule="exact", feedback="random", generator=seeded())
    assert conv.shift.shape == (75, 7)
    assert conv.state_dict().keys() == linear.state_dict().keys()
    assert all(torch.equal(x, linear.state_dict()[name]) for name, x in conv.state_dict().items())
    assert repr(conv) == "ShiftConv2d(3, 7, kernel_size=5, padding=2, rule='exact', feedback='random')"
    assert repr(EarliestSpikePool2d(2)) == "EarliestSpikePool2d(2)"
    double = conv.double()
    assert double(torch.ones(0, 3, 6, 7, dtype=torch.float64)).shape == (0, 7, 6, 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_channels": 0}, "in_channels must be an integer of 1 or more, got 0"),
        ({"out_channels": 2.0}, "out_channels must be an integer of 1 or more, got 2.0"),
        ({"kernel_size": (3, 3)}, r"kernel_size must be an integer of 1 or more, got \(3, 3\)"),
        ({"padding": -1}, "padding must be an integer of 0 or more, got -1"),
        ({"rule": "hebb"}, "unknown rule 'hebb'"),
        ({"feedback": "direct"}, "unknown feedback 'direct'"),
        ({"init_scale": 0.0}, "init_scale must be positive"),
    ],
    ids=str,
)
def test_bad_arguments(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ShiftConv2d(**({"in_channels": 1, "out_channels": 2, "kernel_size": 3} | changes))


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (torch.ones(2, 9), r"z must be \(batch, 2, rows, columns\) of floats, got \(2, 9\)"),
        (torch.ones(2, 3, 5, 5), r"z must be \(batch, 2, rows, columns\) of floats, got \(2, 3, 5, 5\)"),
        (torch.ones(1, 2, 5, 2), "z must have at least 3 rows and columns for windows of 5 and padding 1, got"),
        (torch.ones(1, 2, 5, 5, dtype=torch.float64), r"shift is torch\.float32 .* torch\.float64"),
        (torch.ones(1, 2, 5, 5, dtype=torch.int64), r"z must be \(batch, 2, .* of floats, got .* of torch\.int64"),
        (-torch.ones(1, 2, 5, 5), "z must be positive"),
        (SpikeEvents.from_dense(torch.ones(2, 50)), r"z must be .* got SpikeEvents\("),
    ],
)
def test_bad_images(z: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ShiftConv2d(2, 3, 5, padding=1)(z)


# ------------------------------------------------------------------------------------------------- pooling


def test_pooling_passes_the_earliest_spike_on_and_the_error_back_to_it() -> None:
    z = image(3, 2, 7, 5).requires_grad_()
    with torch.no_grad():
        z[1, 0, 2:4, 2:4] = inf
    out = EarliestSpikePool2d(2)(z)
    delta = torch.randn(out.shape, dtype=z.dtype, generator=seeded())
    out.backward(delta)
    want, sent = torch.full((3, 2, 3, 2), inf, dtype=z.dtype), torch.zeros_like(z)
    for b in range(3):
        for c in range(2):
            for r in range(3):
                for s in range(2):
                    inputs = [(z[b, c, y, x].item(), y, x) for y in (2 * r, 2 * r + 1) for x in (2 * s, 2 * s + 1)]
                    time, y, x = min(inputs)  # of tied ones the first
                    want[b, c, r, s] = time
                    sent[b, c, y, x] = delta[b, c, r, s] if time < inf else 0
    assert torch.equal(out, want)
    assert torch.equal(z.grad, sent)
    assert want.isinf().any()


def test_ties_and_silence_in_pooling() -> None:
    z = torch.tensor([[5.0, 2.0, inf, inf], [2.0, 2.0, inf, inf]])[None, None].requires_grad_()
    out = EarliestSpikePool2d(2)(z)
    assert out.tolist() == [[[[2.0, inf]]]]
    out.backward(torch.ones_like(out))
    assert z.grad.tolist() == [[[[0, 1, 0, 0], [0, 0, 0, 0]]]]


def test_bad_pooling() -> None:
    with pytest.raises(InputError, match="kernel_size must be an integer of 1 or more, got 0"):
        EarliestSpikePool2d(0)
    for shape in ((2, 9), (1, 1, 3, 9), (3, 4, 4)):
        with pytest.raises(InputError, match=r"z must have shape \(batch, channels, rows, columns\), .* 4 or more"):
            EarliestSpikePool2d(4)(torch.ones(shape))


# -------------------------------------------------------------------------------------------------- networks


def stack(feedback: str) -> list[nn.Module]:
    return [
        make(ShiftConv2d, 1, 3, 3, padding=1, feedback=feedback),
        EarliestSpikePool2d(2),
        make(ShiftConv2d, 3, 4, 2, feedback=feedback),
        nn.Flatten(),
        make(ShiftLinear, 16, 3, feedback=feedback),
    ]


def test_direct_feedback_reaches_every_neuron_of_a_map() -> None:
    """Each layer changes by the local rule for δ = e·B, whatever stands between the layers."""
    network = DirectFeedback(*stack("none"), input_shape=(1, 6, 6), generator=seeded(2))
    first, second = (network.get_buffer(f"direct_{k}") for k in range(2))
    assert (first.shape, second.shape) == ((3, 3 * 6 * 6), (3, 4 * 2 * 2))
    assert not torch.equal(first[:, :16], second)
    bound = network[4].init_scale / 16
    assert 0 <= first.min() < 0.02 * bound < 0.98 * bound < first.max() <= bound
    z, target = [image(5, 1, 6, 6)], torch.tensor([0, 1, 2, 0, 1])
    for module in network:
        z.append(module(z[-1]).detach())
    out = network(z[0])
    assert torch.equal(out, z[-1])
    FirstSpikeCrossEntropy(2.0, 0.1)(out, target).backward()
    last = z[-1].clone().requires_grad_()
    FirstSpikeCrossEntropy(2.0, 0.1)(last, target).backward()
    e = last.grad
    for k, delta in ((0, (e @ first).view(5, 3, 6, 6)), (2, (e @ second).view(5, 4, 2, 2)), (4, e)):
        own = stack("none")[k]
        own(z[k]).backward(delta)
        assert own.shift.grad.abs().max() > 0
        torch.testing.assert_close(network[k].shift.grad, own.shift.grad)
        torch.testing.assert_close(network[k].delay.grad, own.delay.grad)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([nn.Flatten(), *stack("none")[4:]], "input_shape must be given where the first module is no layer"),
        (stack("none")[:-1], "layers must be ShiftLinear with feedback 'none', got Flatten"),
        (stack("symmetric"), "layers must be ShiftLinear with feedback 'none', got ShiftConv2d"),
        ([nn.Linear(2, 2), *stack("none")[4:]], "layers must be ShiftLinear with feedback 'none', got Linear"),
        ([], "layers must be ShiftLinear with feedback 'none', got None"),
    ],
)
def test_direct_feedback_refuses(modules: list[nn.Module], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DirectFeedback(*modules)
    with pytest.raises(InputError, match="z must be"):
        DirectFeedback(*stack("none"), input_shape=(36,))


@pytest.mark.parametrize("feedback", ["symmetric", "random", "sign", "direct"])
def test_two_convolutions_learn_small_digits_by_each_pathway(feedback: str) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = torch.from_numpy(digits.data).float() / 16, torch.from_numpy(digits.target)
    settings = {"layers": [64, 10], "maps": [6, 12], "kernel": 3, "padding": 1, "init_scale": 8, "feedback": feedback}
    recipe = recipes.override(recipes.read("mnist"), settings | {"lr": 1e-2, "batch": 32, "epochs": 3})
    network = build(recipe, random_state(0, 0))
    learner, encode = Learner(network, recipe), encoder(recipe.coding, recipe.coding_exponent, dense=True)
    learner.set_rates(0)
    for epoch in range(1, recipe.epochs + 1):
        for part in torch.randperm(1300, generator=random_state(0, epoch)).split(recipe.batch):
            learner.step(encode(x[part]), y[part])
    with torch.no_grad():
        assert (first_to_fire(network(encode(x[1300:]))) == y[1300:]).double().mean() > 0.5
