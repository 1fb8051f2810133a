"""Ops on several networks at once: each member's results are those that it has alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from shiftlearn import SpikeEvents, ops
from shiftlearn.ops import reference

try:
    from shiftlearn.ops import cpu
except ImportError:
    cpu = None

pytestmark = pytest.mark.usefixtures("one_thread")


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
