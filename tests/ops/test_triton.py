"""The Triton kernels against the oracle and the float64 reference.

Without a GPU they run in Triton's interpreter (see conftest.py), so problems are small. With one they run on it.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from problems import (
    DTYPES,
    Dense,
    Events,
    Explicit,
    assert_equal,
    assert_within,
    counts,
    general_dense,
    oracle,
    random_dense,
)
from test_adjustments import RULES, returned, summed, with_coefficients
from test_first_spike import check_against_oracle
from torch import Tensor

from shiftlearn import SpikeEvents, ops
from shiftlearn.ops import autograd, dispatch, operations, reference

pytest.importorskip("triton", reason="Triton is not installed")
from shiftlearn.ops import gpu as gpu

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
inf = math.inf
both = pytest.mark.parametrize("dtype", DTYPES)
few = settings(max_examples=settings().max_examples // 2)  # the interpreter is slow


def there(*args: Any) -> list[Any]:
    return [x.to(DEVICE) if isinstance(x, Tensor) else x for x in args]


def first_spike(*args: Any) -> tuple[Tensor, ...]:
    return tuple(x.cpu() for x in gpu.first_spike(*there(*args)))


def plasticity(*args: Any) -> Tensor:
    return gpu.plasticity(*there(*args)).cpu()


def feedback(*args: Any) -> Tensor:
    return gpu.feedback(*there(*args)).cpu()


KERNELS = SimpleNamespace(first_spike=first_spike, plasticity=plasticity, feedback=feedback)


@both
@few
@given(drawn=with_coefficients())
def test_exact_arithmetic(dtype: torch.dtype, drawn: tuple) -> None:
    """Ties, silence, weights of both signs, empty rows, any rest, repeated channels: to the last bit."""
    problem, a, c, weight = drawn
    events = Events(problem.events(dtype))
    want = oracle(problem.rows(), problem.shift)
    u, count, drive = first_spike(*events, problem.weight(dtype))
    assert count.dtype == torch.int32
    assert_equal(count, counts(want, problem.listed()))
    assert_equal(drive, want.drive)
    assert_equal(u, want.u)
    ta, tc, tw = (torch.tensor(x, dtype=dtype) for x in (a, c, weight))
    assert_equal(plasticity(*events, count, ta, tc, len(weight)), summed(want.causal, a, c, len(weight)))
    assert_equal(feedback(*events, count, ta, tw), returned(want.causal, a, weight))


@both
@few
@given(problem=general_dense(decades=8))
def test_general_floats(dtype: torch.dtype, problem: Dense) -> None:
    check_against_oracle(problem, KERNELS, dtype)


# single, empty, more neurons than a program has, more inputs than one of feedback has, both, rows to share out
@both
@pytest.mark.parametrize("shape", [(1, 1, 1), (0, 4, 5), (2, 3, 130), (2, 40, 3), (9, 17, 65), (17, 2, 3)], ids=str)
def test_shapes(dtype: torch.dtype, shape: tuple[int, int, int]) -> None:
    """Adjustments get the same counts as the reference's, so only the sums' own errors are left."""
    problem = random_dense(sum(shape), *shape).rounded(dtype)
    assert check_against_oracle(problem, KERNELS, dtype) > 0.9
    events, wide = Events(problem.events(dtype)), Events(problem.events())
    count = reference.first_spike(*wide, problem.weight())[1]
    torch.manual_seed(0)
    a, c = torch.randn(2, shape[0], shape[2], dtype=dtype)
    got = plasticity(*events, count, a, c, shape[1])
    want = reference.plasticity(*wide, count, a.double(), c.double(), shape[1]).numpy()
    latest = problem.z[np.isfinite(problem.z)].max(initial=0)
    eps = torch.finfo(dtype).eps
    assert_within(got, want, eps * (shape[0] + 8) * (a.abs().double() * latest + c.abs()).sum(0).numpy())
    got = feedback(*events, count, a, problem.weight(dtype))
    want = reference.feedback(*wide, count, a.double(), problem.weight()).numpy()
    assert_within(got, want, eps * (shape[2] + 8) * (a.abs().double().numpy() @ np.abs(problem.shift).T))


@both
def test_rest_equals_walking_every_spike(dtype: torch.dtype) -> None:
    """Sums at rest are differences of column sums: off by some eps·Σ|w|, here eight eps."""
    dense = random_dense(5, 3, 60, 20, ties=0.8, silent=0).rounded(dtype)
    rows = dense.rows()
    walked = Explicit(rows, [inf] * len(rows), [0] * len(rows), dense.shift)
    sure = torch.tensor(oracle(rows, dense.shift).margin > 8 * torch.finfo(dtype).eps)
    at_rest, listed = (first_spike(*Events(p.events(dtype)), p.weight(dtype)) for p in (dense, walked))
    capped = torch.minimum(listed[1], torch.tensor(dense.listed())[:, None].int() + 1)
    assert sure.float().mean() > 0.9
    assert torch.equal(at_rest[1][sure], capped[sure])
    assert (capped < listed[1])[sure].sum() > 5  # the test is about neurons that need the inputs at rest
    for x, y in ((at_rest[0], listed[0]), (at_rest[2], listed[2])):
        torch.testing.assert_close(x[sure], y[sure], rtol=1e3 * torch.finfo(dtype).eps, atol=0)


@both
@pytest.mark.parametrize("listed", [5, 3, 2])
def test_rounding_never_splits_tied_inputs(listed: int, dtype: torch.dtype) -> None:
    """As in test_first_spike.py, three inputs arrive where the neuron crosses, up to rounding; some are at rest.

    Nor does rounding move a crossing across an input.
    """
    torch.manual_seed(0)
    shift = torch.rand(5, 20, dtype=dtype) + 0.3
    early = torch.tensor([1.0, 1.3], dtype=dtype)
    late = ((shift[:2].double() * early.double()[:, None]).sum(0) / (shift[:2].double().sum(0) - 1)).to(dtype)
    chosen = torch.nonzero(late > early[-1])[:, 0]
    late = late[chosen]
    z = torch.cat([early.expand(len(chosen), 2), late[:, None].expand(-1, listed - 2)], 1).reshape(-1)
    offsets = torch.arange(len(chosen) + 1) * listed
    events = SpikeEvents(z, torch.arange(listed).repeat(len(chosen)), offsets, 5, late if listed < 5 else None)
    u, count, _ = (x[torch.arange(len(chosen)), chosen] for x in first_spike(*Events(events), shift))
    assert set(count.tolist()) == {2, 5 if listed == 5 else listed + 1}  # rounding decides, both ways
    assert (u <= late)[count == 2].all()
    assert (u >= late)[count > 2].all()
    torch.testing.assert_close(u, late, rtol=200 * torch.finfo(dtype).eps, atol=0)


@both
@pytest.mark.parametrize("lead", [(3,), (2, 2)], ids=str)
def test_an_ensemble_is_its_members(lead: tuple[int, ...], dtype: torch.dtype) -> None:
    members = math.prod(lead)
    problem = random_dense(11, 2 * members, 8, 5)
    shift = torch.stack([problem.weight(dtype) * scale for scale in torch.linspace(0.5, 2, members)])
    torch.manual_seed(0)
    a, c = torch.randn(2, members, 2, 5, dtype=dtype)

    def run(z: np.ndarray, lead: tuple[int, ...], shift: Tensor, a: Tensor, c: Tensor) -> list[Tensor]:
        events = Events(Dense(z, problem.shift).events(dtype))
        shift, a, c = (x.reshape(*lead, *x.shape[-2:]) for x in (shift, a, c))
        u, count, drive = first_spike(*events, shift)
        return [u, count, drive, plasticity(*events, count, a, c, 8), feedback(*events, count, a, shift)]

    together = run(problem.z, lead, shift, a, c)
    for m, index in enumerate(np.ndindex(*lead)):
        alone = run(problem.z[2 * m : 2 * m + 2], (), shift[m], a[m], c[m])
        assert all(torch.equal(x[index], y) for x, y in zip(together, alone, strict=True))
    assert together[0].isfinite().any()


@both
@pytest.mark.parametrize("lead", [(), (2,)], ids=["plain", "members"])
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)], ids=str)
def test_nothing_to_do(dtype: torch.dtype, lead: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    batch, inputs, outputs = shape
    events = Events(ops.sort_spikes(torch.ones(*lead, batch, inputs, dtype=dtype)))
    shift = torch.full((*lead, inputs, outputs), 4 / max(inputs, 1), dtype=dtype)
    want = [(*lead, batch, outputs)] * 3
    results = first_spike(*events, shift)
    assert [x.shape for x in results] == want
    _, count, drive = results
    assert (count == (1 if inputs else 0)).all()
    adjustment, sent = plasticity(*events, count, drive, drive, inputs), feedback(*events, count, drive, shift)
    assert adjustment.shape == shift.shape
    assert (adjustment == 0).all()  # a z − c with a = c and z = 1
    assert sent.shape == (*lead, batch, inputs)
    assert_equal(sent, np.full(sent.shape, outputs * 3.0 * 4 / max(inputs, 1)))


def test_a_quotient_that_overflows_is_silence() -> None:
    events = Events(ops.sort_spikes(torch.tensor([[1e38]])))
    with np.errstate(over="ignore"):  # the interpreter's
        u, count, drive = first_spike(*events, torch.tensor([[1.0001, 2.0]]))
    assert u[0].tolist() == [inf, pytest.approx(2e38, rel=1e-6)]
    assert count.tolist() == [[0, 1]]
    assert drive.tolist() == [[0.0, 1.0]]


def test_tensors_need_not_be_contiguous() -> None:
    problem = random_dense(3, 4, 6, 5)
    events = Events(problem.events())
    loose = [torch.stack([x, x], -1)[..., 0] for x in events]
    shift = problem.weight()
    flipped = shift.T.contiguous().T
    want = first_spike(*events, shift)
    got = first_spike(*loose, flipped)
    u, count, drive = (x.T.contiguous().T for x in want)
    pairs = [
        *zip(got, want, strict=True),
        (plasticity(*loose, count, drive, u.clamp(max=9), 6), plasticity(*events, *want[1:], want[0].clamp(max=9), 6)),
        (feedback(*loose, count, drive, flipped), feedback(*events, *want[1:], shift)),
    ]
    assert not flipped.is_contiguous()
    assert all(torch.equal(x, y) for x, y in pairs)


# ----------------------------------------------------------------------------------- behind ops.fire


@pytest.mark.usefixtures("triton_wanted")
@pytest.mark.parametrize("matrix", [False, True], ids=["symmetric", "matrix"])
@pytest.mark.parametrize("rule", RULES)
def test_fire_and_its_gradients(rule: str, matrix: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers, forward and backward, as on a GPU but for the device: equal to those on the CPU."""
    torch.manual_seed(0)
    problem = random_dense(4, 5, 7, 6, silent=0.2)
    weights = [problem.weight(), torch.rand(6, 3, dtype=torch.float64)]
    delta = torch.randn(5, 3, dtype=torch.float64)

    def run(device: torch.device) -> list[Tensor]:
        leaves = [problem.tensor(), *weights, torch.full((6,), 1.5).double(), torch.full((3,), 1.25).double()]
        z, first, second, d1, d2 = leaves = [x.clone().to(device).requires_grad_() for x in leaves]
        fixed = weights[1].flip(0).to(device) if matrix else None
        out = ops.fire(ops.fire(z, first, d1, None, rule, 0.125), second, d2, fixed, rule, 0.125)
        out.backward(delta.to(device))
        return [out.detach().cpu(), *(x.grad.cpu() for x in leaves)]

    want = run(torch.device("cpu"))
    names = "sort_spikes", "first_spike", "coefficients", "feedback", "plasticity"
    kernels = SimpleNamespace(**{name: dispatch.on_gpu(name) for name in names})
    monkeypatch.setattr(torch.ops.shiftlearn, "first_spike", kernels.first_spike)
    kernels.fire = dispatch._fire
    monkeypatch.setattr(autograd, "_ops", kernels)
    monkeypatch.setattr(operations, "direct", lambda *_: False)
    fire = partial(autograd.Fire.apply, False)
    monkeypatch.setattr(operations, "_ops", SimpleNamespace(sort_spikes=kernels.sort_spikes, fire=fire))
    got = run(DEVICE)
    assert want[0].isfinite().any()
    for x, y in zip(got, want, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-11)


def test_the_ops_have_a_kernel_for_gpus() -> None:
    for name in gpu.__all__:
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"shiftlearn::{name}", "CUDA")


def test_without_triton_the_reference_runs_and_says_so(monkeypatch: pytest.MonkeyPatch, triton_wanted: None) -> None:
    for name in [name for name in sys.modules if name.startswith("shiftlearn.ops.gpu")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(ops, "gpu")
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.warns(UserWarning, match="Triton is not installed: on the GPU the readable reference runs instead"):
        assert dispatch._gpu() is None


# --------------------------------------------------------------------------- what no interpreter shows

COMPILE = """
import sys

import shiftlearn

assert "triton" not in sys.modules, "imported before a GPU needs it"

import triton
from shiftlearn.ops.gpu import adjust, elementwise, sorting, walk
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

integers = dict.fromkeys(("channel", "count", "turn", "repeated"), "*i32")
integers |= dict(offsets="*i64", target="*i64", active="*i8")
sizes = dict(inputs="i32", outputs="i32", batch="i32", rows="i32", tiles="i32", blocks="i32", classes="i32")
constants = dict(SIZE=int(sys.argv[1]), CLASSES=16, CHANNELS=32, COLUMNS=64, ROWS=16, AHEAD=8, BLOCK=1024)
constants |= dict(RULE=1, QUANTISED=False, MIN_DRIVE=0.1, BETA=4.0, SMOOTHING=0.1, HORIZON=100.0)
kernels = walk._walk, adjust._invert, adjust._learn, adjust._send, elementwise._coefficients, elementwise._cross_entropy
for real, kernel in [(real, kernel) for real in ("*fp32", "*fp64") for kernel in kernels] + [("*fp32", sorting._sort)]:
    types = integers | sizes | dict.fromkeys(constants, "constexpr")
    types = {name: types.get(name, real) for name in kernel.arg_names}
    source = ASTSource(kernel, types, {name: x for name, x in constants.items() if name in types})
    print(len(triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["cubin"]))
"""


@pytest.mark.parametrize("size", [64, pytest.param(1024, marks=pytest.mark.slow)])
def test_the_kernels_compile_for_a_gpu(size: int, tmp_path: os.PathLike) -> None:
    """To machine code of compute capability 8.0, which needs no GPU; the interpreter checks no types."""
    environment = os.environ | {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE, str(size)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len([size for size in map(int, done.stdout.split()) if size > 1000]) == 13
