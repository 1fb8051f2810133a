"""The kernels at MNIST's shapes (784-800-10, batch 128) against what this machine can do on one thread.

    python benchmarks/roofline.py [--rounds 30] [--out roofline.json]

Work is counted from the causal sets that occur, per event and neuron: the walk multiplies once and adds twice,
plasticity likewise, feedback multiplies and adds once, and what inputs at rest cost is counted too. "MB" is what loads
and stores of weights and adjustments touch, in whatever cache they lie, and of a row's terms where plasticity reads
those for every event; "least MB" is what a kernel must read or write at least once. Peaks: a product of two float32
matrices; adding in place to an array of 256 KiB, which fits the second-level cache (without the time of the call
itself), and to one that fits none. The weights are those at the start of the recipe ``mnist``.

"4 levels": the same layer with the inputs of ``mnist-quick``, group by group: an addition for each pair, and three
operations for each group and neuron. "few": the output layer, whose hidden spikes nobody sorts. Forward, a spike before
the row's last output fires costs three operations for each output; backward, every input six.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import shiftlearn as sl
from shiftlearn import ops, recipes
from shiftlearn.cli.allocator import keep_freed_memory
from shiftlearn.coding import coarse, encoder, latency
from shiftlearn.models.build import build
from shiftlearn.ops import _kernels, cpu

BATCH = 128
LANES = {"baseline": 4, "avx2": 8, "avx512": 16}[_kernels.instruction_set()]  # float32 numbers of a vector
# Columns of a block of each kernel.
WALK, GROUP_WALK, FEEDBACK = (LANES * vectors for vectors in ((5, 5, 6) if LANES == 16 else (3, 4, 6)))
SORT_BYTES = 3 * 4 + 2 * 16 - 8 + 2 * 8 + 8  # keys thrice, two passes, repaired, read again, events
SLOT_BYTES = 2 * 4 + 4 + 2 * 4 + 4 + 8  # keys twice, slots written, and read twice, list written, read with its times


def seconds(call: Callable[[], object], rounds: int, repeats: int = 1) -> float:
    """Processor time of a call, the least over the rounds."""
    best = math.inf
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(repeats):
            call()
        best = min(best, (time.process_time() - began) / repeats)
    return best


def peaks(rounds: int) -> dict[str, float]:
    """Operations per second, and bytes per second that loads and stores move."""
    matrix, one, near, far = torch.rand(1024, 1024), torch.rand(1), torch.rand(2**16), torch.rand(2**26)
    calling = seconds(lambda: one.add_(1), rounds, 200)
    return {
        "operations": 2 * 1024**3 / seconds(lambda: matrix @ matrix, rounds),
        "cache": 2 * 4 * 2**16 / (seconds(lambda: near.add_(1), rounds, 200) - calling),
        "memory": 2 * 4 * 2**26 / seconds(lambda: far.add_(1), 5),
    }


def walked(events: sl.SpikeEvents, count: Tensor, columns: int) -> int:
    """Pairs of event and neuron that are computed: a block goes on until its last neuron has fired."""
    listed = events.offsets.diff()[:, None]
    total = 0
    for block in count.split(columns, 1):
        total += int(block.amax(1, keepdim=True).clamp(max=listed).sum()) * block.shape[1]
    return total


def paired(events: sl.SpikeEvents, count: Tensor) -> int:
    """Events by pairs of channels (2i and 2i + 1 of a row together), up to the row's last cause."""
    ends = events.offsets.tolist()
    most = count.amax(1).tolist()
    return sum(
        len(set((events.channel[begin : min(begin + causes, end)] // 2).tolist()))
        for begin, end, causes in zip(ends, ends[1:], most, strict=False)
    )


def layer_work(events: sl.SpikeEvents, layer: sl.nn.ShiftLinear, rounds: int) -> dict[str, tuple[float, ...]]:
    """Of each kernel: operations, bytes, compulsory bytes, seconds."""
    shift = layer.shift.detach()
    inputs, outputs = shift.shape
    u, count, drive = ops.first_spike(events, shift)
    given = torch.rand_like(u), u, drive, layer.delay.detach(), layer.min_drive
    a, c, f, _ = torch.ops.shiftlearn.coefficients(layer.rule, *given)
    spikes, results, weights = 8 * int(events.offsets[-1]), 4 * BATCH * outputs, 4 * inputs * outputs
    rest = inputs * outputs * bool(events.rest.isfinite().any())
    walk, send = walked(events, count, WALK), walked(events, count, FEEDBACK)
    pairs = paired(events, count) * outputs
    unlisted = inputs - events.offsets.diff()[:, None]
    heard = send + int((unlisted * (count > events.offsets.diff()[:, None])).sum())
    return {
        "first_spike": (3 * walk + rest, 4 * walk + 4 * rest, weights + spikes + 3 * results,
                        seconds(lambda: ops.first_spike(events, shift), rounds)),
        "plasticity": (6 * pairs + rest, 12 * pairs + weights, weights + spikes + 3 * results,
                       seconds(lambda: ops.plasticity(events, count, a, c), rounds)),
        "feedback": (2 * heard, 4 * heard, weights + spikes + 2 * results + 4 * BATCH * inputs,
                     seconds(lambda: ops.feedback(events, count, f, shift), rounds)),
    }  # fmt: skip


def grouped_work(levels: Tensor, layer: sl.nn.ShiftLinear, rounds: int) -> dict[str, tuple[float, ...]]:
    """The same with grey levels in four steps, and of the kernels that serve inputs of any kind."""
    recipe = recipes.read("mnist-quick")
    of_level = latency(coarse(torch.arange(256, dtype=torch.uint8), recipe.coding_levels), recipe.coding_exponent)
    events, shift, delay = ops.sort_levels(levels, of_level), layer.shift.detach(), layer.delay.detach()
    u, count, drive = ops.first_spike(events, shift)
    delta, weights, results = torch.rand_like(u), 4 * shift.numel(), 4 * u.numel()
    given = delta, u, drive, delay, layer.min_drive
    a, c, *_ = torch.ops.shiftlearn.coefficients(layer.rule, *given)
    begins = events.offsets[:-1][events.offsets.diff() > 0]
    new = torch.cat([events.z.new_ones(1), events.z.diff()]) != 0
    new[begins] = True
    groups, spikes = int(new.sum()) * layer.out_features, int(events.offsets[-1])
    walk, adjust = walked(events, count, GROUP_WALK), walked(events, count, layer.out_features)
    return {
        "first_spike": (walk + 3 * groups + shift.numel(), 4 * walk + weights, weights + 8 * spikes + 3 * results,
                        seconds(lambda: ops.first_spike(events, shift), rounds)),
        "plasticity": (adjust + 3 * groups, 4 * adjust + 8 * groups + weights, weights + 8 * spikes + 3 * results,
                       seconds(lambda: ops.plasticity(events, count, a, c), rounds)),
        "coefficients": (8 * u.numel(), 6 * results, 6 * results,
                         seconds(lambda: torch.ops.shiftlearn.coefficients(layer.rule, *given), rounds)),
        "sort_levels": (0, 2 * levels.numel() + 24 * spikes, levels.numel() + 8 * spikes,
                        seconds(lambda: ops.sort_levels(levels, of_level), rounds)),
    }  # fmt: skip


def few_work(z: Tensor, layer: sl.nn.ShiftLinear, rounds: int) -> dict[str, tuple[float, ...]]:
    """The same of a layer of few outputs, in both directions."""
    shift, delay = layer.shift.detach(), layer.delay.detach()
    inputs, outputs = shift.shape
    forward = partial(cpu.forward, z, None, shift, delay, keep=True)
    z_out, trace = forward()
    settings = layer.rule, layer.min_drive, True, True
    backward = partial(cpu.backward, torch.rand_like(z_out), trace, z, None, shift, delay, shift, *settings)
    waited = int((z <= (z_out / delay).amax(1, keepdim=True)).sum()) * outputs
    values, neurons, pairs = z.numel(), z_out.numel(), z.numel() * outputs
    return {
        "few, forward": (3 * waited, 4 * waited + SLOT_BYTES * values, 4 * (values + inputs * outputs + 4 * neurons),
                         seconds(forward, rounds)),
        "few, backward": (6 * pairs, pairs + 24 * values, 4 * (2 * values + 2 * inputs * outputs + 4 * neurons),
                          seconds(backward, rounds)),
    }  # fmt: skip


def main() -> None:
    keep_freed_memory()  # as the command line does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="the least time counts")
    parser.add_argument("--out", help="write the results as JSON to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    peak = peaks(options.rounds)
    print(f"{peak['operations'] / 1e9:.0f} GFLOP/s; {peak['cache'] / 1e9:.0f} GB/s in cache, "
          f"{peak['memory'] / 1e9:.1f} GB/s in memory\n")  # fmt: skip

    recipe = recipes.read("mnist")
    network = build(recipe, torch.Generator().manual_seed(0))
    images, _ = sl.data.load("mnist", "train")
    first = encoder(recipe.coding, recipe.coding_exponent)(torch.from_numpy(images[:BATCH].reshape(BATCH, -1)))
    with torch.no_grad():
        hidden = network[0](first)
    work = {f"{name}, 784 × 800": row for name, row in layer_work(first, network[0], options.rounds).items()}
    quick = grouped_work(torch.from_numpy(images[:BATCH].reshape(BATCH, -1)), network[0], options.rounds)
    work |= {f"{name}, 4 levels": row for name, row in quick.items()}
    work |= {f"{name}, 800 × 10": row for name, row in few_work(hidden, network[1], options.rounds).items()}
    work["sort_spikes, 128 × 800"] = (0, SORT_BYTES * hidden.numel(), 12 * hidden.numel(),
                                      seconds(lambda: ops.sort_spikes(hidden), options.rounds))  # fmt: skip
    print(f"{len(first.z) / BATCH:.0f} events per digit")
    print(f"{'':26}{'Mop':>8}{'MB':>8}{'least MB':>10}{'ms':>8}{'GFLOP/s':>9}{'of peak':>9}{'GB/s':>7}{'of cache':>10}"
          f"{'of memory, least':>18}")  # fmt: skip
    for name, (operations, touched, least, taken) in work.items():
        print(f"{name:26}{operations / 1e6:8.1f}{touched / 1e6:8.1f}{least / 1e6:10.2f}{1e3 * taken:8.3f}"
              f"{operations / taken / 1e9:9.1f}{operations / taken / peak['operations']:9.0%}"
              f"{touched / taken / 1e9:7.0f}{touched / taken / peak['cache']:10.0%}"
              f"{least / taken / peak['memory']:18.0%}")  # fmt: skip
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"peaks": peak, "work": work, "torch": torch.__version__}, file, indent=2)


if __name__ == "__main__":
    main()
