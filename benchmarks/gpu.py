"""A training step on a GPU beside a dense ReLU MLP's: MNIST, 784-800-10, at batches of 128 and 4096.

    SHIFTLEARN_TRITON=1 python benchmarks/gpu.py [--batch 128 4096] [--out gpu.json]

Both take the steps of ``epoch.py``, images on the device. Each is timed as it is called, and replayed as a CUDA graph,
which has no cost of launching; ratios are to the MLP's in the same mode. Two things are looked at on the way: that a
step never waits for the device (torch raises where it would), and that after five replays of the graph the loss is what
it is after five calls, bit for bit. Then the kernels of one step of shiftlearn, by their time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import torch
from epoch import Answer, Step, mlp_step, shiftlearn_step
from torch import Tensor

import shiftlearn as sl

WARM_UP, STEPS = 10, 200


def captured(step: Step, x: Tensor, y: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """The graph of a step that has run before, so that its kernels are compiled; and the loss that a replay leaves."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(x, y)
    return graph, loss


def milliseconds(run: Callable[[], object]) -> float:
    """The median of ten turns."""
    turns = []
    for _ in range(10):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(STEPS // 10):
            run()
        end.record()
        end.synchronize()
        turns.append(begin.elapsed_time(end) / (STEPS // 10))
    return sorted(turns)[5]


def warmed(make: Callable[[str], tuple[Step, Answer]], x: Tensor, y: Tensor) -> Step:
    """A step that has run on a side stream, as capture asks for, and does not wait for the device."""
    (step, _), stream = make("cuda"), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step(x, y)
        torch.cuda.set_sync_debug_mode("error")
        step(x, y)
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.current_stream().wait_stream(stream)
    return step


def times(make: Callable[[str], tuple[Step, Answer]], x: Tensor, y: Tensor) -> dict[str, float]:
    step = warmed(make, x, y)
    called = milliseconds(lambda: step(x, y))
    return {"called": called, "graph": milliseconds(captured(step, x, y)[0].replay)}


def kernels(x: Tensor, y: Tensor) -> dict[str, float]:
    """Microseconds of each kernel in a step of shiftlearn."""
    step = warmed(shiftlearn_step, x, y)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(10):
            step(x, y)
        torch.cuda.synchronize()
    return {entry.key: entry.device_time_total / 10 for entry in profile.key_averages() if entry.device_time_total}


def check_graph(x: Tensor, y: Tensor) -> None:
    """Exits unless the loss after five replays is the loss after five calls."""
    losses = []
    for replayed in (False, True):
        step = warmed(shiftlearn_step, x, y)
        if replayed:
            graph, loss = captured(step, x, y)
            for _ in range(5):
                graph.replay()
        else:
            for _ in range(5):
                loss = step(x, y)
        losses.append(loss.item())
    if losses[0] != losses[1]:
        raise SystemExit(f"five captured steps end with a loss of {losses[1]}, five that were called with {losses[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 4096])
    parser.add_argument("--out", help="write the results as JSON to this file")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here")
    images, labels = sl.data.load("mnist", "train")
    about = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
    results = []
    print(about["card"])
    print(f"{'batch':>6}{'':12}{'ms':>10}{'MLP ms':>10}{'to the MLP':>12}")
    for batch in options.batch:
        x = torch.from_numpy(images[:batch].reshape(batch, -1)).cuda()
        y = torch.from_numpy(labels[:batch].astype("int64")).cuda()
        check_graph(x, y)
        own, dense = times(shiftlearn_step, x, y), times(mlp_step, x, y)
        for mode in own:
            print(f"{batch:6}{mode:>12}{own[mode]:10.3f}{dense[mode]:10.3f}{own[mode] / dense[mode]:12.2f}")
        results.append({"batch": batch, "shiftlearn": own, "mlp": dense, "kernels": kernels(x, y)})
        for name, taken in sorted(results[-1]["kernels"].items(), key=lambda entry: -entry[1])[:12]:
            print(f"{taken:14.1f} μs  {name[:80]}")
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"results": results, **about}, file, indent=2)


if __name__ == "__main__":
    main()
