"""The way past torch's dispatcher leads to the same results as the way through it. Only plain tensors take it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from problems import DTYPES, needs_kernels, random_dense
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from shiftlearn import SpikeEvents, ops
from shiftlearn.errors import InputError
from shiftlearn.nn import FirstSpikeCrossEntropy
from shiftlearn.ops import checks, operations
from shiftlearn.ops.autograd import direct

pytestmark = needs_kernels


def through(monkeypatch: pytest.MonkeyPatch, run: Callable[[], Any]) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(operations, "direct", lambda *_: False)
        return run()


def weights(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(1)) * 8 / shape[-2] - 0.1


def events(dtype: torch.dtype) -> SpikeEvents:
    z = torch.tensor([1.0, 1.5, 1.5, 2.0, 1.25, 3.0], dtype=dtype)
    rest = torch.tensor([math.inf, 4.0, 2.0, math.inf], dtype=dtype)
    return SpikeEvents(z, torch.tensor([0, 3, 3, 5, 2, 4]), torch.tensor([0, 4, 6, 6, 6]), 6, rest)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (2,), (2, 1)], ids=str)
@pytest.mark.parametrize("outputs", [3, 90])
@pytest.mark.parametrize(
    ("form", "rule"),
    [("dense", "shifting"), ("constant", "normalized"), ("events", "exact"), ("no rows", "exact"), ("dense", "exact")],
)
def test_both_ways_give_the_same(
    form: str, rule: str, outputs: int, lead: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spike times and all gradients, where the error's memory has a layout of its own, too.

    To the last bit, but for few outputs, whose dense spikes are summed in another order.
    """
    batch = 0 if form == "no rows" else 4 // math.prod(lead)
    dense = random_dense(2, 4, 6, 1).tensor(dtype)[: math.prod(lead) * batch].reshape(*lead, batch, 6)
    feedback = weights(dtype, *lead, 6, outputs).abs() if rule == "exact" else None

    def run() -> list[Tensor | None]:
        inputs = events(dtype) if form == "events" else dense.clone().requires_grad_(form != "constant")
        shift = weights(dtype, *lead, 6, outputs).requires_grad_()
        delay = torch.full((*lead, outputs), 1.25, dtype=dtype, requires_grad=True)
        z = ops.fire(inputs, shift, delay, feedback, rule, 0.125)
        error = weights(dtype, *lead, outputs, max(batch, 1)).mT[..., :batch, :]
        (torch.where(z.isinf(), 0, z) * error).sum().backward()
        return [z, shift.grad, delay.grad, inputs.grad if isinstance(inputs, Tensor) else None]

    past, other = run(), through(monkeypatch, run)
    for x, y in zip(past, other, strict=True):
        assert (x is None) == (y is None)
        if x is not None and outputs == 3 and form in ("dense", "constant"):
            eps = 64 * torch.finfo(dtype).eps
            torch.testing.assert_close(x, y, rtol=eps, atol=eps)
        else:
            assert x is None or torch.equal(x, y)
    assert past[0].isfinite().any() or not batch


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [3, 20, 90])
@pytest.mark.parametrize("form", ["dense", "events"])
def test_a_backward_pass_is_of_the_forward_passs_instruction_set(
    form: str, outputs: int, dtype: torch.dtype, threads: None, instruction_set: str
) -> None:
    """What a layer remembers is laid out by instruction set. Neither that nor threads matter to its backward pass."""
    kernels = ops.cpu._kernels

    def gradients(then: str, count: int) -> list[Tensor]:
        kernels.use_instruction_set(instruction_set)
        torch.set_num_threads(1)
        inputs = events(dtype) if form == "events" else random_dense(2, 4, 6, 1).tensor(dtype).requires_grad_()
        shift, delay = weights(dtype, 6, outputs).requires_grad_(), torch.full((outputs,), 1.25, dtype=dtype)
        z = ops.fire(inputs, shift, delay.requires_grad_(), None, "exact", 0.125)
        kernels.use_instruction_set(then)
        torch.set_num_threads(count)
        torch.where(z.isinf(), 0, z).sum().backward()
        return [shift.grad, delay.grad, *([] if form == "events" else [inputs.grad])]

    want = gradients(instruction_set, 1)
    assert all(x.isfinite().all() and x.any() for x in want)
    for then, count in itertools.product(kernels.instruction_sets(), (1, 3)):
        for x, y in zip(gradients(then, count), want, strict=True):
            assert torch.equal(x, y)


@pytest.mark.parametrize("form", ["dense", "events"])
def test_answers_alone_are_the_same(form: str) -> None:
    """Nothing is kept for a way back, where there is none."""
    inputs = events(torch.float32) if form == "events" else random_dense(2, 4, 6, 1).tensor(torch.float32)
    shift, delay = weights(torch.float32, 6, 3).requires_grad_(), torch.full((3,), 1.25)
    want = ops.fire(inputs, shift, delay)
    with torch.no_grad():
        got = ops.fire(inputs, shift, delay)
    assert (want.grad_fn is None, got.grad_fn is None) == (False, True)
    assert torch.equal(got, want)
    assert torch.equal(ops.fire(inputs, shift.detach(), delay), want)
    assert want.isfinite().any()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_are_the_same(weighted: bool, reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, target = FirstSpikeCrossEntropy(2.0, 0.1, reduction=reduction), torch.tensor([0, 1, 0])
    weight = torch.tensor([1.0, 2.0, 0.5]) if weighted else None

    def run() -> list[Tensor]:
        z = torch.tensor([[1.5, 2.0], [3.0, math.inf], [1.0, 1.25]], requires_grad=True)
        value = loss(z, target, weight)
        value.backward()
        return [value, z.grad]

    for x, y in zip(run(), through(monkeypatch, run), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=0)
        assert x.abs().sum() > 0


def test_the_way_back_may_be_gone_twice_if_asked_for() -> None:
    shift, delay = weights(torch.float32, 6, 3).requires_grad_(), torch.ones(3)
    z = ops.fire(random_dense(2, 4, 6, 1).tensor(torch.float32), shift, delay)
    error = torch.ones_like(z)
    first, second = (torch.autograd.grad(z, shift, error, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    torch.autograd.grad(z, shift, error)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(z, shift, error)


def test_several_errors_at_once_are_taken_one_by_one() -> None:
    shift, delay = weights(torch.float64, 6, 3).requires_grad_(), torch.ones(3).double()
    z = ops.fire(random_dense(2, 4, 6, 1).tensor(torch.float64), shift, delay)
    errors = torch.eye(z.numel(), dtype=torch.float64).reshape(-1, *z.shape)
    (together,) = torch.autograd.grad(z, shift, errors, is_grads_batched=True, retain_graph=True)
    alone = [torch.autograd.grad(z, shift, error, retain_graph=True)[0] for error in errors]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-12, atol=1e-12)
    assert together.any()


def test_weights_that_were_changed_between_are_found() -> None:
    shift = weights(torch.float32, 6, 3).requires_grad_()
    z = ops.fire(random_dense(2, 4, 6, 1).tensor(torch.float32), shift, torch.ones(3))
    with torch.no_grad():
        shift.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_spikes_are_looked_at_both_ways() -> None:
    """What numpy changes, autograd does not see, but kernels would read beyond the weights."""
    given, shift = events(torch.float32), weights(torch.float32, 6, 3).requires_grad_()
    z = ops.fire(given, shift, torch.ones(3))
    given.channel.numpy()[0] = 10**6
    for run in (z.sum().backward, lambda: ops.fire(given, shift, torch.ones(3))):
        with pytest.raises(InputError, match=r"channel must lie in 0 … 5"):
            run()
    assert shift.grad is None
    given.channel = given.channel.long()
    with pytest.raises(InputError, match=r"channel must be torch.int32"):
        ops.fire(given, shift, torch.ones(3))


def test_only_plain_tensors_go_that_way(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Tensor):
        pass

    plain = torch.ones(2)
    assert direct(plain, None, torch.nn.Parameter(plain))
    assert not direct(plain, plain.as_subclass(Own))
    assert not direct(plain.to("meta"))
    with FakeTensorMode():
        assert not direct(plain)
    monkeypatch.setattr(checks, "DEBUG", True)
    assert not direct(plain)


def test_a_kernel_that_refuses_is_never_ignored() -> None:
    """Should the values be fine again by the time that they are looked at, there is still no result."""
    with pytest.raises(AssertionError, match="refused"):
        ops.cpu._refuse(-3, None, None, torch.ones(2), 1)


def test_very_large_adjustments_are_those_of_their_parts() -> None:
    """Beyond 32 MiB they lie in memory of their own."""
    z = random_dense(0, 2, 12_000, 1).tensor(torch.float32)
    shift = weights(torch.float32, 12_000, 800) + 0.1

    def adjustment(columns: slice) -> Tensor:
        own = shift[:, columns].contiguous().requires_grad_()
        ops.fire(z, own, torch.ones(own.shape[1])).nan_to_num(posinf=0).sum().backward()
        return own.grad

    whole = adjustment(slice(0, 800))
    assert whole.nbytes > 2**25
    assert torch.equal(whole, torch.cat([adjustment(slice(0, 400)), adjustment(slice(400, 800))], 1))
    assert whole.any()
