"""Seconds to 97 % of MNIST (784-800-10): shiftlearn beside other libraries for spikes, and a dense ReLU MLP.

    python benchmarks/peers.py [--threads 2] [--epochs 5] [--minutes 20] [--contenders MLP shiftlearn]
                               [--out peers.json] [--plot peers.png]

Each library trains as its own documentation or examples do (named at each function), in batches of 128, and those that
step through time with 25 steps; shiftlearn as the recipe ``mnist`` does, with rates that fall over its 20 epochs.
50,000 digits are trained on; the other 10,000 of the training set are answered four times an epoch, which is not timed.
A contender ends at 97 % of them, after --epochs, or after --minutes of training: then 500 of them are answered. The
test set is not read. Each has a process of its own, so that peak memory is its own. Libraries that are not installed,
or fail, are left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot

BATCH, TRAINING, STEPS, GOAL = 128, 50_000, 25, 0.97
LOOKS = 4  # at the held-out digits in an epoch
SHAPE = 784, 800, 10

Loss = Callable[[Tensor, Tensor], Tensor]  # of (batch, 784) uint8 and their classes
Answer = Callable[[Tensor], Tensor]  # classes of (batch, 784) uint8
Contender = tuple[torch.optim.Optimizer, Loss, Answer, Callable[[], None]]


def nothing() -> None:
    """What most do after an optimizer's step."""


def shiftlearn() -> Contender:
    import shiftlearn as sl
    from shiftlearn.coding import encoder
    from shiftlearn.models.build import build

    recipe = sl.recipes.read("mnist")
    network = build(recipe, torch.Generator().manual_seed(0))
    encode = encoder(recipe.coding, recipe.coding_exponent)
    criterion = sl.nn.FirstSpikeCrossEntropy(recipe.beta, recipe.label_smoothing)
    homeostasis = sl.nn.Homeostasis(recipe.homeostasis[0])
    optimizer = torch.optim.Adam(network.parameters(), recipe.lr, (recipe.beta1, recipe.beta2), fused=True)
    steps = recipe.epochs * -(-TRAINING // BATCH)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, (recipe.lr_final / recipe.lr) ** (1 / steps))

    def after() -> None:
        schedule.step()
        homeostasis(network)
        sl.nn.project_delays(network)

    return optimizer, lambda x, y: criterion(network(encode(x)), y), lambda x: network(encode(x)).argmin(1), after


def mlp() -> Contender:
    network = nn.Sequential(nn.Linear(*SHAPE[:2]), nn.ReLU(), nn.Linear(*SHAPE[1:]))
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    return (
        optimizer,
        lambda x, y: cross_entropy(network(x.float() / 255), y),
        lambda x: network(x.float() / 255).argmax(1),
        nothing,
    )


def snntorch() -> Contender:
    """Its tutorial 5: constant current, computed anew in each step (once would be faster), loss of all potentials."""
    import snntorch as snn

    hidden, output = nn.Linear(*SHAPE[:2]), nn.Linear(*SHAPE[1:])
    first, last = snn.Leaky(beta=0.95), snn.Leaky(beta=0.95)
    optimizer = torch.optim.Adam([*hidden.parameters(), *output.parameters()], lr=5e-4, betas=(0.9, 0.999))

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.float() / 255
        v1, v2 = first.init_leaky(), last.init_leaky()
        spikes, potentials = [], []
        for _ in range(STEPS):
            s1, v1 = first(hidden(x), v1)
            s2, v2 = last(output(s1), v2)
            spikes.append(s2)
            potentials.append(v2)
        return torch.stack(spikes), torch.stack(potentials)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([cross_entropy(v, y) for v in run(x)[1]]).sum()

    return optimizer, loss, lambda x: run(x)[0].sum(0).argmax(1), nothing


def spikingjelly() -> Contender:
    """Its activation_based/examples/lif_fc_mnist.py with a hidden layer: Poisson spikes, loss of the firing rates."""
    from spikingjelly.activation_based import encoding, functional, layer, neuron, surrogate

    network = nn.Sequential(
        *(layer.Linear(SHAPE[0], SHAPE[1], bias=False), neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan())),
        *(layer.Linear(SHAPE[1], SHAPE[2], bias=False), neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan())),
    )
    functional.set_step_mode(network, "m")
    encode = encoding.PoissonEncoder()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def rates(x: Tensor) -> Tensor:
        x = x.float() / 255
        result: Tensor = network(torch.stack([encode(x) for _ in range(STEPS)])).mean(0)
        functional.reset_net(network)
        return result

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return mse_loss(rates(x), one_hot(y, SHAPE[2]).float())

    return optimizer, loss, lambda x: rates(x).argmax(1), nothing


def norse() -> Contender:
    """Its norse/task/mnist.py less the convolutions: encoded currents, loss of a reader's highest potential."""
    from norse.torch import ConstantCurrentLIFEncoder, LIFCell, LIFParameters, LILinearCell

    encode = ConstantCurrentLIFEncoder(STEPS)
    hidden, reader = nn.Linear(*SHAPE[:2]), LILinearCell(*SHAPE[1:])
    neurons = LIFCell(LIFParameters(alpha=torch.tensor(100.0)))
    optimizer = torch.optim.Adam([*hidden.parameters(), *reader.parameters()], lr=2e-3)

    def scores(x: Tensor) -> Tensor:
        state = reading = None
        potentials = []
        for spikes in encode((x.float() / 255 - 0.1307) / 0.3081):
            fired, state = neurons(hidden(spikes), state)
            potential, reading = reader(fired, reading)
            potentials.append(potential)
        return torch.stack(potentials).amax(0)

    return optimizer, lambda x, y: cross_entropy(scores(x), y), lambda x: scores(x).argmax(1), nothing


def exact_snn() -> Contender:
    """First spikes too: its README's network and loss, with the rate of its train_simple."""
    from exact_snn import ExactTTFSLinear, latency_cross_entropy, latency_encode

    horizon = 40.0
    network = nn.Sequential(*(ExactTTFSLinear(*shape, t_max=horizon, bias_val=1.5) for shape in (SHAPE[:2], SHAPE[1:])))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)

    def times(x: Tensor) -> Tensor:
        """(10, batch)."""
        result: Tensor = network(latency_encode(x.T.float() / 255, t_max=horizon))
        return result

    def answer(x: Tensor) -> Tensor:
        return torch.cat([times(part).argmin(0) for part in x.split(BATCH)])  # more would take gigabytes

    return optimizer, lambda x, y: latency_cross_entropy(times(x), y, t_max=horizon), answer, nothing


CONTENDERS = {
    "MLP": mlp,
    "shiftlearn": shiftlearn,
    "snntorch": snntorch,
    "spikingjelly": spikingjelly,
    "norse": norse,
    "exact-snn-nn": exact_snn,
}


@torch.no_grad()
def look(answer: Answer, x: Tensor, y: Tensor) -> float:
    """Share of right answers."""
    return sum(int((answer(a) == b).sum()) for a, b in zip(x.split(500), y.split(500), strict=True)) / len(x)


def measure(name: str, epochs: int, minutes: float) -> dict[str, Any]:
    """Train one contender in this process."""
    from shiftlearn import data

    images, labels = data.load("mnist", "train")
    x, y = torch.from_numpy(images.reshape(len(images), -1)), torch.from_numpy(labels.astype("int64"))
    others = slice(TRAINING, None)
    torch.manual_seed(0)
    optimizer, loss, answer, after = CONTENDERS[name]()
    curve: list[tuple[float, float]] = []  # seconds of training, accuracy
    seconds, done = 0.0, 0
    for epoch in range(epochs):
        order = torch.randperm(TRAINING, generator=torch.Generator().manual_seed(epoch)).split(BATCH)
        looks = {round(k * len(order) / LOOKS) for k in range(1, LOOKS + 1)}
        for number, batch in enumerate(order, start=1):
            began = time.perf_counter()
            optimizer.zero_grad()
            loss(x.index_select(0, batch), y[batch]).backward()
            optimizer.step()
            after()
            seconds += time.perf_counter() - began
            done += len(batch)
            late = seconds > 60 * minutes
            if late:
                others = slice(TRAINING, TRAINING + 500)
            if late or number in looks:
                curve.append((seconds, look(answer, x[others], y[others])))
            if late or (curve and curve[-1][1] >= GOAL):
                break
        if late or curve[-1][1] >= GOAL:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform != "darwin" else 2**30)
    return {"epochs": done / TRAINING, "seconds": seconds, "curve": curve, "peak_gib": peak}


def draw(results: dict[str, dict[str, Any]], path: str) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, result in results.items():
        seconds, accuracy = zip(*result["curve"], strict=True)
        axes.semilogx(seconds, [100 * share for share in accuracy], "o-", markersize=3, label=name)
    axes.axhline(100 * GOAL, color="0.6", linewidth=1, linestyle="--")
    axes.text(1.01, 100 * GOAL, f"{GOAL:.0%}", color="0.4", va="center", transform=axes.get_yaxis_transform())
    axes.set(xlabel="seconds of training", ylabel="held-out digits answered right / %", ylim=(85, 100))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def version(name: str) -> str | None:
    """Of the library, None if it is not installed."""
    try:
        return importlib.metadata.version("torch" if name == "MLP" else name)
    except importlib.metadata.PackageNotFoundError:
        return "source" if name == "shiftlearn" else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--epochs", type=int, default=5, help="at most")
    parser.add_argument("--minutes", type=float, default=20, help="of training, at most")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=[*CONTENDERS], metavar="NAME")
    parser.add_argument("--out", help="write the results as JSON to this file")
    parser.add_argument("--plot", help="draw accuracy against seconds into this file")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        torch.set_num_threads(options.threads)
        print(json.dumps(measure(options.contender, options.epochs, options.minutes)))
        return
    print(f"{'':14}{'s / epoch':>12}{'to the MLP':>12}{'s to 97 %':>12}{'accuracy':>12}{'epochs':>9}{'peak GiB':>10}")
    results: dict[str, dict[str, Any]] = {}
    for name in (name for name in CONTENDERS if name in options.contenders):  # the MLP first, for ratios to it
        if not (found := version(name)):
            print(f"{name:14}left out, not installed: pip install {name}", flush=True)
            continue
        limits = ["--epochs", str(options.epochs), "--minutes", str(options.minutes)]
        arguments = ["--contender", name, "--threads", str(options.threads), *limits]
        done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE)
        if done.returncode:  # such as for want of what the library needs in its turn; the others still count
            print(f"{name:14}left out, failed: see the message above", flush=True)
            continue
        result = results[name] = json.loads(done.stdout.splitlines()[-1]) | {"version": found}
        each = result["seconds"] / result["epochs"]
        ratio = f"{each * results['MLP']['epochs'] / results['MLP']['seconds']:.2f}" if "MLP" in results else "–"
        seconds, accuracy = result["curve"][-1]
        reached = f"{seconds:.1f}" if accuracy >= GOAL else "–"
        print(
            f"{name:14}{each:12.2f}{ratio:>12}{reached:>12}{accuracy:12.2%}{result['epochs']:9.2f}"
            f"{result['peak_gib']:10.2f}",
            flush=True,
        )
    if options.out:
        machine = platform.processor() or platform.machine()
        about = {"threads": options.threads, "torch": torch.__version__, "machine": machine}
        Path(options.out).write_text(json.dumps({"results": results, **about}, indent=2) + "\n")
    if options.plot:
        draw(results, options.plot)


if __name__ == "__main__":
    main()
