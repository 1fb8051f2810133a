"""Seconds per MNIST epoch (784-800-10, batch 128): shiftlearn, a dense ReLU MLP, and the dense published form.

    python benchmarks/epoch.py [--threads 2] [--rounds 3] [--epochs 2] [--out epoch.json]

Contenders take turns, each in a process of its own, so that peak memory is its own; the fastest epoch counts. The
published form (sort, tile the weights per sample, gather, take the smallest candidate) runs a few batches, and the
epoch is extrapolated from them. ``mnist`` and ``mnist-quick`` are recipes: all grey levels, and 4. Ratios are to the
MLP of the same run. ``answers`` are seconds for the same images without learning (not of the published form).
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import shiftlearn as sl
from shiftlearn import recipes
from shiftlearn.cli.allocator import keep_freed_memory
from shiftlearn.models.build import build, of_recipe

BATCH, SAMPLES, NAIVE_BATCHES = 128, 60_000, 3
PUBLISHED = "published form"
Step = Callable[[Tensor, Tensor], Tensor]
Answer = Callable[[Tensor], Tensor]


def _adam(network: nn.Module, device: str, **settings: Any) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), fused=True, capturable=device == "cuda", **settings)


def shiftlearn_step(device: str = "cpu", name: str = "mnist") -> tuple[Step, Answer]:
    """A recipe as a user would write its loop. Steps return the loss before they learn."""
    recipe = recipes.read(name)
    network = build(recipe, torch.Generator().manual_seed(0)).to(device)
    encode = of_recipe(recipe)
    loss = sl.nn.FirstSpikeCrossEntropy(recipe.beta, recipe.label_smoothing)
    homeostasis = sl.nn.Homeostasis(recipe.homeostasis[0], recipe.homeostasis_every)
    optimizer = _adam(network, device, lr=recipe.lr, betas=(recipe.beta1, recipe.beta2))

    def answer(x: Tensor) -> Tensor:
        return network(encode(x))

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        value = loss(answer(x), y)
        value.backward()
        optimizer.step()
        homeostasis(network)
        sl.nn.project_delays(network)
        return value.detach()

    return step, answer


def mlp_step(device: str = "cpu") -> tuple[Step, Answer]:
    network = nn.Sequential(nn.Linear(784, 800), nn.ReLU(), nn.Linear(800, 10)).to(device)
    optimizer = _adam(network, device)

    def answer(x: Tensor) -> Tensor:
        return network(x.float() / 255)

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(answer(x), y)
        value.backward()
        optimizer.step()
        return value.detach()

    return step, answer


def published_step() -> tuple[Callable[[Tensor, Tensor], object], None]:
    """Forward and adjustments with (batch, in, out) tensors throughout, in the manner of the published layer."""
    shifts = [torch.rand(784, 800) * 8 / 784, torch.rand(800, 10) * 8 / 800]
    for shift in shifts:
        shift.requires_grad_()
    optimizer = torch.optim.Adam(shifts, fused=True)

    def forward(z: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        ordered, order = z.sort(1)
        tiled = shift.detach().expand(len(z), -1, -1).gather(1, order[:, :, None].expand(-1, -1, shift.shape[1]))
        total = tiled.cumsum(1) - 1
        candidates = (tiled * ordered[:, :, None]).cumsum(1) / total
        valid = (total > 0) & (candidates > ordered[:, :, None])
        z_out = candidates.masked_fill(~valid, 1e5).amin(1)
        return z_out, z[:, :, None] < z_out[:, None, :]

    def adjustment(z: Tensor, z_out: Tensor, cause: Tensor, delta: Tensor) -> Tensor:
        return (delta[:, None, :] * (z[:, :, None] - z_out[:, None, :]) * cause).sum(0)

    def step(x: Tensor, y: Tensor) -> None:
        z0 = torch.exp(1 - x.float() / 255)
        z1, cause1 = forward(z0, shifts[0])
        z2, cause2 = forward(z1, shifts[1])
        target = torch.softmax(torch.exp(torch.full_like(z2, 0.99).scatter(1, y[:, None], 0.01)), 1)
        delta2 = torch.softmax(z2, 1) - target
        delta1 = (delta2[:, None, :] * shifts[1].detach() * cause2).sum(2)
        shifts[0].grad = adjustment(z0, z1, cause1, delta1)
        shifts[1].grad = adjustment(z1, z2, cause2, delta2)
        optimizer.step()

    return step, None


RECIPES = "mnist", "mnist-quick"
CONTENDERS = {name: partial(shiftlearn_step, name=name) for name in RECIPES} | {
    "mlp": mlp_step,
    PUBLISHED: published_step,
}


@torch.inference_mode()
def measure_answers(answer: Answer, x: Tensor) -> float:
    began = time.perf_counter()
    for batch in x.split(BATCH):
        answer(batch)
    return time.perf_counter() - began


def measure(name: str, epochs: int) -> dict[str, float]:
    """Train one contender in this process."""
    images, labels = sl.data.load("mnist", "train")
    x, y = torch.from_numpy(images.reshape(SAMPLES, -1)), torch.from_numpy(labels.astype("int64"))
    step, answer = CONTENDERS[name]()
    seconds = []
    for epoch in range(1 if name == PUBLISHED else epochs):
        order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(epoch)).split(BATCH)
        chosen = order[: NAIVE_BATCHES + 1] if name == PUBLISHED else order
        if name == PUBLISHED:
            step(x[chosen[0]], y[chosen[0]])  # first touch of its memory is not its fault
            chosen = chosen[1:]
        began = time.perf_counter()
        for batch in chosen:
            step(x.index_select(0, batch), y[batch])  # as training does; x[batch] takes six times as long
        seconds.append((time.perf_counter() - began) * len(order) / len(chosen))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform != "darwin" else 2**30)
    result = {"seconds": min(seconds), "peak_gib": peak}
    if answer:
        result["answers"] = min(measure_answers(answer, x) for _ in range(epochs))
    return result


def main() -> None:
    keep_freed_memory()  # as the command line does
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--epochs", type=int, default=2, help="epochs in each turn; the fastest of all counts")
    parser.add_argument("--out", help="write the results as JSON to this file")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        torch.set_num_threads(options.threads)
        print(json.dumps(measure(options.contender, options.epochs)))
        return
    results: dict[str, dict[str, float]] = {}
    for turn in range(options.rounds):  # in turns, since other loads on the machine come and go
        for name in CONTENDERS if turn == 0 else (*RECIPES, "mlp"):
            arguments = ["--contender", name, "--threads", str(options.threads), "--epochs", str(options.epochs)]
            done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE)
            result = json.loads(done.stdout)
            best = results.setdefault(name, result)
            results[name] = {key: min(value, best[key]) for key, value in result.items()}
    yardstick = results["mlp"]
    print(f"{'':16}" + "".join(f"{head:>12}{'to the MLP':>12}" for head in ("s / epoch", "peak GiB", "s, answers")))
    for name, result in results.items():
        print(f"{name:16}" + "".join(f"{value:12.2f}{value / yardstick[key]:12.2f}" for key, value in result.items()))
    gain = results[PUBLISHED]["seconds"] / results["mnist"]["seconds"]
    print(f"The recipe mnist is {gain:.0f} times faster than the published form ({options.threads} threads)")
    if options.out:
        machine = platform.processor() or platform.machine()
        about = {"threads": options.threads, "torch": torch.__version__, "machine": machine}
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({"results": results, **about}, file, indent=2)


if __name__ == "__main__":
    main()
