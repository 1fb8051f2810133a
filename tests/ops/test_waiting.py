"""No step on a GPU waits for the device: shown on torch's `meta` device, whose tensors have no data to wait for.

What asks for a value there raises, and so does a shape that depends on data; copies between devices are listed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_adjustments import RULES
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shiftlearn.coding import encoder
from shiftlearn.nn import (
    DirectFeedback,
    EarliestSpikePool2d,
    FirstSpikeCrossEntropy,
    Homeostasis,
    ShiftConv2d,
    ShiftLinear,
    SoftmaxTargetError,
    first_to_fire,
    project_delays,
)
from shiftlearn.ops import reference


class Copies(TorchDispatchMode):
    """Lists the operations that a CPU tensor takes part in."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        if any(x.device.type == "cpu" for x in tensors):
            self.found.append(str(function))
        return result


def copies(run: Callable[[], Any]) -> list[str]:
    with Copies() as seen:
        run()
    return seen.found


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


TARGET = meta(5, dtype=torch.int64)


def test_what_waits_is_found() -> None:
    with pytest.raises(RuntimeError, match="meta"):
        copies(lambda: meta(3).min().item())
    with pytest.raises(RuntimeError, match="meta"):
        copies(lambda: reference.first_spike(meta(9), meta(9), meta(4, dtype=torch.int64), meta(3), meta(3, 2)))
    assert copies(lambda: torch.ones(3).to("meta")) != []


@pytest.mark.parametrize("loss", [FirstSpikeCrossEntropy(2.0, 0.1), SoftmaxTargetError()], ids=["cross", "published"])
@pytest.mark.parametrize("feedback", ["symmetric", "random", "sign", "none"])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_of_learning(rule: str, feedback: str, loss: nn.Module) -> None:
    """All but the kernels, whose shapes alone take part here."""
    layers = [ShiftLinear(20, 7, rule, feedback, device="meta"), ShiftLinear(7, 3, rule, feedback, device="meta")]
    network = DirectFeedback(*layers) if feedback == "none" else nn.Sequential(*layers)

    def step() -> None:
        z = network(meta(5, 20))
        loss(z, TARGET).backward()
        first_to_fire(z)
        Homeostasis(1.2)(network)
        project_delays(network)

    assert copies(step) == []
    assert layers[0].shift.grad is not None


def test_convolution() -> None:
    network = nn.Sequential(ShiftConv2d(1, 4, 3, padding=1, device="meta"), EarliestSpikePool2d(2), nn.Flatten())
    network.append(ShiftLinear(64, 3, device="meta"))
    assert copies(lambda: FirstSpikeCrossEntropy()(network(meta(5, 1, 8, 8)), TARGET).backward()) == []


@pytest.mark.parametrize("rule", RULES)
def test_what_the_reference_does_on_a_gpu(rule: str) -> None:
    assert copies(lambda: reference.sort_spikes(meta(5, 20))) == []
    assert copies(lambda: reference.coefficients(rule, *[meta(5, 7)] * 3, meta(7), 0.1)) == []
    assert copies(lambda: reference.cross_entropy(meta(5, 3), TARGET, None, 1, 2.0, 0.1, 100.0)) == []


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=["levels", "floats"])
@pytest.mark.parametrize("coding", ["latency", "on-off", "population", "binarised"])
def test_coding(coding: str, dtype: torch.dtype) -> None:
    encode = encoder(coding, 2.0)
    encode(meta(5, 20, dtype=dtype))  # the first time, a table may be brought to the device
    assert copies(lambda: encode(meta(5, 20, dtype=dtype))) == []


def test_what_surrounds_the_triton_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    from shiftlearn.ops import gpu as gpu

    class Launch:
        """In place of a kernel: takes any grid and any arguments."""

        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            return lambda *args, **options: None

    kernels = {"sorting": "_sort", "walk": "_walk", "adjust": "_invert _learn _send"}
    kernels["elementwise"] = "_coefficients _cross_entropy"
    for module, names in kernels.items():
        for name in names.split():
            monkeypatch.setattr(sys.modules[f"{gpu.__name__}.{module}"], name, Launch())
    events = meta(100), meta(100, dtype=torch.int32), meta(6, dtype=torch.int64), meta(5)
    count, of_neuron = meta(5, 7, dtype=torch.int32), [meta(5, 7)] * 3
    assert copies(lambda: gpu.sort_spikes(meta(5, 20))) == []
    assert copies(lambda: gpu.sort_levels(meta(5, 20, dtype=torch.uint8), meta(256))) == []
    assert copies(lambda: gpu.coefficients("normalized", *of_neuron, meta(7), 0.1)) == []
    assert copies(lambda: gpu.cross_entropy(meta(5, 3), TARGET, meta(5), 5, 2.0, 0.1, 100.0)) == []
    assert copies(lambda: gpu.first_spike(*events, meta(20, 7))) == []
    assert copies(lambda: gpu.plasticity(*events, count, meta(5, 7), meta(5, 7), 20)) == []
    assert copies(lambda: gpu.feedback(*events, count, meta(5, 7), meta(20, 7))) == []
