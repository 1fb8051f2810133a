"""Runs that are killed at any moment go on to the same bits; a disk that is full costs no checkpoint.

Children are forked from a server that has imported the library once, each with one thread.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import shiftlearn as sl
from shiftlearn import recipes
from shiftlearn.errors import InputError, RunWarning
from shiftlearn.models.stored import WEIGHTS, read_tensors
from shiftlearn.nn import Constraints
from shiftlearn.runs.checkpoint import CHECKPOINT, PREVIOUS
from shiftlearn.runs.results import LOG
from shiftlearn.training import callbacks, run

EPOCHS = 60
RECIPE = recipes.override(recipes.read("iris"), {"epochs": EPOCHS})
START = ("train", "iris", "--epochs", EPOCHS, "--seed", "3", "--threads", "1")
EXACT = ("config.json", "weights.safetensors", "test_predictions.csv", "confusion_matrix.csv", "classes.csv", "roc.csv")
TIMINGS = ("seconds", "samples_per_second", "train_seconds")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "pytest",
        "torch._dynamo",
        "shiftlearn.cli.train",
        "sklearn.datasets",
        "sklearn.model_selection",
        "sklearn.metrics",
    ]
)  # torch._dynamo: the optimizers import it when they are first used


def child(arguments, out, sabotage=None):
    """The command line in a process of its own; ``sabotage`` is called before it."""
    with open(out, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sabotage:
        sabotage[0](*sabotage[1:])
    from shiftlearn import cli

    sys.argv = ["shiftlearn", *map(str, arguments)]
    cli.main()


class Command:
    def __init__(self, out, *arguments, sabotage=None):
        self.out = Path(out)
        self.process = FORKS.Process(target=child, args=(arguments, out, sabotage), daemon=True)
        self.process.start()

    def end(self):
        """Exit code (negative: killed by that signal), and what it printed."""
        self.process.join(120)
        assert self.process.exitcode is not None
        return self.process.exitcode, self.out.read_text()


def results(folder):
    """All that a run leaves, except the times it took."""
    metrics = json.loads((folder / "metrics.json").read_text())
    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in log] == list(range(1, EPOCHS + 1))
    kept = [{k: v for k, v in record.items() if k not in TIMINGS} for record in [metrics, *log]]
    others = {path.name for path in folder.iterdir()} - {*EXACT, "metrics.json", "metrics.jsonl"}
    assert others == {"checkpoint.safetensors"}
    return {name: (folder / name).read_bytes() for name in EXACT} | {"records": kept}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder of an uninterrupted run, and how long it took."""
    place = tmp_path_factory.mktemp("whole")
    for name in ("warm", "run"):  # the first starts the server
        began = time.monotonic()
        assert Command(place / "text", *START, "--out", place / name).end()[0] == 0
    return place / "run", time.monotonic() - began


def finish(folder):
    """Go on until a run is finished, as a person would."""
    if (folder / "config.json").is_file():
        code, text = Command(folder.with_suffix(".text"), "train", "--resume", folder).end()
    else:
        code, text = Command(folder.with_suffix(".text"), *START, "--out", folder).end()
    assert code == 0, text
    return text


def test_killed_at_random_moments(whole, tmp_path, kills):
    reference, duration = results(whole[0]), whole[1]
    random = np.random.default_rng(kills)
    for number in range(kills):
        sent = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[number % 3]
        folder = tmp_path / str(number)
        command = Command(tmp_path / "text", *START, "--out", folder)
        time.sleep(random.uniform(0, duration))
        with contextlib.suppress(ProcessLookupError):
            os.kill(command.process.pid, sent)
        code, text = command.end()
        if folder.exists():
            assert code in {0, -sent, 128 + sent}, text  # 0: it was done; -sent: before the command line listened
        assert finish(folder)
        assert results(folder) == reference, (number, sent)
        assert run.resume(folder, callbacks.Silent()) is None


def test_starts_at_once_are_whole_runs(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = [Command(tmp_path / f"text{k}", *START) for k in range(3)]
    folders = []
    for command in commands:
        code, text = command.end()
        assert code == 0, text
        folders += [line.partition(": ")[2] for line in text.splitlines() if line.startswith("run folder: ")]
    assert sorted(folders) == ["runs/iris-seed3", "runs/iris-seed3-2", "runs/iris-seed3-3"]
    for folder in folders:
        assert results(tmp_path / folder) == results(whole[0])


def kill_at(name, path, call, half):
    """This process kills itself at the ``call``-th use of a function on a file whose name contains ``path``."""
    real, calls = getattr(os, name), 0

    def sabotaged(*arguments):
        nonlocal calls
        target = arguments[-1]
        target = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str(target)
        calls += path in target
        if path in target and calls == call:
            if half:
                os.truncate(target, os.path.getsize(target) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)

    setattr(os, name, sabotaged)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
@pytest.mark.parametrize(
    ("name", "path", "call", "half", "epoch"),
    [
        ("fsync", ".checkpoint.safetensors", 3, True, 2),  # half of the third checkpoint is written
        ("replace", "checkpoint-previous", 2, False, 2),  # all of it, and nothing is renamed
        ("replace", "/checkpoint.safetensors", 3, False, 2),  # the second has another name, the third still has none
        ("fsync", ".config.json", 1, True, 0),
        ("fsync", ".metrics.json.", 1, True, EPOCHS),
    ],
)
def test_killed_while_a_file_is_written(whole, tmp_path, name, path, call, half, epoch):
    folder = tmp_path / "run"
    sabotage = (kill_at, name, path, call, half)
    code, _ = Command(tmp_path / "text", *START, "--out", folder, sabotage=sabotage).end()
    assert code == -signal.SIGKILL
    assert (folder / "config.json").exists() == (epoch > 0)
    log = (folder / "metrics.jsonl").read_text().splitlines() if epoch else []
    assert len(log) == min(epoch + 1, EPOCHS) * (epoch > 0)
    text = finish(folder)
    assert "warning" not in text
    assert (f"epoch  1/{EPOCHS}" in text) == (epoch == 0)
    assert results(folder) == results(whole[0])


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_in_one_line(tmp_path, sent, code):
    folder, text = tmp_path / "run", tmp_path / "text"
    command = Command(text, "train", "iris", "--epochs", "100000", "--threads", "1", "--out", folder)
    deadline = time.monotonic() + 100
    while not (folder / CHECKPOINT).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(command.process.pid, sent)
    found, said = command.end()
    assert found == code
    assert said.splitlines()[-1] == f"interrupted; go on with: shiftlearn train --resume {folder}"
    assert "Traceback" not in said
    assert read_tensors(folder / CHECKPOINT)


def stopped(folder, epoch, recipe=RECIPE, seed=3):
    """A run in a folder that was interrupted after an epoch."""

    class Stop(callbacks.Silent):
        def epoch(self, record):
            if record["epoch"] == epoch:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.start(recipe, folder, seed, Stop())


def damage(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def test_the_last_good_checkpoint_takes_the_place_of_a_damaged_one(whole, tmp_path, one_thread):
    stopped(tmp_path / "run", 7)
    damage(tmp_path / "run" / CHECKPOINT)
    message = r"run/checkpoint\.safetensors is damaged.*from the checkpoint before it, after epoch 6"
    with pytest.warns(RunWarning, match=message):
        run.resume(tmp_path / "run", callbacks.Silent())
    assert results(tmp_path / "run") == results(whole[0])


def test_without_a_good_checkpoint_it_says_so(whole, tmp_path, one_thread):
    stopped(tmp_path / "run", 7)
    names = [tmp_path / "run" / name for name in (CHECKPOINT, PREVIOUS)]
    for path in names:
        damage(path)
    with pytest.raises(InputError, match=f"{names[0]} is damaged.*{names[1]} is damaged.*to start the run over, delet"):
        run.resume(tmp_path / "run", callbacks.Silent())
    for path in names:
        path.unlink()
    run.resume(tmp_path / "run", callbacks.Silent())
    assert results(tmp_path / "run") == results(whole[0])


@pytest.mark.parametrize("keep", [0, 2])
def test_a_log_that_lacks_epochs_is_told(tmp_path, one_thread, keep):
    stopped(tmp_path / "run", 5)
    log = tmp_path / "run" / LOG
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:keep]))
    if not keep:
        log.unlink()
    with pytest.warns(RunWarning, match=rf"metrics\.jsonl lacks {5 - keep} of 5 epochs"):
        run.resume(tmp_path / "run", callbacks.Silent())
    epochs = [json.loads(line)["epoch"] for line in log.read_text().splitlines()]
    assert epochs == [*range(1, keep + 1), *range(6, EPOCHS + 1)]


def test_delays_that_a_resumed_run_puts_back_are_those_of_its_checkpoint(tmp_path, one_thread, monkeypatch):
    recipe = recipes.override(recipes.read("iris"), {"epochs": 4, "project_delays": False})
    real = Constraints.after_step

    def after_step(self):
        real(self)
        if self._optimizer.state_dict()["state"][0]["step"] == 9:  # the first of epoch 3
            with torch.no_grad():
                self._network[0].delay[0] = -1.0

    monkeypatch.setattr(Constraints, "after_step", after_step)
    assert run.start(recipe, tmp_path / "whole", 0, callbacks.Silent())["frozen_in_epoch"] == 3
    stopped(tmp_path / "run", 2, recipe, 0)
    assert run.resume(tmp_path / "run", callbacks.Silent())["frozen_in_epoch"] == 3
    weights = [(tmp_path / name / WEIGHTS).read_bytes() for name in ("whole", "run")]
    assert weights[0] == weights[1]
    assert sl.load(tmp_path / "run").network[0].delay[0] > 0


def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_limit_on_files_stops_a_run_between_checkpoints(whole, tmp_path):
    """As a full disk does: the log outgrows what a file may hold after some epochs, the last checkpoint is whole."""
    folder = tmp_path / "run"
    code, text = Command(tmp_path / "text", *START, "--out", folder, sabotage=(limit_files, 8000)).end()
    assert code == 2, text
    assert "Traceback" not in text
    assert "File too large; the run has stopped; go on with: shiftlearn train --resume" in text
    epoch = json.loads(read_tensors(folder / CHECKPOINT)[1]["progress"])["epoch"]
    assert 1 <= epoch < EPOCHS
    finish(folder)
    assert results(folder) == results(whole[0])


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_keeps_the_last_checkpoint(whole, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        (disk / "other").write_bytes(bytes(36 * 1024))
        folder = disk / "run"
        code, text = Command(tmp_path / "text", *START, "--out", folder).end()
        assert code == 2, text
        assert "No space left on device; the run has stopped; go on with: shiftlearn train --resume" in text
        assert read_tensors(folder / CHECKPOINT)
        (disk / "other").unlink()
        code, text = Command(tmp_path / "text", "train", "--resume", folder).end()
        assert code == 0, text
        assert results(folder) == results(whole[0])
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    code, text = Command(tmp_path / "text", *START, "--out", tmp_path / "file" / "run").end()
    assert code == 2
    assert text == f"shiftlearn: {tmp_path / 'file' / 'run'}: Not a directory\n"
