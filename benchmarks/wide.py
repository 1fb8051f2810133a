"""One training step of a very wide layer: peak memory after each stage, and time per synaptic operation.

    python benchmarks/wide.py [--inputs 100000] [--outputs 10000] [--active 0.01] [--batch 128] [--out wide.json]

The weights take 4 GB at these sizes and their adjustments as much: nothing else may be of that order. First the inputs
are explicit events that list the active inputs alone, then dense z (inf where silent), which are sorted within the step
and hear the error of the layer. A layer of 784 inputs, all of them active, and 800 neurons is measured beside it.
A synaptic operation is one listed event at one neuron; not every one is walked, as a neuron that fires stops listening.
Weights are U(0, 8 / active inputs). Peaks are of resident memory, libraries included, so this needs Linux.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

import shiftlearn as sl
from shiftlearn import ops
from shiftlearn.cli.allocator import keep_freed_memory

GIB = 2**30
SPARE = 1.5  # GiB for libraries and what is not of the weights' size
R = TypeVar("R")


def from_proc(path: str, field: str) -> float:
    """A size in GiB, of those that Linux gives in kB."""
    with open(path, encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 / GIB for line in file if line.startswith(field))


class Stages:
    """Runs stages one by one and prints what each cost."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float | str]] = []
        print(f"{'stage':44}{'processor s':>12}{'resident GiB':>14}{'peak GiB':>10}")

    def run(self, name: str, stage: Callable[[], R]) -> R:
        began = time.process_time()
        result = stage()
        row = {"seconds": time.process_time() - began, "resident_gib": from_proc("/proc/self/status", "VmRSS:"),
               "peak_gib": from_proc("/proc/self/status", "VmHWM:")}  # fmt: skip
        print(f"{name:44}{row['seconds']:12.2f}{row['resident_gib']:14.2f}{row['peak_gib']:10.2f}", flush=True)
        self.rows.append({"stage": name, **row})
        return result


def active_events(batch: int, inputs: int, active: int) -> sl.SpikeEvents:
    """``active`` inputs of each row, chosen at random, with t uniform in 0 … τ."""
    generator = torch.Generator().manual_seed(0)
    z = torch.rand(batch, active, generator=generator).exp_().sort(1).values
    channel = torch.stack([torch.randperm(inputs, generator=generator)[:active] for _ in range(batch)])
    return sl.SpikeEvents(z.flatten(), channel.flatten(), torch.arange(batch + 1) * active, inputs)


def dense(events: sl.SpikeEvents) -> Tensor:
    row = torch.arange(events.batch).repeat_interleave(events.offsets.diff())
    z = torch.full((events.batch, events.num_channels), math.inf)
    z[row, events.channel.long()] = events.z
    return z


def nanoseconds(layer: sl.nn.ShiftLinear, events: sl.SpikeEvents, rounds: int) -> dict[str, float]:
    """Processor time per synaptic operation of the three kernels, the least of the rounds."""
    shift = layer.shift.detach()
    u, count, drive = ops.first_spike(events, shift)
    given = torch.ones_like(u), u, drive, layer.delay.detach(), layer.min_drive
    a, c, f, _ = torch.ops.shiftlearn.coefficients(layer.rule, *given)
    kernels: dict[str, Callable[[], object]] = {
        "first_spike": lambda: ops.first_spike(events, shift),
        "plasticity": lambda: ops.plasticity(events, count, a, c),
        "feedback": lambda: ops.feedback(events, count, f, shift),
    }
    result = {"causal share": (count.sum() / (len(events.z) * layer.out_features)).item()}
    for name, kernel in kernels.items():
        best = math.inf
        for _ in range(rounds):
            began = time.process_time()
            kernel()
            best = min(best, time.process_time() - began)
        result[name] = best * 1e9 / (len(events.z) * layer.out_features)
    return result


def main() -> None:
    keep_freed_memory()  # as the command line does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--outputs", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--active", type=float, default=0.01, help="share of the inputs that spike")
    parser.add_argument("--rounds", type=int, default=2, help="timings of each kernel; the least counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="write the results as JSON to this file")
    options = parser.parse_args()
    inputs, outputs, batch = options.inputs, options.outputs, options.batch
    if sys.platform != "linux":
        parser.error("memory is read from /proc, so this needs Linux")
    weights = 4 * inputs * outputs / GIB
    needed, available = 2 * weights + SPARE, from_proc("/proc/meminfo", "MemAvailable:")
    if needed > available:
        parser.error(f"{inputs} × {outputs} needs some {needed:.1f} GiB, but {available:.1f} GiB are available: "
                     "choose fewer --inputs or --outputs")  # fmt: skip
    torch.set_num_threads(options.threads)
    active = max(round(options.active * inputs), 1)
    print(f"{inputs} × {outputs}, {active} active inputs, batch {batch}: weights {weights:.2f} GiB, "
          f"batch × in × out {weights * batch:.0f} GiB")  # fmt: skip

    generator = torch.Generator().manual_seed(1)
    scale, stages = 8 * inputs / active, Stages()
    stages.run("libraries", lambda: None)
    layer = stages.run(
        "weights", lambda: sl.nn.ShiftLinear(inputs, outputs, init_scale=scale, min_drive=1e-3, generator=generator)
    )
    events = stages.run("events", lambda: active_events(batch, inputs, active))
    z_out = stages.run("events: forward", lambda: layer(events))
    silent = z_out.detach().isinf().float().mean().item()
    stages.run("events: backward (plasticity)", lambda: z_out.backward(torch.ones_like(z_out)))
    layer.zero_grad()
    z = stages.run("dense z", lambda: dense(events).requires_grad_())
    z_out = stages.run("dense z: sort, forward", lambda: layer(z))
    stages.run("dense z: backward (plasticity, feedback)", lambda: z_out.backward(torch.ones_like(z_out)))
    layer.zero_grad()
    with torch.no_grad():
        stages.run("homeostasis", lambda: sl.nn.Homeostasis(1.2)(layer))

    narrow = sl.nn.ShiftLinear(784, 800, min_drive=1e-3, generator=generator)
    table = {
        f"{inputs} × {outputs}, {active} active": nanoseconds(layer, events, options.rounds),
        "784 × 800, 784 active": nanoseconds(narrow, active_events(batch, 784, 784), 20 * options.rounds),
    }
    print(f"\n{'ns per event and neuron':36}" + "".join(f"{name:>14}" for name in next(iter(table.values()))))
    for name, row in table.items():
        print(f"{name:36}" + "".join(f"{x:14.3f}" for x in row.values()))
    print(f"\n{silent:.1%} of the neurons stayed silent; peak {from_proc('/proc/self/status', 'VmHWM:'):.2f} GiB")
    if options.out:
        about = {"inputs": inputs, "outputs": outputs, "batch": batch, "active": active, "threads": options.threads}
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"stages": stages.rows, "nanoseconds": table, **about}, file, indent=2)


if __name__ == "__main__":
    main()
