"""How a training step (forward and backward, no optimizer) grows with inputs, outputs, batch, active share and depth.

    python benchmarks/scaling.py [--only inputs …] [--rounds 5] [--rest] [--plot scaling.png] [--out scaling.json]

One quantity grows, the others keep their base: one layer of 784 inputs and 800 neurons, batch 128, a fifth of the
inputs active (the others are silent; with ``--rest`` they all spike at the end). The first layer's inputs are sorted
beforehand, and all of it is measured: the walk, plasticity, and feedback to the inputs. Weights are
U(0, 8 / active inputs), so that causal sets keep their share of the inputs. Depth is that of a stack of layers of 400
neurons, all of them active, with weights fitted for the same share in all layers (``shiftlearn.nn.initialise``). Later
layers sort their inputs within the step, so sorting is timed aside and subtracted.

Times are of one thread, in processor time (what other processes take does not count), the least of several rounds in
which all sizes take turns. An exponent is the slope of a straight line through the logarithms for the larger half of
the sizes: the smaller ones are mostly the constant overhead of a step, which is measured on a layer of one synapse. The
slope from one size to the next stands beside the times, as caches and the allocator end somewhere.

Memory (Linux only) is the peak of resident memory during the step, sorting included, above what stood before it:
inputs, weights and libraries. Every size has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import shiftlearn as sl
from shiftlearn.cli.allocator import keep_freed_memory

BASE = {"inputs": 784, "outputs": 800, "batch": 128, "active": 0.2}  # of one layer
SIZES: dict[str, list[float]] = {
    "inputs": [98, 196, 392, 784, 1568, 3136, 6272, 12544],
    "outputs": [100, 200, 400, 800, 1600, 3200, 6400, 12800],
    "batch": [8, 16, 32, 64, 128, 256, 512, 1024],
    "active": [0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8],
    "depth": [1, 2, 4, 8, 16, 32],
}
WIDTH = 400  # of the stack
MEMORY = [(128, 784, 800), (1024, 784, 800), (8192, 784, 800), (128, 6272, 800), (128, 50176, 800), (128, 784, 6400),
          (128, 784, 51200), (2048, 12544, 12800)]  # fmt: skip
SHARE, SECONDS = 0.7, 0.05  # of the stack's causal sets; of a timing, at least
_ops = torch.ops.shiftlearn

Network = Sequence[sl.nn.ShiftLinear]


def spikes(batch: int, inputs: int, active: float, rest: bool) -> Tensor:
    """Dense z (batch, inputs): the same number of active inputs in every row, their t uniform in 0 … τ."""
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(batch, inputs, generator=generator).argsort(1)
    late = math.e if rest else math.inf
    return torch.rand(batch, inputs, generator=generator).exp_().masked_fill_(order >= round(active * inputs), late)


def one_layer(inputs: int, outputs: int, batch: int, active: float, rest: bool) -> tuple[Tensor, Network]:
    scale = 8.0 if rest else 8.0 / active
    generator = torch.Generator().manual_seed(1)
    layer = sl.nn.ShiftLinear(inputs, outputs, init_scale=scale, min_drive=1e-3, generator=generator)
    return spikes(batch, inputs, active, rest), [layer]


def stack(depth: int, batch: int) -> tuple[Tensor, Network]:
    z = spikes(batch, WIDTH, 1.0, False)
    network = torch.nn.Sequential(*(sl.nn.ShiftLinear(WIDTH, WIDTH, min_drive=1e-3) for _ in range(depth)))
    sl.nn.initialise(network, z, SHARE, 0.2, torch.Generator().manual_seed(1))
    return z, list(network)


def training_step(z: Tensor, network: Network) -> Callable[[], object]:
    """Forward and backward, the first layer's events given. The error is that of the sum of all spike times."""
    z.requires_grad_()  # so that the error is sent back to the inputs too
    events, first = _ops.sort_spikes(z.detach()), network[0]
    error = torch.ones(len(z), network[-1].out_features)

    def step() -> None:
        z.grad = None
        for layer in network:
            layer.zero_grad()
        fired = _ops.fire(z, *events, first.shift, first.delay, None, first.rule, first.min_drive)[0]
        for layer in network[1:]:
            fired = layer(fired)
        fired.backward(error)

    return step


def hidden_sort(z: Tensor, network: Network) -> Callable[[], object]:
    """The sorting that is part of a step: of the inputs of all layers but the first."""
    hidden = []
    with torch.no_grad():
        for layer in network[:-1]:
            hidden.append(z := layer(z))
    return lambda: [_ops.sort_spikes(z) for z in hidden]


def causal_share(z: Tensor, network: Network) -> float:
    """Mean share of a row's spikes that lie in a neuron's causal set, over all layers."""
    shares = []
    with torch.no_grad():
        for layer in network:
            count = sl.ops.first_spike(sl.ops.sort_spikes(z), layer.shift)[1]
            last = z.amax(1, keepdim=True)  # the group that is not listed
            shares.append((count / (z < last).sum(1, keepdim=True)).clamp(max=1).mean().item())
            z = layer(z)
    return sum(shares) / len(shares)


def seconds(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Processor time of each call, the least over the rounds."""
    repeats = []
    for call in calls:
        call()
        began = time.process_time()
        call()
        repeats.append(math.ceil(SECONDS / max(time.process_time() - began, 1e-6)))
    best = [math.inf] * len(calls)
    for _ in range(rounds):
        for i, call in enumerate(calls):
            began = time.process_time()
            for _ in range(repeats[i]):
                call()
            best[i] = min(best[i], (time.process_time() - began) / repeats[i])
    return best


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def grow(quantity: str, rounds: int, rest: bool) -> dict[str, Any]:
    sizes = SIZES[quantity]
    if quantity == "depth":
        z, deepest = stack(int(max(sizes)), int(BASE["batch"]))
        cases = [(z, deepest[: int(depth)]) for depth in sizes]
    else:
        cases = [one_layer(**(BASE | {quantity: size}), rest=rest) for size in sizes]  # type: ignore[arg-type]
    shares = [causal_share(z.detach(), network) for z, network in cases]
    times = seconds([training_step(z, network) for z, network in cases], rounds)
    sorting = seconds([hidden_sort(z.detach(), network) for z, network in cases], rounds) if quantity == "depth" else []
    net = [a - b for a, b in zip(times, sorting, strict=True)] if sorting else times
    half = len(sizes) // 2
    fitted = exponent(sizes[half:], net[half:])
    return {"sizes": sizes, "seconds": net, "sorting": sorting, "shares": shares, "exponent": fitted}


def resident(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def memory(batch: int, inputs: int, outputs: int) -> int:
    """Bytes that one step adds to this process, at most."""
    torch.set_num_threads(1)
    z, (layer,) = one_layer(1, 1, 1, 1.0, False)
    layer(z.requires_grad_()).backward(torch.ones(1, 1))  # loads what a first step loads
    z, (layer,) = one_layer(inputs, outputs, batch, BASE["active"], False)
    z.requires_grad_()
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # sets the peak back to the present
    before = resident("VmRSS:")
    layer(z).backward(torch.ones(()).expand(batch, outputs))
    return resident("VmHWM:") - before


def draw(results: dict[str, dict[str, Any]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    # Okabe and Ito's colours, which the colour-blind tell apart; markers differ too
    colours, markers = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000"], "os^Dv"
    figure, axes = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    for (quantity, result), colour, marker in zip(results.items(), colours, markers, strict=False):
        base = BASE.get(quantity, 1)
        label = f"{quantity} (1 = {base:g}{' layer' * (quantity == 'depth')}): exponent {result['exponent']:.2f}"
        milliseconds = [1e3 * second for second in result["seconds"]]
        x = [size / base for size in result["sizes"]]
        axes.loglog(x, milliseconds, color=colour, marker=marker, markersize=5, label=label)
    axes.loglog([1 / 4, 32], [2, 256], color="0.6", linestyle="--", label="slope 1")
    axes.set_xlabel("quantity, as a multiple of its base")
    axes.set_ylabel("one training step (ms, one thread)")
    axes.grid(color="0.9", which="major")
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    keep_freed_memory()  # as the command line does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*SIZES, "memory"]
    parser.add_argument("--only", nargs="+", choices=everything, default=everything, help="what to measure")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each size; the least time counts")
    parser.add_argument("--rest", action="store_true", help="inactive inputs spike last, all together")
    parser.add_argument("--plot", help="draw the times to this file")
    parser.add_argument("--out", help="write the results as JSON to this file")
    parser.add_argument("--memory", type=int, nargs=3, help=argparse.SUPPRESS)  # batch, inputs, outputs
    options = parser.parse_args()
    if options.memory:
        print(memory(*options.memory))
        return
    torch.set_num_threads(1)
    (overhead,) = seconds([training_step(*one_layer(1, 1, 1, 1.0, False))], options.rounds)
    print(f"a layer of one synapse, batch 1: {1e6 * overhead:.0f} µs")
    results = {}
    for quantity in (name for name in SIZES if name in options.only):
        result = results[quantity] = grow(quantity, options.rounds, options.rest)
        fitted = result["sizes"][len(result["sizes"]) // 2 :]
        print(f"\n{quantity}: exponent {result['exponent']:.2f}, fitted over {fitted[0]:g} … {fitted[-1]:g}")
        print(f"{'':>10}{'ms':>10}{'slope':>8}{'causal share':>14}" + f"{'sorting, ms':>14}" * bool(result["sorting"]))
        for i, size in enumerate(result["sizes"]):
            pair = slice(max(i - 1, 0), i + 1)
            slope = f"{exponent(result['sizes'][pair], result['seconds'][pair]):8.2f}" if i else f"{'':8}"
            line = f"{size:10g}{1e3 * result['seconds'][i]:10.2f}{slope}{result['shares'][i]:14.2f}"
            print(line + (f"{1e3 * result['sorting'][i]:14.2f}" if result["sorting"] else ""))
    if options.plot:
        draw(results, options.plot)
    found = []
    if "memory" in options.only and sys.platform == "linux":
        print("\nPeak memory of a step in MiB, and 4 bytes times …")
        print(f"{'batch':>8}{'in':>8}{'out':>8}{'peak':>10}{'b(in+out)+in·out':>18}{'ratio':>8}{'b·in·out':>12}")
        for batch, inputs, outputs in MEMORY:
            arguments = ["--memory", str(batch), str(inputs), str(outputs)]
            done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE)
            peak, bound = int(done.stdout), 4 * (batch * (inputs + outputs) + inputs * outputs)
            found.append({"batch": batch, "inputs": inputs, "outputs": outputs, "bytes": peak})
            cube = 4 * batch * inputs * outputs
            print(f"{batch:8}{inputs:8}{outputs:8}{peak / 2**20:10.1f}{bound / 2**20:18.1f}"
                  f"{peak / bound:8.2f}{cube / 2**20:12.0f}")  # fmt: skip
    if options.out:
        about = {"base": BASE, "rest": options.rest, "overhead": overhead, "torch": torch.__version__}
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"times": results, "memory": found, **about}, file, indent=2)


if __name__ == "__main__":
    main()
