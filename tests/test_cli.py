"""The command line as a user meets it, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

SHIFTLEARN = (sys.executable, "-m", "shiftlearn")
SMALL = ("--set", "layers=[784, 10, 10]", "--set", "batch=1000")


def run(*arguments, **options):
    return subprocess.run([*SHIFTLEARN, *arguments], capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    done = run("train", "mnist", *SMALL, "--epochs", "2", "--seed", "4", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_train_prints_plain_lines(trained):
    folder, text = trained
    assert "\x1b" not in text
    assert "epoch 1/2  loss " in text
    assert "s left" in text
    metrics = json.loads((folder / "metrics.json").read_text())
    assert f"test accuracy {metrics['test_accuracy']:.2%}" in text
    assert (metrics["epochs"], metrics["seed"]) == (2, 4)


def test_evaluate_reproduces_the_accuracy(trained):
    done = run("evaluate", str(trained[0]))
    assert done.returncode == 0
    stored = json.loads((trained[0] / "metrics.json").read_text())["test_accuracy"]
    assert f"test accuracy {stored:.4%}" in done.stdout
    assert "\nthe same as the accuracy stored" in done.stdout


def test_resuming_a_finished_run_says_so(trained):
    done = run("train", "--resume", str(trained[0]))
    assert done.returncode == 0
    assert "nothing is left to do" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("train", "mnits"), "unknown recipe 'mnits'. Did you mean 'mnist'?"),
        (("train",), "name a recipe (fashion-mnist, mnist"),
        (("train", "mnist", "--epoch", "3"), "--epochs"),
        (("train", "mnist", "--set", "betta=1"), "Did you mean 'beta'?"),
        (("train", "mnist", "--set", "beta"), "--set takes KEY=VALUE"),
        (("train", "mnist", "--epochs", "0"), "epochs must be 1 or more, got 0"),
        (("train", "mnist", "--seed", "-1"), "--seed"),
        (("train", "mnist", "--data-dir", "/no/such/folder"), "/no/such/folder"),
        (("train", "mnist", "--device", "abacus"), "device 'abacus'"),
        (("train", "--resume", "nowhere"), "no run folder 'nowhere'"),
        (("train", "mnist", "--resume", "nowhere"), "--resume"),
        (("evaluate", "nowhere"), "no run folder 'nowhere'"),
        (("data", "--data-dir", "/no/such/folder"), "/no/such/folder"),
        (("trian",), "trian"),
    ],
)
def test_a_mistake_gets_one_line(tmp_path, arguments, part):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert part in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_data_lists_where_each_was_found():
    done = run("data")
    assert done.returncode == 0
    assert "mnist " in done.stdout
    assert "fashion-mnist " in done.stdout


def test_version_and_help_do_not_load_torch():
    code = "import sys; sys.argv[1:] = [{!r}]\ntry:\n import shiftlearn.cli as c; c.main()\nexcept SystemExit: pass\n"
    for option in ("--version", "--help"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(option) + "assert 'torch' not in sys.modules"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_interrupt_and_resume(tmp_path):
    folder = tmp_path / "run"
    command = [*SHIFTLEARN, "train", "mnist", *SMALL, "--epochs", "300", "--out", str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"shiftlearn train --resume {folder}" in errors
    assert "Traceback" not in errors
    config = json.loads((folder / "config.json").read_text())
    done_epochs = len((folder / "metrics.jsonl").read_text().splitlines())
    config["recipe"]["epochs"] = done_epochs + 1
    (folder / "config.json").write_text(json.dumps(config))
    done = run("train", "--resume", str(folder))
    assert done.returncode == 0, done.stderr
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == done_epochs + 1
