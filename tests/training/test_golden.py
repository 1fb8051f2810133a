"""Parity with the numbers of the published scripts (golden, see its README)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import shiftlearn as sl
from shiftlearn.ops import operations, reference

GOLDEN = Path(__file__).parent / "golden"
LAYERS = ("layer_12x7", "layer_64x32", "layer_mnist_784x100")


def golden(name):
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(np.asarray(file[key])) for key in file.files}


def layer(shift, delay, rule="shifting"):
    result = sl.nn.ShiftLinear(*shift.shape, rule=rule, dtype=shift.dtype)
    with torch.no_grad():
        result.shift.copy_(shift)
        result.delay.copy_(delay.reshape(-1))
    return result


def adam(layers, lr_shift, lr_delay):
    """The published optimizer: betas 0.9 and 0.9, eps 1e-8."""
    groups = [
        {"params": [x.shift for x in layers], "lr": float(lr_shift)},
        {"params": [x.delay for x in layers], "lr": float(lr_delay)},
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.9), eps=1e-8)


def causal_sets(events, count):
    """(batch, in, out): whether input i is in the causal set of neuron j; channels do not repeat."""
    rows, inputs, outputs = events.batch, events.num_channels, count.shape[1]
    mask = torch.zeros(rows, inputs, outputs, dtype=torch.bool)
    for b in range(rows):
        begin, end = int(events.offsets[b]), int(events.offsets[b + 1])
        listed = events.channel[begin:end][events.z[begin:end].isfinite()].long()
        mask[b] = count[b] > len(listed)
        mask[b, listed] = count[b] > torch.arange(len(listed))[:, None]
    return mask


def close(actual, expected, rtol, atol=0.0):
    torch.testing.assert_close(actual.reshape(expected.shape), expected, rtol=rtol, atol=atol, check_dtype=False)


@pytest.mark.parametrize("name", LAYERS)
def test_spike_times_and_causal_sets(name):
    g = golden(name)
    events = sl.SpikeEvents.from_dense(g["z_in"])
    u, count, drive = sl.ops.first_spike(events, g["e_ts"])
    close(u * g["e_tp"], g["z_out"], rtol=2e-5)
    published = g["cause_mask"]
    if name == "layer_mnist_784x100":
        published = torch.from_numpy(np.unpackbits(published.numpy(), axis=1)[:, :784])
    mask = causal_sets(events, count)
    # An input whose absence would move the crossing by no more than rounding may fall on either side.
    moved = g["e_ts"] * (u[:, None, :] - g["z_in"][:, :, None]) / (drive * u)[:, None, :]
    clear = moved.abs() > 1e-6
    assert clear.double().mean() > 0.98
    assert torch.equal(mask[clear], published.bool()[clear])
    close(drive, torch.einsum("bij,ij->bj", mask.float(), g["e_ts"]) - 1, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_adjustments_and_adam_step(name):
    g = golden(name)
    net = layer(g["e_ts"], g["e_tp"])
    z_in = g["z_in"].clone().requires_grad_()
    z_out = net(z_in)
    z_out.backward(g["delta"])
    scale = g["adj_e_ts"].abs().max()
    differs = (net.shift.grad - g["adj_e_ts"]).abs() > 1e-4 * scale
    assert differs.sum() <= (1 if name == "layer_mnist_784x100" else 0)  # counted in the golden README
    differs = (z_in.grad - g["delta_in"]).abs() > 1e-4 * g["delta_in"].abs().max()
    assert differs.sum() <= (2 if name == "layer_mnist_784x100" else 0)
    close(net.delay.grad, g["adj_e_tp"], rtol=1e-4, atol=1e-4 * float(g["adj_e_tp"].abs().max()))
    adam([net], g["lr"], g["lr"]).step()
    # The first step of Adam is lr · sign: where the adjustment is rounding noise, its sign is arbitrary.
    settled = g["adj_e_ts"].abs() > 1e-5 * scale
    close(net.shift.detach()[settled], g["e_ts_after"][settled], rtol=1e-5, atol=1e-6)
    close(net.shift.detach(), g["e_ts_after"], rtol=0, atol=2.01 * float(g["lr"]))
    close(net.delay.detach(), g["e_tp_after"], rtol=1e-5)


def test_multi_spike_layer():
    g = golden("multispike_50x20")
    events = sl.SpikeEvents(torch.exp(g["t_in"]), g["channel"], torch.tensor([0, 300]), 50)
    net = layer(g["e_ts"], g["e_tp"])
    _, count, _ = sl.ops.first_spike(events, g["e_ts"])
    assert torch.equal(torch.arange(300)[:, None] < count, g["cause_mask"].bool())
    z_out = net(events)
    close(z_out, g["z_out"], rtol=1e-10)
    z_out.backward(g["delta"])
    close(net.shift.grad, g["adj_e_ts"], rtol=1e-9, atol=1e-9)
    close(net.delay.grad, g["adj_e_tp"], rtol=1e-9)
    adam([net], g["lr"], g["lr"]).step()
    close(net.shift.detach(), g["e_ts_after"], rtol=1e-9)
    close(net.delay.detach(), g["e_tp_after"], rtol=1e-9)


def test_tca_step_under_the_normalized_rule():
    g = golden("tca_step")
    events = sl.SpikeEvents(torch.exp(g["t_in"]), g["channel"], torch.tensor([0, 400]), 50)
    first = layer(g["e_ts1"].double(), torch.ones(40), "normalized")
    second = layer(g["e_ts2"].double(), torch.ones(22), "normalized")
    z1 = first(events)
    z2 = second(z1)
    close(z1, g["z1"], rtol=1e-6)
    close(z2, g["z2"], rtol=1e-6)
    _, _, drive1 = sl.ops.first_spike(events, first.shift.detach())
    _, _, drive2 = sl.ops.first_spike(sl.SpikeEvents.from_dense(z1.detach()), second.shift.detach())
    close(drive1, g["drive1"], rtol=1e-4)
    close(drive2, g["drive2"], rtol=1e-4)
    z1.retain_grad()
    target = g["target"].reshape(1)
    sl.nn.SoftmaxTargetError()(z2, target).backward()
    # the delta that reaches the first layer, before that layer divides it by its own drive
    close(z1.grad / drive1, g["delta1"], rtol=1e-3, atol=1e-6 * float(g["delta1"].abs().max()))
    optimizer = adam([first, second], 1e-5, 1e-6)
    optimizer.step()
    for net, shift, delay in ((first, "e_ts1_after", "e_tp1_after"), (second, "e_ts2_after", "e_tp2_after")):
        close(net.shift.detach(), g[shift], rtol=1e-6, atol=1e-8)
        close(net.delay.detach(), g[delay], rtol=1e-9)


@pytest.mark.parametrize("path", ["alone", "ensemble", "dispatcher"])
def test_whole_xor_run(path, monkeypatch):
    g = golden("xor_400_epochs")
    lead = (1,) if path == "ensemble" else ()
    if path == "dispatcher":
        monkeypatch.setattr(operations, "direct", lambda *_: False)
    weights = [g["e_ts1"].reshape(*lead, 2, 8), g["e_ts2"].reshape(*lead, 8, 2)]
    delays = [torch.ones(*lead, 8), torch.ones(*lead, 2)]
    for x in (*weights, *delays):
        x.requires_grad_()
    groups = [{"params": weights, "lr": float(g["lr_e_ts"])}, {"params": delays, "lr": float(g["lr_e_tp"])}]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.9), eps=1e-8)
    loss = sl.nn.SoftmaxTargetError()
    for epoch in range(400):
        z = g["z_in"].reshape(*lead, 4, 2)
        for shift, delay in zip(weights, delays, strict=True):
            z = sl.ops.fire(z, shift, delay, rule="shifting")
        close(z.detach(), g["z_out"][epoch], rtol=1e-3)
        value = loss(z.reshape(4, 2), g["label"])
        # In the end the loss swings: in float64 it is 6e-4 from the published float32 run's, which sorts its spikes.
        near = 1e-3 if path == "dispatcher" else 2e-3
        assert value.item() == pytest.approx(float(g["loss"][epoch]), rel=near, abs=1e-6), epoch
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    for x, name in zip((*weights, *delays), ("e_ts1", "e_ts2", "e_tp1", "e_tp2"), strict=True):
        close(x.detach(), g[f"{name}_after"], rtol=1e-3, atol=1e-5)
    assert torch.equal(z.reshape(4, 2).argmin(1), g["label"])


def test_float64_reference_agrees_with_the_published_spike_times():
    g = golden("layer_64x32")
    events = reference.sort_spikes(g["z_in"].double())
    u, _, _ = reference.first_spike(*events, g["e_ts"].double())
    close(u * g["e_tp"].double(), g["z_out"], rtol=2e-5)
