"""The ops below the faces, called with what would make a kernel read or write elsewhere; and sizes beyond 32 bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from problems import needs_kernels
from test_bad_input import refused
from torch import Tensor

from shiftlearn import SpikeEvents, ops
from shiftlearn.ops import checks, signatures

inf, nan = math.inf, math.nan
raw = torch.ops.shiftlearn
BIG = 2**31

# Two rows of events for three channels, four neurons.
GIVEN: dict[str, Tensor] = {
    "z": torch.tensor([1.0, 2.0, 1.5]),
    "channel": torch.tensor([0, 2, 1], dtype=torch.int32),
    "offsets": torch.tensor([0, 2, 3]),
    "rest": torch.tensor([4.0, inf]),
    "shift": torch.ones(3, 4),
    "delay": torch.ones(4),
    "count": torch.ones(2, 4, dtype=torch.int32),
    "u": torch.ones(2, 4),
    "a": torch.ones(2, 4),
}
EVENTS = ("z", "channel", "offsets", "rest")


def call(op: str, **changes: Tensor) -> Any:
    g = GIVEN | changes
    events = [g[name] for name in EVENTS]
    match op:
        case "first_spike":
            return raw.first_spike(*events, g["shift"])
        case "fire":
            return raw.fire(None, *events, g["shift"], g["delay"], None, "exact", 0.0)
        case "plasticity":
            return raw.plasticity(*events, g["count"], g["a"], g["a"], 3)
        case "feedback":
            return raw.feedback(*events, g["count"], g["a"], g["shift"])
        case "coefficients":
            return raw.coefficients("exact", g["a"], g["u"], g["u"], g["delay"], 0.0)
    raise AssertionError(op)


WITH_EVENTS = ["first_spike", "fire", "plasticity", "feedback"]


@needs_kernels
@pytest.mark.parametrize("op", WITH_EVENTS)
@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"z": torch.tensor([1.0, 2.0])}, ["channel must have the shape of z"]),
        ({"z": torch.ones(3).double()}, ["rest must be torch.float64", "torch.float32"]),
        ({"z": torch.ones(3).half()}, ["torch.float16"]),
        ({"z": torch.ones(1, 3)}, ["z must be a (spikes,) tensor", "(1, 3)"]),
        ({"z": torch.tensor([2.0, 1.0, 1.5])}, ["z must ascend", "row 0"]),
        ({"z": torch.tensor([nan, 1.0, 1.5])}, ["z must be positive", "nan"]),
        ({"z": torch.tensor([1.0, 2.0, nan])}, ["z must be positive", "nan"]),
        ({"z": torch.tensor([0.0, 1.0, 1.5])}, ["z must be positive", "0"]),
        ({"z": torch.tensor([-inf, 1.0, 1.5])}, ["z must be positive", "-inf"]),
        ({"channel": torch.tensor([0, 2, 1])}, ["channel must be torch.int32", "torch.int64"]),
        ({"channel": torch.tensor([0, 3, 1], dtype=torch.int32)}, ["channel must lie in 0 … 2", "0 … 3"]),
        ({"channel": torch.tensor([0, 2, -1], dtype=torch.int32)}, ["channel must lie in 0 … 2", "-1 … 2"]),
        ({"offsets": torch.tensor([0, 2, 3], dtype=torch.int32)}, ["offsets must be torch.int64", "torch.int32"]),
        ({"offsets": torch.tensor([0, 2, 2**40])}, ["offsets must ascend from 0", "3"]),
        ({"offsets": torch.tensor([0, 2**40, 3])}, ["offsets must ascend from 0"]),
        ({"offsets": torch.tensor([0, -5, 3])}, ["offsets must ascend from 0", "-5"]),
        ({"offsets": torch.tensor([-5, 2, 3])}, ["offsets must ascend from 0", "-5"]),
        ({"offsets": torch.tensor([0, 3])}, ["rest must have shape", "(1,)", "(2,)"]),
        ({"rest": torch.tensor([4.0])}, ["rest must have shape", "(2,)", "(1,)"]),
        ({"rest": torch.tensor([1.5, inf])}, ["rest must not be earlier", "row 0"]),
        ({"rest": torch.tensor([4.0, nan])}, ["rest must be positive", "nan"]),
    ],
    ids=str,
)
def test_events(op: str, changes: dict[str, Tensor], parts: list[str]) -> None:
    call(op)
    refused(lambda: call(op, **changes), *parts)


@needs_kernels
@pytest.mark.parametrize(
    ("ops_", "changes", "parts"),
    [
        (["first_spike", "fire", "feedback"], {"shift": torch.ones(3)}, ["must have shape (..., in, out)", "(3,)"]),
        (["first_spike", "fire"], {"shift": torch.ones(2, 4)}, ["channel must lie in 0 … 1"]),
        (["first_spike", "fire"], {"shift": torch.ones(3, 3, 4)}, ["2 rows", "3 members of shift"]),
        (["first_spike", "fire"], {"shift": torch.ones(3, 4).double()}, ["shift must be", "float32", "float64"]),
        (["feedback"], {"shift": torch.ones(3, 4).double()}, ["weight must be", "float32", "float64"]),
        (["feedback"], {"shift": torch.ones(3, 5)}, ["weight must be (3, 4)", "(3, 5)"]),
        (["feedback"], {"shift": torch.ones(2, 3, 4)}, ["weight must be (3, 4)", "(2, 3, 4)"]),
        (["fire", "coefficients"], {"delay": torch.ones(3)}, ["delay must be (4,)", "(3,)"]),
        (["fire", "coefficients"], {"delay": torch.ones(4).double()}, ["delay must be", "float64"]),
        (["plasticity", "feedback"], {"count": torch.ones(2, 4)}, ["count must be", "int32"]),
        (["plasticity", "feedback"], {"count": GIVEN["count"][:1]}, ["count must be", "2 rows", "(1, 4)"]),
        (["plasticity", "feedback"], {"a": torch.ones(2, 5)}, ["must be (2, 4)", "(2, 5)"]),
        (["plasticity", "feedback"], {"a": torch.ones(2, 4).double()}, ["must be (2, 4)", "float64"]),
        (["coefficients"], {"a": torch.ones(1, 4)}, ["must be (2, 4)", "(1, 4)"]),
        (["coefficients"], {"u": torch.ones(4)}, ["u must be (..., batch, out)", "(4,)"]),
    ],
    ids=str,
)  # fmt: skip
def test_the_other_tensors(ops_: list[str], changes: dict[str, Tensor], parts: list[str]) -> None:
    for op in ops_:
        call(op)
        refused(lambda op=op: call(op, **changes), *parts)


@needs_kernels
@pytest.mark.parametrize(
    ("use", "parts"),
    [
        (lambda: raw.sort_spikes(torch.ones(2, 3).half()), ["z must be", "float16"]),
        (lambda: raw.sort_spikes(torch.tensor(1.0)), ["z must be (..., in)", "()"]),
        (
            lambda: raw.cross_entropy(torch.ones(2, 3), torch.zeros(1).long(), None, 1, 1, 0, 9),
            ["target must be (2,)", "(1,)"],
        ),
        (
            lambda: raw.cross_entropy(torch.ones(2, 3), torch.zeros(2).int(), None, 1, 1, 0, 9),
            ["target must be", "int32"],
        ),
        (
            lambda: raw.cross_entropy(torch.ones(3), torch.zeros(3).long(), None, 1, 1, 0, 9),
            ["z must be (batch, classes)"],
        ),
        (
            lambda: raw.cross_entropy(torch.ones(1, 3), torch.tensor([3]), None, 1, 1, 0, 9),
            ["classes from 0 to 2", "got 3"],
        ),
    ],
)
def test_sorting_and_loss(use: Callable[[], Any], parts: list[str]) -> None:
    refused(use, *parts)


@needs_kernels
def test_other_layouts_in_memory_give_the_same() -> None:
    """Transposed, strided and reversed tensors are copied, not read as they lie."""
    torch.manual_seed(0)
    z, shift, a = torch.rand(7, 6) + 1, torch.rand(6, 9), torch.rand(7, 9)
    events = ops.sort_spikes(z)
    _, count, _ = ops.first_spike(events, shift)

    def strided(x: Tensor) -> Tensor:
        return torch.stack([x.mT, -x.mT], -1).mT[..., 0, :].mT if x.is_floating_point() else x.mT.contiguous().mT

    assert not strided(shift).is_contiguous()
    for got, want in (
        (ops.sort_spikes(strided(z)).z, events.z),
        (ops.first_spike(events, strided(shift))[0], ops.first_spike(events, shift)[0]),
        (ops.plasticity(events, strided(count), strided(a), a), ops.plasticity(events, count, a, a)),
        (ops.feedback(events, count, strided(a), strided(shift)), ops.feedback(events, count, a, shift)),
    ):
        assert torch.equal(got, want)


def test_what_a_gpu_would_get_is_on_one_device(triton_wanted: None) -> None:
    """Asked before anything is launched, so no GPU takes part."""
    run = ops.dispatch.on_gpu("first_spike")
    events = [GIVEN[name].to("meta") for name in EVENTS]
    refused(lambda: run(*events, GIVEN["shift"]), "all tensors must be on one device", "cpu", "meta")
    refused(lambda: run(*events, GIVEN["shift"].double().to("meta")), "shift must be", "float32", "float64")


# ------------------------------------------------------------------------------------------ beyond 32 bits


def test_more_inputs_than_channels_have_numbers() -> None:
    """Refused before anything of that size is allocated."""
    wide = torch.ones(1, 1).expand(1, BIG)
    if ops.dispatch.cpu is not None:
        refused(lambda: ops.sort_spikes(wide), "z must have 2147483645 inputs or fewer", str(BIG))
    z, channel, offsets = torch.ones(1), torch.zeros(1, dtype=torch.int32), torch.tensor([0, 1])
    refused(lambda: SpikeEvents(z, channel, offsets, BIG), "num_channels must be 2147483645 or less", str(BIG))
    z, channel, offsets = z.expand(BIG), channel.expand(BIG), torch.tensor([0, BIG])
    refused(lambda: SpikeEvents(z, channel, offsets, 1), "2147483645 spikes or fewer", str(BIG))


@needs_kernels
def test_weights_beyond_32_bits(tmp_path: Path) -> None:
    """Of 8.8 GB of weights, in a file that is all hole, the rows of two channels are used: the last two."""
    inputs, outputs = 70_000, 31_500
    assert inputs * outputs > BIG
    shift = torch.from_numpy(np.memmap(tmp_path / "shift", np.float32, "w+", shape=(inputs, outputs)))
    channels = torch.tensor([inputs - 1, inputs - 2], dtype=torch.int32)
    shift[channels.long()] = torch.tensor([[1.5], [2.0]])
    events = SpikeEvents(torch.tensor([1.0, 2.0]), channels, torch.tensor([0, 2]), inputs)
    u, count, _ = ops.first_spike(events, shift)
    assert (u == (1.5 + 4) / 2.5).all()
    assert (count == 2).all()
    sent = ops.feedback(events, count, torch.ones_like(u), shift)
    assert sent[0, -2:].tolist() == [2.0 * outputs, 1.5 * outputs]
    assert (sent[0, :-2] == 0).all()


@needs_kernels
def test_events_beyond_32_bits(tmp_path: Path) -> None:
    """A row that begins after 2**31 others: the kernel alone, since the check would read them all."""
    z = torch.from_numpy(np.memmap(tmp_path / "z", np.float32, "w+", shape=(BIG + 2,)))
    channel = torch.from_numpy(np.memmap(tmp_path / "channel", np.int32, "w+", shape=(BIG + 2,)))
    z[BIG:], channel[BIG:] = torch.tensor([1.0, 2.0]), torch.tensor([0, 1], dtype=torch.int32)
    offsets, rest = torch.tensor([BIG, BIG + 2]), torch.tensor([inf])
    shift, count, u, drive = torch.tensor([[1.5], [2.0]]), torch.zeros(1, dtype=torch.int32), *torch.zeros(2, 1)
    kernels = ops.cpu._kernels.float32
    arrays = [x.data_ptr() for x in (z, channel, offsets, rest, shift, u, count, drive)]
    kernels.first_spike(*arrays, 1, 1, 2, 1, 1)
    assert (u.item(), count.item(), drive.item()) == (pytest.approx(2.2), 2, 2.5)


# ------------------------------------------------------------------------------------------------ debugging


def test_values_elsewhere_are_looked_at_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown on the `meta` device, whose tensors have no values to look at."""
    delay, target = torch.ones(3, device="meta"), torch.ones(3, dtype=torch.int64, device="meta")
    for check in (lambda: checks.delays(delay), lambda: checks.classes(target, 3)):
        check()
        monkeypatch.setattr(checks, "DEBUG", True)
        with pytest.raises(RuntimeError, match="meta"):
            check()
        monkeypatch.setattr(checks, "DEBUG", False)


def test_the_whole_of_the_events_is_looked_at_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that repeats where rest is finite is found by SpikeEvents alone."""
    channel = torch.tensor([0, 0, 1], dtype=torch.int32)
    events = [GIVEN["z"], channel, GIVEN["offsets"], GIVEN["rest"]]
    signatures.first_spike(*events, GIVEN["shift"])
    monkeypatch.setattr(checks, "DEBUG", True)
    refused(lambda: signatures.first_spike(*events, GIVEN["shift"]), "rest must be inf where a channel repeats")
