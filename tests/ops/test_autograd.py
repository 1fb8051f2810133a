"""The torch ops as torch sees them: opcheck, gradcheck, torch.compile, and rules of the user's own."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from problems import DTYPES, Dense, Events, oracle, random_dense
from torch import Tensor, nn
from torch.library import opcheck

from shiftlearn import SpikeEvents, ops
from shiftlearn.errors import InputError
from shiftlearn.nn import FirstSpikeCrossEntropy, ShiftLinear
from shiftlearn.ops import reference, rules

OPS = torch.ops.shiftlearn
LEADS = [pytest.param((), id="plain"), pytest.param((2,), id="members")]


def events_of(form: str, dtype: torch.dtype, batch: int = 4, inputs: int = 6) -> SpikeEvents:
    if form == "dense":
        return random_dense(2, batch, inputs, 1).events(dtype)
    z = torch.tensor([1.0, 1.5, 1.5, 2.0, 1.25, 3.0, math.inf], dtype=dtype)
    channel = torch.tensor([0, 3, 3, 5, 2, 4, 0])
    rest = torch.tensor([math.inf, 4.0, 2.0, math.inf], dtype=dtype)
    return SpikeEvents(z, channel, torch.tensor([0, 4, 7, 7, 7]), inputs, rest)


def weights(dtype: torch.dtype, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(shape, dtype=dtype, generator=generator) * 8 / shape[-2] - 0.1


# --------------------------------------------------------------------------------------------------- opcheck


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 6), (0, 6), (2, 3, 6), (3, 0)], ids=str)
def test_opcheck_sort_spikes(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    z = (torch.rand(shape, dtype=dtype) + 1).masked_fill(torch.rand(shape) < 0.2, math.inf)
    opcheck(OPS.sort_spikes, (z,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", ["shifting", "normalized", "exact"])
@pytest.mark.parametrize("lead", LEADS)
def test_coefficients(rule: str, dtype: torch.dtype, lead: tuple[int, ...]) -> None:
    """opcheck, and both engines against the formula; a silent neuron and one that its delay makes silent included."""
    delta, u = torch.randn(*lead, 5, 3, dtype=dtype), torch.rand(*lead, 5, 3, dtype=dtype) + 1
    drive, delay = torch.rand(*lead, 5, 3, dtype=dtype), torch.rand(*lead, 3, dtype=dtype) + 1
    u[..., 0, 1], drive[..., 0, 1] = math.inf, 0
    u[..., 1, 2], delay[..., 2] = torch.finfo(dtype).max, 2
    opcheck(OPS.coefficients, (rule, delta, u, drive, delay, 0.125))
    expected = rules.coefficients(rule, delta.double(), u.double(), drive.double(), delay.double(), 0.125)
    if dtype == torch.float32:  # what overflows there does not in float64
        for x in expected[:3]:
            x[..., 1, 2] = 0
    for got, want in zip(OPS.coefficients(rule, delta, u, drive, delay, 0.125)[:3], expected[:3], strict=True):
        torch.testing.assert_close(got.double(), want, rtol=1e-5 if dtype == torch.float32 else 1e-13, atol=0)
    g = OPS.coefficients(rule, delta, u, drive, delay, 0.125)[3]
    assert g.isfinite().all()
    torch.testing.assert_close(g[..., :2].double(), expected[3][..., :2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.25])
@pytest.mark.parametrize("shape", [(0, 3), (2, 1), (5, 3), (7, 20)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(shape: tuple[int, int], smoothing: float, weighted: bool, dtype: torch.dtype) -> None:
    """opcheck, and both engines against torch's autograd; some classes are silent, in the last row all."""
    z = torch.exp(2 * torch.rand(shape, dtype=dtype)).masked_fill(torch.rand(shape) < 0.2, math.inf)
    z[-1:] = math.inf
    target = torch.arange(shape[0]) % shape[1]
    weight = torch.rand(shape[0], dtype=dtype, requires_grad=True) if weighted else None
    arguments = (target, weight, 4, 3.0, smoothing, 20.0)
    opcheck(OPS.cross_entropy, (z, *arguments))
    finite = z.double().nan_to_num(posinf=20.0).requires_grad_()
    rows = F.cross_entropy(-3.0 * finite, target, label_smoothing=smoothing, reduction="none")
    want = (rows if weight is None else rows * weight.double()).sum() / 4
    (error,) = torch.autograd.grad(want, finite, retain_graph=True)
    for loss, got, each in (OPS.cross_entropy(z, *arguments), reference.cross_entropy(z, *arguments)):
        torch.testing.assert_close(loss.double(), want, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(got.double(), error.masked_fill(z.isinf(), 0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(each.double(), rows.detach(), rtol=1e-5, atol=1e-5)
    if weight is not None:
        (of_weight,) = torch.autograd.grad(want, weight)
        for loss in (OPS.cross_entropy(z, *arguments)[0], ops.cross_entropy(z, *arguments)):
            (got,) = torch.autograd.grad(loss, weight)
            torch.testing.assert_close(got, of_weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["dense", "explicit"])
@pytest.mark.parametrize("lead", LEADS)
def test_opcheck_kernels(form: str, dtype: torch.dtype, lead: tuple[int, ...]) -> None:
    events = Events(events_of(form, dtype))
    shift = weights(dtype, *lead, 6, 3)
    opcheck(OPS.first_spike, (*events, shift))
    _, count, drive = OPS.first_spike(*events, shift)
    assert (count > 0).any()
    opcheck(OPS.plasticity, (*events, count, drive, drive + 1, 6))
    opcheck(OPS.feedback, (*events, count, drive, shift))


@pytest.mark.parametrize(("form", "dtype"), [("dense", torch.float32), ("explicit", torch.float64)], ids=str)
@pytest.mark.parametrize("matrix", [False, True], ids=["symmetric", "matrix"])
@pytest.mark.parametrize("lead", LEADS)
def test_opcheck_fire(form: str, dtype: torch.dtype, matrix: bool, lead: tuple[int, ...]) -> None:
    events = Events(events_of(form, dtype))
    shift = weights(dtype, *lead, 6, 3).requires_grad_()
    delay = torch.full((*lead, 3), 1.25, dtype=dtype, requires_grad=True)
    feedback = weights(dtype, *lead, 6, 3).abs() if matrix else None
    dense = None
    if form == "dense":
        dense = random_dense(2, 4, 6, 1).tensor(dtype)
        dense = dense.reshape(*lead, -1, 6).requires_grad_()
    for rule in ("shifting", "exact"):
        opcheck(OPS.fire, (dense, *events, shift, delay, feedback, rule, 0.0))


# ------------------------------------------------------------------------------------------------- gradcheck


@pytest.mark.parametrize("lead", [(), (1,)], ids=["kernels", "reference"])
def test_the_exact_rule_is_the_gradient(lead: tuple[int, ...]) -> None:
    """Through two layers; a hidden neuron is silent, and no decision is near its turning point."""
    generator = torch.Generator().manual_seed(3)
    z = torch.exp(torch.rand(4, 6, dtype=torch.float64, generator=generator) * 2)
    first = torch.rand(6, 5, dtype=torch.float64, generator=generator) * 1.2 - 0.2
    second = torch.rand(5, 3, dtype=torch.float64, generator=generator) * 1.6 - 0.1
    first[:, 4] = 0.1
    delays = torch.tensor([1.0, 1.5, 0.75, 2.0, 1.25], dtype=torch.float64)

    hidden = oracle(Dense(z.numpy(), first.numpy()).rows(), first.numpy())
    hidden_out = hidden.u * delays.numpy()
    out = oracle(Dense(hidden_out, second.numpy()).rows(), second.numpy())
    for neurons in (hidden, out):
        assert neurons.margin.min() > 1e-4  # steps of 1e-6 cross no kink
    for times in (z, torch.tensor(hidden_out)):
        assert times.sort().values.diff()[:, :3].min() > 1e-4  # no ties
    assert (hidden.u[:, 4] == math.inf).all()
    assert (out.u < math.inf).all()
    assert any(len(c) < 5 for row in hidden.causal for c in row)  # some inputs are not causal

    def network(z: Tensor, first: Tensor, d1: Tensor, second: Tensor, d2: Tensor) -> Tensor:
        return ops.fire(ops.fire(z, first, d1, rule="exact"), second, d2, rule="exact")

    leaves = [x.reshape(*lead, *x.shape).clone().requires_grad_() for x in (z, first, delays, second, delays[:3])]
    assert torch.autograd.gradcheck(network, leaves, atol=1e-6, rtol=1e-6)


def test_the_shifting_rule_is_not_the_gradient() -> None:
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in ([[1.0]], [[3.0]], [1.0])]
    assert not torch.autograd.gradcheck(lambda *x: ops.fire(*x, rule="shifting"), leaves, raise_exception=False)


def test_only_the_spike_times_are_differentiable() -> None:
    shift, delay = weights(torch.float64, 6, 3).requires_grad_(), torch.ones(3).double()
    results = OPS.fire(None, *Events(events_of("explicit", torch.float64)), shift, delay, None, "exact", 0.0)
    assert [x.requires_grad for x in results] == [True, False, False, False]


def test_only_leaves_that_ask_get_gradients() -> None:
    problem = random_dense(2, 4, 6, 3)
    z, shift, delay = problem.tensor(), weights(torch.float64, 6, 3).requires_grad_(), torch.ones(3).double()
    ops.fire(z, shift, delay).sum().backward()
    assert shift.grad is not None
    assert z.grad is None
    assert delay.grad is None


# --------------------------------------------------------------------------------------------------- compile


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    """Nothing is taken from the disk, where what an older backward pass was compiled to may still lie."""
    torch.compiler.reset()
    with torch._inductor.config.patch(force_disable_caches=True):
        yield
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("backend", "dynamic", "feedback"),
    [
        ("aot_eager", False, "symmetric"),
        ("aot_eager", True, "symmetric"),
        ("aot_eager", False, "sign"),
        ("aot_eager", False, "none"),
        ("inductor", False, "random"),
    ],
)
def test_compiled_equals_eager(fresh_compiler: None, backend: str, dynamic: bool, feedback: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(ShiftLinear(9, 7, "exact"), ShiftLinear(7, 3, "normalized", feedback))
    compiled = torch.compile(model, fullgraph=True, backend=backend, dynamic=dynamic)
    loss = FirstSpikeCrossEntropy(beta=2.0)
    for batch in (5, 8) if backend == "aot_eager" else (5,):
        z = torch.tensor(random_dense(batch, batch, 9, 1).z, dtype=torch.float32)
        target = torch.arange(batch) % 3
        results = []
        for run in (model, compiled):
            model.zero_grad()
            inputs = z.clone().requires_grad_()
            out = run(inputs)
            loss(out, target).backward()
            grads = [p.grad for p in model.parameters()]
            results.append([out.detach(), inputs.grad, *(None if g is None else g.clone() for g in grads)])
        assert results[0][0].isfinite().any()
        for a, b in zip(*results, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(b, a)


# -------------------------------------------------------------------------------------------------- own rules


@pytest.fixture
def own_rule(own_names: None) -> str:
    """A rule that pulls every causal input towards the neuron's own crossing."""

    def pull(delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor) -> rules.Coefficients:
        assert (drive >= 0.5).all()
        a = delta * delay / drive
        return rules.Coefficients(a, a * u, a, torch.zeros_like(a))

    rules.register("pull-for-tests", pull)
    return "pull-for-tests"


def test_a_rule_of_ones_own_trains(own_rule: str) -> None:
    torch.manual_seed(0)
    z = torch.tensor([[1.0, 3.0], [3.0, 1.0]] * 4)
    target = torch.tensor([0, 1] * 4)
    model = nn.Sequential(ShiftLinear(2, 8, own_rule, min_drive=0.5), ShiftLinear(8, 2, own_rule, min_drive=0.5))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    loss = FirstSpikeCrossEntropy(beta=3.0)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(model(z), target)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.5 * losses[0]
    assert (model[0].delay == 1).all()  # the rule leaves the delays alone


def test_a_rule_hears_silence_as_no_error_at_no_time(own_names: None) -> None:
    """And the drive as it is floored: see register."""
    heard: list[list[list[float]]] = []

    def listen(delta: Tensor, u: Tensor, drive: Tensor, delay: Tensor) -> rules.Coefficients:
        heard.extend(x.tolist() for x in (delta, u, drive))
        return rules.Coefficients(delta, delta, delta, delta)

    rules.register("listen", listen)
    delta, u, drive = (torch.tensor([x]) for x in ([0.75, math.nan], [2.0, math.inf], [0.25, 0.0]))
    rules.coefficients("listen", delta, u, drive, torch.ones(2), 0.5)
    assert heard == [[[0.75, 0.0]], [[2.0, 0.0]], [[0.5, 1.0]]]


def test_a_rule_is_registered_once(own_rule: str) -> None:
    with pytest.raises(InputError, match=r"'pull-for-tests' is already registered"):
        rules.register(own_rule, rules.get("exact"))
    with pytest.raises(InputError, match="'exact' is already registered"):
        rules.register("exact", rules.get(own_rule))
    assert own_rule in rules.names()


def test_a_rule_may_return_one_tensor_twice_but_no_other_shape(own_names: None) -> None:
    rules.register("doubled", lambda delta, u, drive, delay: rules.Coefficients(delta, delta, delta, delta))
    rules.register("flat", lambda delta, u, drive, delay: rules.Coefficients(delta.sum(0), delta, delta, delta))
    z, shift, delay = torch.rand(2, 4) + 1, torch.full((4, 3), 0.5, requires_grad=True), torch.ones(3)
    ops.fire(z, shift, delay, rule="doubled").sum().backward()
    assert shift.grad is not None
    assert shift.grad.isfinite().all()
    for several in (3, 5):
        rules.register(f"of-{several}", lambda delta, u, drive, delay, several=several: (delta,) * several)
        with pytest.raises(InputError, match=rf"^rule 'of-{several}' must return a, c, f, g, got {several} tensors$"):
            rules.coefficients(f"of-{several}", *[torch.ones(2, 3)] * 3, torch.ones(3), 0.0)
    with pytest.raises(InputError, match=r"a of rule 'flat' must have shape \(2, 3\), got \(3,\)"):
        ops.fire(z, shift, delay, rule="flat").sum().backward()
