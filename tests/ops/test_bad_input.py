"""Bad input: each error names the argument, what was given and what is expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from shiftlearn import SpikeEvents, ops, to_time, to_z
from shiftlearn.errors import InputError
from shiftlearn.nn import FirstSpikeCrossEntropy, Homeostasis, ShiftLinear, SoftmaxTargetError
from shiftlearn.ops import rules

inf, nan = math.inf, math.nan


def refused(call: Callable[[], Any], *parts: str) -> None:
    """``call`` fails with an InputError whose message holds ``parts``, in that order."""
    with pytest.raises(InputError, match="(?s)" + ".*".join(re.escape(part) for part in parts)):
        call()


# ---------------------------------------------------------------------------------------------------- events


def build(**changes: Any) -> SpikeEvents:
    """Two rows: spikes at 1, 2 of channels 0, 3, then at 1.5 of channel 2; the others at 4 and never."""
    arguments = {
        "z": torch.tensor([1.0, 2.0, 1.5]),
        "channel": torch.tensor([0, 3, 2]),
        "offsets": torch.tensor([0, 2, 3]),
        "num_channels": 4,
        "rest": torch.tensor([4.0, inf]),
    }
    return SpikeEvents(**(arguments | changes))


def test_the_unchanged_events_are_fine() -> None:
    events = build()
    assert events.batch == 2
    assert events.rest.tolist() == [4.0, inf]
    assert build(rest=None).rest.tolist() == [inf, inf]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"z": torch.ones(1, 3)}, ["z must be", "float32 or float64", "(1, 3)"]),
        ({"z": torch.ones(3, dtype=torch.int64)}, ["z must be", "torch.int64"]),
        ({"z": torch.ones(3, dtype=torch.float16)}, ["z must be", "torch.float16"]),
        ({"channel": torch.tensor([0, 3])}, ["channel must have the shape of z", "(3,)", "(2,)"]),
        ({"channel": torch.tensor([0.0, 3.0, 2.0])}, ["channel must hold integers", "torch.float32"]),
        ({"channel": torch.tensor([True, False, True])}, ["channel must hold integers", "torch.bool"]),
        ({"channel": torch.tensor([0, 4, 2])}, ["channel must lie in 0 … 3", "0 … 4"]),
        ({"channel": torch.tensor([0, -1, 2])}, ["channel must lie in 0 … 3", "-1 … 2"]),
        ({"channel": torch.tensor([0, 2**32 + 3, 2])}, ["channel must lie in 0 … 3", str(2**32 + 3)]),
        ({"offsets": torch.tensor([[0, 2, 3]])}, ["offsets must have shape (batch + 1,)", "(1, 3)"]),
        ({"offsets": torch.empty(0, dtype=torch.int64)}, ["offsets must have shape (batch + 1,)", "(0,)"]),
        ({"offsets": torch.tensor([0.0, 2.0, 3.0])}, ["offsets must hold integers", "torch.float32"]),
        ({"offsets": torch.tensor([1, 2, 3])}, ["offsets must ascend from 0", "3", "[1, 2, 3]"]),
        ({"offsets": torch.tensor([0, 2, 2])}, ["offsets must ascend from 0", "3", "[0, 2, 2]"]),
        ({"offsets": torch.tensor([0, 4, 3])}, ["offsets must ascend from 0", "[0, 4, 3]"]),
        ({"num_channels": -1}, ["num_channels must be an integer of 0 or more", "-1"]),
        ({"num_channels": 4.5}, ["num_channels must be an integer of 0 or more", "4.5"]),
        ({"rest": torch.tensor([4.0])}, ["rest must have shape", "(2,)", "(1,)"]),
        ({"rest": torch.tensor([nan, inf])}, ["rest must be positive", "nan"]),
        ({"rest": torch.tensor([0.0, inf])}, ["rest must be positive", "0.0"]),
        ({"rest": torch.tensor([1.75, inf])}, ["rest must not be earlier", "row 0"]),
        ({"rest": torch.tensor([4.0, 1.25])}, ["rest must not be earlier", "row 1"]),
        ({"channel": torch.tensor([3, 3, 2])}, ["rest must be inf where a channel repeats", "row 0", "4"]),
        ({"z": torch.tensor([1.0, 2.0, nan])}, ["z must be positive", "nan"]),
        ({"z": torch.tensor([0.0, 2.0, 1.5])}, ["z must be positive", "0.0"]),
        ({"z": torch.tensor([-3.0, 2.0, 1.5])}, ["z must be positive", "-3.0"]),
        ({"z": torch.tensor([2.0, 1.0, 1.5])}, ["z must ascend", "row 0"]),
        ({"z": torch.tensor([inf, 1.0, 1.5])}, ["z must ascend", "row 0"]),
    ],
    ids=str,
)
def test_events(changes: dict[str, Any], parts: list[str]) -> None:
    refused(lambda: build(**changes), *parts)


@pytest.mark.parametrize(
    ("z", "channel", "rest", "part"),
    [
        ([1.0, 2.0, 1.0], [0, 1, 1], None, "z must ascend"),
        ([1.0, 2.0, 3.0], [0, 1, 1], [inf, 9.0], "channel repeats"),
        ([1.0, 2.0, 3.0], [0, 1, 1], [9.0, 9.0], "channel repeats"),
        ([1.0, 2.0, 3.0], [0, 0, 0], [9.0, 9.0], "channel repeats"),
    ],
)
def test_the_second_row_is_named(z: list[float], channel: list[int], rest: list[float] | None, part: str) -> None:
    late = None if rest is None else torch.tensor(rest)
    arguments = torch.tensor(z), torch.tensor(channel), torch.tensor([0, 1, 3]), max(channel) + 1, late
    refused(lambda: SpikeEvents(*arguments), part, "row 1")


def test_the_row_that_descends_is_named_not_one_with_ties() -> None:
    z, channel = torch.tensor([1.0, 1.0, 2.0, 1.0]), torch.tensor([0, 1, 0, 1])
    refused(lambda: SpikeEvents(z, channel, torch.tensor([0, 2, 4]), 2), "z must ascend", "row 1")


def test_the_rest_that_is_bad_is_named_not_one_below_1() -> None:
    z, rest = torch.tensor([0.25]), torch.tensor([0.5, -2.0])
    refused(lambda: SpikeEvents(z, torch.tensor([0]), torch.tensor([0, 1, 1]), 1, rest), "rest must be", "got -2.0")


def test_the_first_offsets_are_named() -> None:
    none = torch.empty(0)
    refused(lambda: SpikeEvents(none, none.int(), torch.arange(20), 1), "spikes, 0", "got [0, 1, 2, 3, 4, 5, 6, 7]…")


def test_what_looks_odd_but_is_allowed() -> None:
    repeated = torch.tensor([3, 3, 2])
    build(channel=repeated, rest=None)  # a spike train
    build(channel=repeated, z=torch.tensor([1.0, inf, 1.5]))  # an unused slot repeats nothing
    build(rest=torch.tensor([2.0, 1.5]))  # rest as early as the last spike
    build(offsets=torch.tensor([0, 3, 3]), z=torch.tensor([1.0, 1.0, 1.5]), rest=None)  # ties, an empty row


def test_events_change_dtype() -> None:
    assert build().to(dtype=torch.float64).z.tolist() == [1.0, 2.0, 1.5]
    refused(lambda: build().to(dtype=torch.int32), "dtype", "floating", "torch.int32")


@pytest.mark.parametrize("z", [1e-60, 1e60])
def test_events_refuse_a_dtype_that_cannot_hold_them(z: float) -> None:
    """A spike must not become z = 0, nor silence."""
    early = SpikeEvents(torch.tensor([z], dtype=torch.float64), torch.tensor([0]), torch.tensor([0, 1]), 1)
    refused(lambda: early.to(dtype=torch.float32), "torch.float32 cannot hold", f"{z:g}")
    assert early.to(dtype=torch.float64).z.tolist() == [z]


@pytest.mark.parametrize("tau", [0.0, -1.0, nan])
def test_tau(tau: float) -> None:
    refused(lambda: to_z(torch.zeros(2), tau), "tau must be positive", str(tau))
    refused(lambda: to_time(torch.ones(2), tau), "tau must be positive", str(tau))


def test_times_that_have_no_z() -> None:
    refused(lambda: to_z(torch.tensor([0.0, nan])), "t holds NaN", "inf")
    refused(lambda: to_z(torch.tensor([1.0, 81.0])), "81", "80", "float32", "float64")
    refused(lambda: to_z(torch.tensor([1.0]), tau=0.01), "t / tau reaches 100")
    assert to_z(torch.tensor([81.0], dtype=torch.float64)).isfinite().all()
    assert to_z(torch.tensor([0.0, inf])).tolist() == [1.0, inf]


def test_time_and_back() -> None:
    t = torch.tensor([-3.0, 0.0, 0.5, 40.0, inf], dtype=torch.float64)
    z = to_z(t, tau=0.5)
    assert z[2].item() == pytest.approx(math.e)
    torch.testing.assert_close(to_time(z, tau=0.5), t)


# ----------------------------------------------------------------------------------------------------- dense


@pytest.mark.parametrize("use", [ops.sort_spikes, SpikeEvents.from_dense, lambda z: ops.fire(z, *layer())])
@pytest.mark.parametrize("bad", [nan, 0.0, -0.0, -1.5, -inf])
@pytest.mark.parametrize("dtype", [torch.float32])
def test_dense_values(use: Callable[[Tensor], Any], bad: float, dtype: torch.dtype) -> None:
    z = torch.ones(3, 2, dtype=dtype)
    z[1, 1] = bad
    refused(lambda: use(z), "z must be positive", "inf for no spike", f"got {bad:g}", "row 1")


def test_dense_values_of_an_ensemble() -> None:
    z = torch.ones(2, 3, 2)
    z[1, 0, 0] = -2.0
    refused(lambda: ops.fire(z, torch.ones(2, 2, 4), torch.ones(2, 4)), "z must be positive", "-2")


def test_dense_layout() -> None:
    for use in (ops.sort_spikes, lambda z: ops.fire(z, *layer())):
        refused(lambda use=use: use(torch.ones(2)), "z must have shape (batch, in)", "(2,)")
        refused(lambda use=use: use(torch.ones(3, 2, dtype=torch.int64)), "z must be float32 or float64", "int64")


# --------------------------------------------------------------------------------------------------- the ops


def layer(inputs: int = 2, outputs: int = 4) -> tuple[Tensor, Tensor]:
    return torch.ones(inputs, outputs), torch.ones(outputs)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"inputs": torch.ones(3, 5)}, ["z must have shape (batch, 2), got (3, 5)"]),
        ({"inputs": torch.ones(6, 3, 2)}, ["z must have shape", "batch, 2", "(6, 3, 2)"]),
        ({"shift": torch.ones(7, 2, 4)}, ["z must have shape (7, batch, 2), got (3, 2)"]),
        ({"shift": torch.ones(2)}, ["shift must have shape", "(2,)"]),
        ({"shift": torch.ones(2, 4).double()}, ["shift is torch.float64", "torch.float32"]),
        ({"delay": torch.ones(3)}, ["delay must have one entry per output", "(2, 4)", "(3,)"]),
        ({"delay": torch.ones(1, 4)}, ["delay must have one entry per output", "(1, 4)"]),
        ({"delay": torch.ones(4).double()}, ["delay is torch.float64", "torch.float32"]),
        (
            {"delay": torch.tensor([1.0, 0.0, 1.0, 1.0])},
            ["delay must be positive", "got 0"],
        ),
        ({"delay": torch.tensor([1.0, 1.0, -2.5, 1.0])}, ["delay must be positive", "got -2.5"]),
        ({"delay": torch.tensor([1.0, 1.0, 1.0, nan])}, ["delay must be positive", "got nan"]),
        ({"feedback": torch.ones(4, 2)}, ["feedback must have the shape of shift", "(2, 4)", "(4, 2)"]),
        ({"feedback": torch.ones(2, 4).double()}, ["feedback is torch.float64", "torch.float32"]),
        ({"rule": "exakt"}, ["unknown rule 'exakt'", "Did you mean 'exact'?", "normalized", "shifting"]),
        ({"min_drive": -1e-3}, ["min_drive must be 0 or more", "-0.001"]),
        ({"min_drive": nan}, ["min_drive must be 0 or more", "nan"]),
    ],
    ids=str,
)
def test_fire(changes: dict[str, Any], parts: list[str]) -> None:
    shift, delay = layer()
    arguments = {"inputs": torch.ones(3, 2), "shift": shift, "delay": delay}
    assert ops.fire(**arguments).shape == (3, 4)
    refused(lambda: ops.fire(**(arguments | changes)), *parts)


EVENTS = ops.sort_spikes(torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]]))
COUNT = torch.ones(3, 4, dtype=torch.int32)
ONES = torch.ones(3, 4)
BYTES = torch.zeros(2, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: ops.sort_levels(torch.ones(2, 3), torch.ones(256)), ["levels must be", "(2, 3)", "torch.float32"]),
        (lambda: ops.sort_levels(BYTES[0], torch.ones(256)), ["levels must be (batch, in)", "(3,)"]),
        (lambda: ops.sort_levels(BYTES, torch.ones(255)), ["of_level must be (256,)", "(255,)"]),
        (lambda: ops.sort_levels(BYTES, torch.ones(256).half()), ["of_level must be", "torch.float16"]),
        (lambda: ops.sort_levels(BYTES, torch.linspace(0, 1, 256)), ["of_level must be positive", "got 0"]),
        (lambda: ops.first_spike(EVENTS, torch.ones(3, 4)), ["shift must have shape (2, out)", "(3, 4)"]),
        (lambda: ops.first_spike(EVENTS, torch.ones(2)), ["shift must have shape (2, out)", "(2,)"]),
        (lambda: ops.first_spike(EVENTS, torch.ones(2, 2, 4)), ["3 rows", "2 members of shift"]),
        (lambda: ops.first_spike(EVENTS, torch.ones(2, 4).double()), ["shift is torch.float64"]),
        (lambda: ops.fire(EVENTS, *layer(3)), ["shift must have shape (2, out)", "(3, 4)"]),
        (lambda: ops.plasticity(EVENTS, COUNT.long(), ONES, ONES), ["count must be", "of int32", "torch.int64"]),
        (lambda: ops.plasticity(EVENTS, COUNT[:2], ONES, ONES), ["count must be", "3 rows", "(2, 4)"]),
        (lambda: ops.plasticity(EVENTS, COUNT[0], ONES, ONES), ["count must be", "3 rows", "(4,)"]),
        (lambda: ops.plasticity(EVENTS, COUNT, ONES[:, :3], ONES), ["a must be (3, 4)", "(3, 3)"]),
        (lambda: ops.plasticity(EVENTS, COUNT, ONES, ONES[:2]), ["c must be (3, 4)", "(2, 4)"]),
        (lambda: ops.plasticity(EVENTS, COUNT, ONES, ONES.double()), ["c must be", "torch.float64"]),
        (lambda: ops.feedback(EVENTS, COUNT, ONES, torch.ones(3, 4)), ["weight must have", "(3, 4)"]),
        (lambda: ops.feedback(EVENTS, COUNT, ONES, torch.ones(2, 5)), ["weight must be (2, 4)", "(2, 5)"]),
        (lambda: ops.feedback(EVENTS, COUNT, ONES[:, :3], torch.ones(2, 4)), ["f must be (3, 4)", "(3, 3)"]),
        (lambda: ops.feedback(EVENTS, COUNT.float(), ONES, torch.ones(2, 4)), ["count must be", "of int32"]),
        (lambda: ops.feedback(EVENTS, COUNT, ONES.double(), torch.ones(2, 4)), ["f must be", "torch.float64"]),
        (lambda: ops.feedback(EVENTS, COUNT, ONES, torch.ones(2, 4).double()), ["weight is torch.float64"]),
    ],
)  # fmt: skip
def test_the_other_ops(call: Callable[[], Any], parts: list[str]) -> None:
    refused(call, *parts)


# ------------------------------------------------------------------------------------- rules, layers, losses


def test_rules() -> None:
    refused(lambda: rules.get("shiftin"), "unknown rule 'shiftin'", "Did you mean 'shifting'?", "exact")
    refused(lambda: rules.register("two words", rules.exact), "name must be an identifier", "'two words'")
    refused(lambda: rules.register("", rules.exact), "name must be an identifier", "''")
    refused(lambda: rules.register(3, rules.exact), "name must be an identifier", "3")
    refused(lambda: rules.register("fine", "exact"), "function must be callable", "'exact'")
    refused(lambda: rules.register("exact", rules.shifting), "'exact' is already registered")
    assert rules.names() == ["exact", "normalized", "shifting"]
    assert rules.get("exact") is rules.exact


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"in_features": 0}, ["in_features", "integer of 1 or more", "0"]),
        ({"out_features": -2}, ["out_features", "integer of 1 or more", "-2"]),
        ({"out_features": 2.0}, ["out_features", "integer of 1 or more", "2.0"]),
        ({"rule": "hebb"}, ["unknown rule 'hebb'", "exact, normalized, shifting"]),
        ({"feedback": "randon"}, ["unknown feedback 'randon'", "Did you mean 'random'?", "symmetric"]),
        ({"init_scale": 0.0}, ["init_scale must be positive", "0.0"]),
        ({"init_scale": nan}, ["init_scale must be positive", "nan"]),
        ({"min_drive": -1.0}, ["min_drive must be 0 or more", "-1.0"]),
    ],
    ids=str,
)
def test_layer(changes: dict[str, Any], parts: list[str]) -> None:
    refused(lambda: ShiftLinear(**({"in_features": 3, "out_features": 2} | changes)), *parts)


@pytest.mark.parametrize("loss", [FirstSpikeCrossEntropy, SoftmaxTargetError])
def test_losses(loss: Callable[..., Any]) -> None:
    z, target = torch.ones(3, 4), torch.tensor([0, 1, 2])
    assert loss()(z, target).isfinite()
    refused(lambda: loss()(z, target[:2]), "target (batch,)", "(3, 4)", "(2,)")
    refused(lambda: loss()(z[0], target), "z must be (batch, classes)", "(4,)")
    refused(lambda: loss()(z, target.float()), "target must hold class indices", "torch.float32")
    refused(lambda: loss()(z, target + 2), "target must hold classes from 0 to 3", "got 4")
    refused(lambda: loss()(z, target - 1), "target must hold classes from 0 to 3", "got -1")
    refused(lambda: loss()(z.half(), target), "z must be float32 or float64", "torch.float16")
    refused(lambda: loss()(z, target > 0), "target must hold class indices", "torch.bool")
    refused(lambda: loss(reduction="none"), "reduction must be 'mean' or 'sum'", "'none'")
    refused(lambda: loss(horizon=0.0), "horizon must be positive", "0.0")


def test_the_rest_of_nn() -> None:
    refused(lambda: FirstSpikeCrossEntropy(beta=0.0), "beta must be positive", "0.0")
    refused(lambda: FirstSpikeCrossEntropy(label_smoothing=1.0), "label_smoothing must lie in [0, 1)", "1.0")
    refused(lambda: FirstSpikeCrossEntropy(label_smoothing=-0.1), "label_smoothing must lie in [0, 1)", "-0.1")
    refused(lambda: Homeostasis(0.0), "target must be positive", "0.0")
    refused(lambda: Homeostasis(nan), "target must be positive", "nan")
