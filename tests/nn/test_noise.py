"""Noise that only training has: jitter and deletion of spikes, and images that are moved."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from shiftlearn import ops
from shiftlearn.errors import InputError
from shiftlearn.nn import ShiftConv2d, ShiftLinear, SpikeNoise, translate
from shiftlearn.nn.shard import Shard


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def times(*shape: int) -> Tensor:
    return torch.exp(torch.rand(shape, generator=seeded(7), dtype=torch.float64))


def noisy(z: Tensor, **settings: float) -> Tensor:
    """What reaches a layer in training."""
    (out,) = SpikeNoise(**settings, generator=seeded())(nn.Identity(), (z,))
    return out


def test_jitter_moves_times_by_its_standard_deviation() -> None:
    z = times(300, 40)
    z[0] = math.inf
    moved = noisy(z, jitter=0.3)
    assert moved[0].isinf().all()
    steps = (moved[1:] / z[1:]).log()
    assert steps.mean().item() == pytest.approx(0, abs=0.01)
    assert steps.std().item() == pytest.approx(0.3, rel=0.02)


def test_deletion_silences_its_share() -> None:
    z = times(300, 40)
    left = noisy(z, deletion=0.2)
    assert left.isinf().double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(left[left.isfinite()], z[left.isfinite()])


def test_what_is_sent_back_reaches_what_was_not_lost() -> None:
    z, delta = times(6, 5).requires_grad_(), torch.randn(6, 3, dtype=torch.float64, generator=seeded(1))
    layer = ShiftLinear(5, 3, rule="exact", init_scale=20.0, generator=seeded(2), dtype=torch.float64)
    layer.register_forward_pre_hook(SpikeNoise(0.1, 0.3, seeded()))
    layer(z).backward(delta)
    heard = noisy(z.detach(), jitter=0.1, deletion=0.3).requires_grad_()
    out = ops.fire(heard, layer.shift, layer.delay, rule="exact")
    (sent,) = torch.autograd.grad(out, heard, delta)
    kept = heard.detach().isfinite()
    assert 0 < kept.sum() < 30
    assert z.grad is not None
    assert (z.grad[~kept] == 0).all()
    torch.testing.assert_close(z.grad[kept], (sent * heard.detach() / z.detach())[kept])


def test_there_is_none_but_in_training() -> None:
    for layer, shape in ((ShiftLinear(6, 4), (8, 6)), (ShiftConv2d(2, 3, 2), (8, 2, 4, 4))):
        z = times(*shape).float()
        clean = layer(z)
        layer.register_forward_pre_hook(SpikeNoise(0.5, 0.2, seeded()))
        assert not torch.equal(layer(z), clean)
        assert torch.equal(layer.eval()(z), clean)


def test_processes_share_the_noise_of_one() -> None:
    z, parts = times(7, 4), []
    for rank in (0, 1):
        noise = SpikeNoise(0.2, 0.3, seeded())
        noise.shard = Shard(7, rank, 2)
        parts.append(noise(nn.Identity(), (z[noise.shard.rows],))[0])
    assert torch.equal(torch.cat(parts), noisy(z, jitter=0.2, deletion=0.3))


@pytest.mark.parametrize(("settings", "name"), [((-0.1,), "jitter"), ((math.nan,), "jitter"), ((0, 1.0), "deletion")])
def test_noise_out_of_range(settings: tuple, name: str) -> None:
    with pytest.raises(InputError, match=name):
        SpikeNoise(*settings)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_images_are_moved_by_whole_pixels(dtype: torch.dtype) -> None:
    images = torch.arange(1, 17, dtype=dtype).expand(5, 16)
    offsets = torch.tensor([[0, 0], [1, 0], [0, -1], [-2, 2], [4, 0]])
    moved = translate(images, offsets).view(5, 4, 4).tolist()
    assert moved[0] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]
    assert moved[1] == [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
    assert moved[2] == [[2, 3, 4, 0], [6, 7, 8, 0], [10, 11, 12, 0], [14, 15, 16, 0]]
    assert moved[3] == [[0, 0, 9, 10], [0, 0, 13, 14], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert moved[4] == [[0] * 4] * 4
    assert translate(images[:0], offsets[:0]).shape == (0, 16)


def test_what_cannot_be_moved() -> None:
    with pytest.raises(InputError, match=r"images must have shape \(n, side \* side\), got \(2, 15\)"):
        translate(torch.zeros(2, 15), torch.zeros(2, 2, dtype=torch.long))
    with pytest.raises(InputError, match=r"offsets must be \(2, 2\) integers, got \(2,\)"):
        translate(torch.zeros(2, 16), torch.zeros(2, dtype=torch.long))
