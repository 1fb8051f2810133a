"""Several processes learn what one would, one of them writes, and no error leaves the others waiting."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shiftlearn import recipes
from shiftlearn.errors import InputError, PeerError
from shiftlearn.models.build import build
from shiftlearn.nn.shard import Shard
from shiftlearn.training import callbacks, distributed, run
from shiftlearn.training.distributed import ALONE, World
from shiftlearn.training.step import Learner, random_state

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without torch.distributed"),
]
TIMEOUT = 300  # seconds until processes that wait for each other are ended
BATCHES = (16, 16, 13, 1)  # the last ones do not divide, and leave one process without samples
CASES = {
    "error": {},
    "published": {"loss": "published"},
    "reward": {"modulator": "reward"},
    "random": {"feedback": "random", "lr_scale": [0.5, 1.0]},
    "aligning": {"feedback": "aligning", "weight_decay": 3.0, "averaging": 0.5},
    "noise": {"jitter": 0.1, "deletion": [0.0, 0.2], "modulator": "reward", "baseline": "confidence"},
    "direct": {"feedback": "direct", "modulator": "reward", "readout": "t"},
    "none": {"feedback": "none", "homeostasis": 0.0},  # parameters that no error reaches
    "convolution": {"layers": [16, 3], "maps": [4], "kernel": 3, "pool": 2},
}


def learned(settings, world):
    """Weights and losses after some steps in float64."""
    recipe = recipes.override(
        recipes.read("xor"), {"layers": [16, 7, 3], "coding": "latency", "homeostasis": 9.0} | settings
    )
    # What the others begin with does not count.
    network = build(recipe, random_state(world.rank, 0)).double()
    learner = Learner(network, recipe)
    learner.join(world)
    learner.begin(random_state(0, 1))
    generator = random_state(0, 2)
    z = 1 + torch.rand(sum(BATCHES), 16, dtype=torch.float64, generator=generator)
    y = torch.randint(3, (len(z),), generator=generator)
    losses = []
    for number, batch in enumerate(torch.arange(len(z)).split(BATCHES)):
        learner.set_rates(number / len(BATCHES))
        shard = world.shard(len(batch))
        own = batch[shard.rows]
        losses.append(world.sum(learner.step(z[own], y[own], shard=shard)[0]))
    return {**learner.state.state_dict(), "losses": torch.stack(losses)}


class Interrupted(callbacks.Silent):
    def epoch(self, record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt


def iris(**settings):
    return recipes.override(recipes.read("iris"), {"epochs": 3, "validation": 21, "batch": 33} | settings)


def failure(work, *arguments):
    try:
        work(*arguments)
    except (InputError, PeerError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def fail_in(world, rank):
    def work():
        if world.rank == rank:
            raise InputError("no such thing")

    return work


def peer(rank, ports, folder):
    """What each of two processes does; what it finds goes into a file."""
    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ports[0]}
    os.environ.update({name: str(value) for name, value in names.items()})
    with distributed.join("cpu") as (world, device):
        found = {"world": (world, device), "cases": {name: learned(case, world) for name, case in CASES.items()}}
        found["agreed"] = failure(world.agreed, fail_in(world, 1))
        found["first"] = failure(world.first, fail_in(world, 0))
        silent, own = callbacks.Silent(), folder / f"of-{rank}"  # only that of the first is to be used
        found["batch"] = failure(lambda: run.start(iris(batch=1), own / "batch", 0, silent, device, None, world))
        found["whole"] = run.start(iris(), own / "whole", 0, silent, device, None, world)
        try:
            run.start(iris(), own / "cut", 0, Interrupted(), device, None, world)
        except KeyboardInterrupt:
            found["resumed"] = run.resume(own / "cut", silent, device, None, world)
        found["again"] = run.resume(own / "cut", silent, device, None, world)
    os.environ["MASTER_PORT"] = str(ports[1])
    with pytest.raises(InputError if rank == 0 else PeerError, match="'cpu' or 'cuda'"), distributed.join("mps"):
        pass
    torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def peers(made_once):
    """What two processes found, and the folder that they worked in."""
    folder = made_once("peers", work_in)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)], folder


def work_in(folder):
    """Run both peers."""
    with socket.socket() as one, socket.socket() as other:
        ports = []
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=peer, args=(rank, ports, folder)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]


def test_parts_follow_each_other_and_differ_by_one_at_most():
    for total, size in itertools.product((0, 1, 2, 7, 128), (1, 2, 3, 5)):
        rows = [World(rank, size).shard(total).rows for rank in range(size)]
        assert [k for part in rows for k in range(total)[part]] == list(range(total))
        lengths = [len(range(total)[part]) for part in rows]
        assert max(lengths) - min(lengths) <= 1
    assert Shard(5).rows == slice(0, 5)


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with distributed.join("cuda:3") as joined:
        assert joined == (ALONE, "cuda:3")


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(peers, case):
    """In float64, to rounding: the weights, and the losses summed over the processes."""
    first, second = (found["cases"][case] for found in peers[0])
    alone = learned(CASES[case], ALONE)
    assert first.keys() == second.keys() == alone.keys()
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], tensor, rtol=1e-11, atol=1e-11, msg=lambda text, n=name: f"{n}: {text}")


def test_homeostasis_took_part(peers):
    for found in peers[0]:
        shifts = [tensor for name, tensor in found["cases"]["error"].items() if name.endswith("shift")]
        assert len(shifts) == 2
        assert min(shift.sum(0).min().item() for shift in shifts) == pytest.approx(9.0)


def test_an_error_of_one_is_an_error_of_all(peers):
    (first, second), _ = peers
    assert first["world"] == (World(0, 2), "cpu")
    assert first["agreed"] == "PeerError: process 1 of 2 failed: InputError: no such thing"
    assert second["agreed"] == "InputError: no such thing"
    assert first["first"] == "InputError: no such thing"
    assert second["first"] == "PeerError: process 0 of 2 failed: InputError: no such thing"
    assert first["batch"] == "InputError: batch must be at least the number of processes, 2, got 1"
    assert second["batch"].startswith("PeerError: process 0 of 2 failed: InputError: batch must be")


def weights(folder):
    return (folder / "weights.safetensors").read_bytes()


def test_one_writes_and_a_run_can_be_resumed(peers):
    (first, second), folder = peers
    assert not (folder / "of-1").exists()
    assert first["whole"] == second["whole"] == json.loads((folder / "of-0/whole/metrics.json").read_text())
    assert first["whole"]["processes"] == 2
    assert weights(folder / "of-0/cut") == weights(folder / "of-0/whole")
    assert first["resumed"]["test_accuracy"] == first["whole"]["test_accuracy"]
    assert first["again"] is second["again"] is None
    assert not list((folder / "of-0/batch").glob("*"))


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "-m", "shiftlearn", "--", *map(str, arguments)],  # or torchrun takes --log for its own --log-dir
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        try:
            return *process.communicate(timeout=TIMEOUT), process.returncode
        finally:
            process.terminate()  # it ends those that it started


@pytest.mark.slow
def test_the_command_finds_what_it_finds_in_one_process(call, tmp_path):
    settings = ("--epochs", 3, "--set", "validation=21", "--set", "batch=33", "--log", "tensorboard")
    arguments = ("train", "iris", *settings, "--out")
    out, err, code = torchrun(*arguments, tmp_path / "two")
    assert code == 0, err
    assert "shiftlearn" not in err  # no warning about its use of torch
    code, expected, _ = call(*arguments, tmp_path / "one")
    assert code == 0
    known = [line.split("  ")[:4] for line in expected.splitlines() if line.startswith("epoch")]
    assert [line.split("  ")[:4] for line in out.splitlines() if line.startswith("epoch")] == known
    assert len(out.splitlines()) == len(expected.splitlines()) + 1
    assert "\nprocesses: 2\n" in out
    one, two = (
        [json.loads(x) for x in (tmp_path / n / "metrics.jsonl").read_text().splitlines()] for n in ("one", "two")
    )
    for own, other in zip(one, two, strict=True):
        assert own["loss"] == pytest.approx(other["loss"], rel=1e-5)
        for key in ("epoch", "train_accuracy", "validation_accuracy"):
            assert own[key] == other[key]
    assert {path.name for path in (tmp_path / "one").iterdir()} == {path.name for path in (tmp_path / "two").iterdir()}
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert one["test_accuracy"] == two["test_accuracy"]
    assert (tmp_path / "one/config.json").read_bytes() == (tmp_path / "two/config.json").read_bytes()
    assert [len(list((tmp_path / "tensorboard" / name).iterdir())) for name in ("one", "two")] == [1, 1]


@pytest.mark.slow
def test_the_command_says_once_what_is_wrong(tmp_path):
    out, err, code = torchrun("train", "iris", "--folds", 3, "--out", tmp_path / "run")
    assert code != 0
    assert err.count("shiftlearn: --folds and --networks run in one process, got 2") == 1
    assert "PeerError" not in err
    assert out == ""
    assert not Path(tmp_path / "run").exists()
