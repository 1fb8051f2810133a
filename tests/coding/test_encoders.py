"""From pixels to spike times."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftlearn import SpikeEvents, coding
from shiftlearn.errors import InputError

GREY = torch.arange(256, dtype=torch.uint8)
WEAK, STRONG = math.exp(1 - 2.3), math.exp(1 - 0.01)


@given(st.floats(0, 1, width=32), st.floats(0.1, 8))
def test_latency_is_the_formula(x, exponent):
    z = coding.latency(torch.tensor([x], dtype=torch.float64), exponent)
    assert z.item() == pytest.approx(math.exp(exponent * (1 - x)), rel=1e-12)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 5.0])
def test_uint8_counts_as_a_255th(exponent):
    z = coding.latency(GREY, exponent)
    assert z.dtype == torch.float32
    assert z[255] == 1
    assert (z.diff() < 0).all()
    torch.testing.assert_close(z, coding.latency(GREY.float() / 255, exponent), rtol=1e-6, atol=0)


def test_the_shape_stays():
    x = GREY.reshape(2, 8, 16)
    assert torch.equal(coding.latency(x), coding.latency(GREY).reshape(2, 8, 16))
    assert torch.equal(coding.latency(x.transpose(1, 2)), coding.latency(x).transpose(1, 2))
    assert coding.latency(x[:0]).shape == (0, 8, 16)


@pytest.mark.parametrize("encode", [coding.latency, coding.binarised])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor([0.5, 1.01]), r"x must lie in \[0, 1\], got 0.5 to 1.01"),
        (torch.tensor([-0.01, 0.5]), r"x must lie in \[0, 1\], got -0.01 to 0.5"),
        (torch.tensor([0.5, math.nan]), r"x must lie in \[0, 1\]"),
        (torch.tensor([0.0, math.inf]), r"x must lie in \[0, 1\], got 0 to inf"),
        (GREY.int(), "x must be uint8 .* got torch.int32"),
        (GREY > 3, "x must be uint8 .* got torch.bool"),
    ],
)
def test_bad_values(encode, x, message):
    with pytest.raises(InputError, match=message):
        encode(x)


@pytest.mark.parametrize("exponent", [0, -1.0, math.nan])
@pytest.mark.parametrize("x", [GREY, GREY / 255])
def test_bad_exponents(x, exponent):
    with pytest.raises(InputError, match="exponent must be positive and finite, got"):
        coding.latency(x, exponent)


def test_binarised():
    z = coding.binarised(GREY)
    assert z.tolist() == pytest.approx(128 * [WEAK] + 128 * [STRONG])
    assert torch.equal(coding.binarised(GREY / 255), z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_half_is_strong_and_less_is_weak(dtype):
    half = torch.full((33,), 0.5, dtype=dtype)
    assert coding.binarised(half).tolist() == pytest.approx(33 * [STRONG])
    assert coding.binarised(half - 1e-6).tolist() == pytest.approx(33 * [WEAK])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("latency", coding.latency),
        ("ink", coding.ink),
        ("on-off", coding.on_off),
        ("binarised", lambda x, _: coding.binarised(x)),
    ],
)
def test_an_encoder_sorts_bytes_and_keeps_floats_dense(name, code):
    encode = coding.encoder(name, 3.0)
    assert torch.equal(encode(GREY / 255), code(GREY / 255, 3.0))
    events, wanted = encode(GREY[None]), SpikeEvents.from_dense(code(GREY[None], 3.0))
    listed = wanted.z < torch.inf
    assert torch.equal(events.z, wanted.z[listed])
    assert torch.equal(events.channel, wanted.channel[listed])
    assert torch.equal(events.rest, wanted.rest)
    assert torch.equal(coding.encoder(name, 3.0, dense=True)(GREY[None]), code(GREY[None], 3.0))


@pytest.mark.parametrize("levels", [2, 3, 8, 256])
def test_coarse_values_are_the_nearest_steps(levels):
    steps = coding.coarse(GREY, levels)
    wanted = [min(range(levels), key=lambda k: abs(k / (levels - 1) - grey / 255)) for grey in range(256)]
    assert (steps * (levels - 1)).round().int().tolist() == wanted
    assert torch.equal(steps, coding.coarse(GREY / 255, levels))
    assert len(steps.unique()) == levels


@pytest.mark.parametrize("name", ["latency", "ink", "on-off", "binarised", "population"])
@pytest.mark.parametrize("x", [[1.03], [-0.01], [math.nan], [1]], ids=str)
def test_bad_values_are_not_rounded_to_good_ones(name, x):
    with pytest.raises(InputError, match="x must"):
        coding.encoder(name, 2.0, levels=8)(torch.tensor([x]))


def test_one_level_is_refused():
    with pytest.raises(InputError, match="levels must be 2 or more, got 1"):
        coding.coarse(GREY, 1)


@pytest.mark.parametrize("name", ["latency", "ink", "on-off", "binarised", "population"])
def test_an_encoder_with_levels_codes_coarse_values(name):
    encode, plain = coding.encoder(name, 2.0, levels=5), coding.encoder(name, 2.0, dense=True)
    wanted = plain(coding.coarse(GREY[None], 5))
    torch.testing.assert_close(coding.encoder(name, 2.0, dense=True, levels=5)(GREY[None]), wanted)
    torch.testing.assert_close(encode(GREY[None] / 255), wanted)
    if name != "population":
        events, sorted_ = encode(GREY[None]), SpikeEvents.from_dense(wanted)
        listed = sorted_.z < torch.inf
        assert torch.equal(events.channel, sorted_.channel[listed])
        torch.testing.assert_close(events.z, sorted_.z[listed])


def test_ink_alone_spikes():
    z = coding.ink(torch.tensor([[0, 1, 255, 0]], dtype=torch.uint8))
    assert z.isinf().tolist() == [[True, False, False, True]]
    assert torch.equal(z[:, 1:3], coding.latency(torch.tensor([[1, 255]], dtype=torch.uint8)))
    assert coding.ink(torch.tensor([0.0, 1.0])).tolist() == [math.inf, 1.0]


def test_on_off_fires_one_input_early_for_either_end():
    z = coding.on_off(torch.tensor([[0.0, 0.25, 1.0]]), 2.0)
    assert z[0].tolist() == pytest.approx([math.exp(2 * (1 - x)) for x in (0, 0.25, 1, 1, 0.75, 0)])
    assert torch.equal(coding.on_off(GREY[None]), coding.latency(torch.cat([GREY, GREY.flip(0)])[None]))


@pytest.mark.parametrize("cells", [3, 6])
def test_a_population_fires_around_its_value(cells):
    x = torch.linspace(0, 1, 41)
    z = coding.encoder("population", 2.0, cells)(x[:, None])
    assert z.shape == (41, coding.coded_width("population", 1, cells))
    centres = [k / (cells - 1) for k in range(cells)]
    for value, row in zip(x.tolist(), z.tolist(), strict=True):
        for centre, got in zip(centres, row, strict=True):
            activity = math.exp(-(((value - centre) * (cells - 1)) ** 2) / 2)
            if abs(activity - 0.1) > 1e-4:
                assert got == pytest.approx(math.exp(2 * (1 - activity)) if activity > 0.1 else math.inf, rel=1e-5)
        assert min(row) == row[round(value * (cells - 1))] or abs(value * (cells - 1) % 1 - 0.5) < 1e-4
    assert coding.population(GREY[None], 2.0, cells).shape == (1, 256 * cells)


def test_an_unknown_encoder_is_refused():
    with pytest.raises(InputError, match=r"unknown coding 'latencie'\. Did you mean 'latency'\?"):
        coding.encoder("latencie", 1.0)
