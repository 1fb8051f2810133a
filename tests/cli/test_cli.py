"""The command line as a user meets it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from shiftlearn.cli.progress import reporter

COMMAND = (sys.executable, "-m", "shiftlearn")
SMALL = ("--set", "layers=[784, 16, 10]", "--set", "lr=5e-3", "--set", "validation=40000")
SMALL += ("--epochs", "3", "--seed", "4", "--threads", "1")
PLAIN = {k: v for k, v in os.environ.items() if k != "FORCE_COLOR"} | {"PYTHONUNBUFFERED": "1"}


def run(*arguments):
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=PLAIN, check=False)


@pytest.fixture(scope="session")
def mnist_run(made_once, mnist_files):
    """A finished run and what the command printed."""

    def train(folder):
        done = run("train", "mnist", *SMALL, "--out", str(folder / "small"))
        assert done.returncode == 0, done.stderr
        (folder / "text").write_text(done.stdout)

    folder = made_once("cli", train)
    return folder / "small", (folder / "text").read_text()


def test_train_prints_plain_lines(mnist_run):
    folder, text = mnist_run
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert [line.split("  ")[0] for line in lines if "samples/s" in line] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert f"test accuracy {metrics['test_accuracy']:.2%}" in text
    assert f"shiftlearn evaluate {folder}" in text


def test_train_leaves_a_run_that_has_learned(mnist_run):
    folder, _ = mnist_run
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.6
    assert (metrics["epochs"], metrics["seed"], metrics["threads"]) == (3, 4, 1)
    recipe = json.loads((folder / "config.json").read_text())["recipe"]
    assert (recipe["layers"], recipe["lr"], recipe["epochs"]) == ([784, 16, 10], 5e-3, 3)
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "metrics.jsonl", "checkpoint.safetensors", "weights.safetensors", "test_predictions.csv",
        "confusion_matrix.csv", "classes.csv", "roc.csv", "metrics.json",
    }  # fmt: skip


def test_evaluate_reproduces_the_accuracy(mnist_run, call):
    code, out, err = call("evaluate", str(mnist_run[0]))
    assert (code, err) == (0, "")
    stored = json.loads((mnist_run[0] / "metrics.json").read_text())["test_accuracy"]
    assert f"test accuracy {stored:.4%} (10000 samples of mnist)" in out
    assert f"\nthe same as the accuracy stored by the run, {stored:.4%}" in out


def test_evaluate_tells_a_difference(mnist_run, tmp_path, call):
    shutil.copytree(mnist_run[0], tmp_path / "run")
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    (tmp_path / "run/metrics.json").write_text(json.dumps(metrics | {"test_accuracy": 0.5}))
    assert "\nNOT the same as the accuracy stored by the run, 50.0000%" in call("evaluate", str(tmp_path / "run"))[1]


def test_resuming_a_finished_run_says_so(mnist_run, call):
    before = {p: p.stat().st_mtime_ns for p in mnist_run[0].iterdir()}
    code, out, err = call("train", "--resume", str(mnist_run[0]))
    assert (code, err) == (0, "")
    assert "this run is finished; nothing is left to do" in out
    assert before == {p: p.stat().st_mtime_ns for p in mnist_run[0].iterdir()}


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"\xff"])
@pytest.mark.parametrize("command", [("evaluate",), ("train", "--resume")])
def test_a_damaged_summary_is_named(mnist_run, tmp_path, call, command, content):
    shutil.copytree(mnist_run[0], tmp_path / "run")
    (tmp_path / "run/metrics.json").write_bytes(content)
    code, _, err = call(*command, str(tmp_path / "run"))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "metrics.json" in err


MISTAKES = [
    (("train", "mnits"), "unknown recipe 'mnits'. Did you mean 'mnist'?"),
    (("train", "runs/mnist"), "unknown recipe 'runs/mnist'"),
    (("train", "no.toml"), "no recipe file 'no.toml'"),
    (("train",), "name a recipe (breast-cancer, digits, "),
    (("train", "mnist", "--epoch", "3"), "--epochs"),
    (("train", "mnist", "--set", "betta=1"), "unknown setting 'betta'. Did you mean 'beta'? Valid: averaging,"),
    (("train", "mnist", "--set", "beta"), "--set takes KEY=VALUE, got 'beta'"),
    (("train", "mnist", "--set", "loss=mse"), "loss must be one of cross-entropy, published, got 'mse'"),
    (("train", "mnist", "--set", "rule=exakt"), "unknown rule 'exakt'. Did you mean 'exact'? Valid: exact,"),
    (("train", "mnist", "--set", "dataset=mnits"), "unknown dataset 'mnits'. Did you mean 'mnist'?"),
    (("train", "mnist", "--epochs", "0"), "epochs must be 1 or more, got 0"),
    (("train", "mnist", "--epochs", "many"), "--epochs"),
    (("train", "mnist", "--seed", "-1"), "--seed"),
    (("train", "mnist", "--threads", "0"), "--threads"),
    (("train", "mnist", "--threads", "99999999999"), "threads"),
    (("train", "mnist", "--data-dir", "no/such/folder"), "no/such/folder"),
    (("train", "mnist", "--device", "abacus"), "device 'abacus'"),
    (("train", "--resume", "nowhere"), "no run folder 'nowhere'"),
    (("train", "mnist", "--resume", "nowhere"), "--resume"),
    (("train", "--resume", "nowhere", "--epochs", "3"), "leave out --set, --epochs, --seed, --out"),
    (("train", "--resume", "nowhere", "--seed", "3"), "--seed"),
    (("evaluate", "nowhere"), "no run folder 'nowhere'"),
    (("evaluate",), "RUN"),
    (("predict", "nowhere", "x.png"), "no run folder 'nowhere'"),
    (("predict", "nowhere"), "FILES"),
    (("data", "--data-dir", "no/such/folder"), "no/such/folder"),
    (("trian",), "trian"),
    (("--verison",), "--verison"),
]


@pytest.mark.parametrize(("arguments", "part"), MISTAKES, ids=lambda x: " ".join(x) if isinstance(x, tuple) else "")
def test_a_mistake_gets_one_line(tmp_path, monkeypatch, call, arguments, part):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert part.lower() in err.lower()
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_a_process_of_its_own():
    done = run("train", "mnits")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("shiftlearn: unknown recipe 'mnits'")
    assert done.stderr.count("\n") == 1


def test_a_folder_in_use_is_left_alone(tmp_path, call):
    (tmp_path / "notes.txt").write_text("mine")
    code, _, err = call("train", "mnist", "--out", str(tmp_path))
    assert (code, len(err.splitlines())) == (2, 1)
    assert "is not an empty folder" in err
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_data_lists_where_each_was_found(tmp_path, call):
    code, out, _ = call("data")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[::2]] == ["mnist", "fashion-mnist", "tables"]
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist/t10k-labels-idx1-ubyte.gz").write_bytes(b"")
    code, out, _ = call("data", "--data-dir", str(tmp_path))
    assert code == 0
    assert out.splitlines()[0].split() == ["mnist", str(tmp_path / "mnist")]
    assert out.splitlines()[2].split() == ["fashion-mnist", "not", "there"]


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_do_not_load_torch(option):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "shiftlearn", option], capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "shiftlearn.cli" in loaded
    assert not {"torch", "numpy"} & loaded
    assert ("0.1" if option == "--version" else "evaluate") in done.stdout


def test_no_arguments_show_the_help_alone(call):
    for arguments in ((), ("data", "make")):
        code, out, err = call(*arguments)
        assert (code, err) == (0, "")
        assert "Commands:" in out


def test_lines_stay_plain_where_colour_is_forced(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with reporter(1) as watch:
        watch.batch(1, 1.0, 0.5, 0.5, 100.0)
        watch.epoch({"epoch": 1, "loss": 0.5, "train_accuracy": 0.5, "samples_per_second": 100.0})
    out = capsys.readouterr().out
    assert out.startswith("epoch 1/1  loss 0.5000")
    assert "\x1b" not in out


def test_interrupted_before_there_is_a_run(tmp_path, monkeypatch, call):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("shiftlearn.data.load", stop)
    code, _, err = call("train", "mnist", "--out", str(tmp_path / "run"))
    assert code == 130
    assert not (tmp_path / "run").exists()
    assert "--resume" not in err  # there is nothing to go on with


@pytest.mark.slow
def test_interrupt_and_resume_equal_an_uninterrupted_run(mnist_run, tmp_path, call):
    folder = tmp_path / "run"
    command = [*COMMAND, "train", "mnist", *SMALL, "--out", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": PLAIN}
    # Background jobs of a script ignore Ctrl-C, and so would their children.
    process = subprocess.Popen(command, **pipes, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        deadline = time.monotonic() + 60
        while not (folder / "checkpoint.safetensors").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors.split() == f"interrupted; go on with: shiftlearn train --resume {folder}".split()
    assert not (folder / "metrics.json").exists()
    code, _, err = call("evaluate", folder)
    assert code == 2
    assert f"shiftlearn train --resume {folder}" in err
    code, out, err = call("train", "--resume", folder, "--threads", "1")
    assert code == 0, err
    assert "epoch 1/3" not in out
    for name in ("weights.safetensors", "test_predictions.csv", "confusion_matrix.csv", "config.json"):
        assert (folder / name).read_bytes() == (mnist_run[0] / name).read_bytes()
