"""What users expect of any command: help, exit codes, quiet and JSON output, encodings, completion, hints."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from trees import FAST, metrics

from shiftlearn import cli, recipes
from shiftlearn.cli import completion
from shiftlearn.cli.plot import _KINDS
from shiftlearn.errors import InputError, counted, nearest, unknown_name
from shiftlearn.ops import rules
from shiftlearn.registry import ELSEWHERE, PLOTS, RULES

pytestmark = pytest.mark.usefixtures("one_thread", "place")
COMMANDS = [(command.callback.__name__,) for command in cli.app.registered_commands]


def process(*arguments, **environment):
    command = [sys.executable, "-m", "shiftlearn", *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, env=os.environ | environment, check=False)


@pytest.mark.parametrize("command", [*COMMANDS, ("data",), ("data", "show"), ("data", "make", "tca")], ids=" ".join)
def test_help_has_examples(call, command):
    code, out, err = call(*command, "--help")
    assert (code, err) == (0, "")
    assert f"  shiftlearn {' '.join(command)}" in out.partition("Examples:")[2]
    assert out.isascii()


def test_the_help_lists_every_command_and_the_exit_codes(call):
    _, out, _ = call("--help")
    assert {name for (name,) in COMMANDS} <= set(out.split())
    assert "  2    a mistake in what was typed" in out
    assert "  130  interrupted by Ctrl-C" in out


def test_help_fits_a_narrow_terminal():
    done = process("train", "--help", COLUMNS="40")
    text = done.stdout.decode().partition("Examples:")[0]
    assert max(map(len, text.splitlines())) <= 40
    for option in ("--resume", "--networks", "--repeats", "--compare", "--quiet"):
        assert option in text


@pytest.mark.parametrize("plain", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_help_and_mistakes_where_letters_are_few(plain):
    plain = {"PYTHONUTF8": "0"} | plain
    done = process("compare", "--help", **plain)
    assert (done.returncode, done.stderr, done.stdout.isascii()) == (0, b"", True)
    done = process("data", "show", "nö", **plain)
    assert (done.returncode, done.stdout, done.stderr.isascii()) == (2, b"", True)


def test_results_in_ascii(call, place, monkeypatch):
    assert call("train", "xor", "--networks", 5, "--epochs", 60, "--out", "rün", "--threads", 1)[0] == 0
    for arguments, part in (
        (("evaluate", "rün"), "#" * 40),
        (("runs", "."), "| r?n "),
        (("train", "iris", *FAST), "/12"),
    ):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
        monkeypatch.setattr(sys, "argv", ["shiftlearn", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0
        assert part in written.getvalue().decode("ascii")


def test_quiet_says_nothing(call, place):
    assert call("train", "trees.csv", *FAST, "--out", "run", "--quiet") == (0, "", "")
    assert call("evaluate", "run", "-q") == (0, "", "")
    (place / "run/metrics.json").write_text(json.dumps(metrics(place / "run") | {"test_accuracy": 0.125}))
    assert call("evaluate", "run", "-q") == (1, "", "")
    code, out, err = call("train", "trees.csv", "--quiet", "--set", "beta=0")
    assert (code, out) == (2, "")
    assert "beta must be positive" in err


def test_json_is_all_there_is(call, place):
    code, out, err = call("train", "trees.csv", *FAST, "--out", "run", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"run": "run", **metrics(place / "run")}
    assert json.loads(call("train", "--resume", "run", "--json")[1]) == json.loads(out)
    found = json.loads(call("evaluate", "run", "--json")[1])
    assert found["test_accuracy"] == found["stored_accuracy"] == metrics(place / "run")["test_accuracy"]
    assert [row["class"] for row in found["classes"]] == ["elm", "oak", "macro average"]
    code, out, err = call("train", "trees.csv", *FAST, "--folds", 2, "--no-compare", "--out", "folds", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["folds"] == 2
    assert json.loads(call("evaluate", "folds", "--json")[1]) == json.loads(out)


def test_compare_in_json_and_quiet(call, place):
    command = ("compare", "iris", "--rules", "exact", "--feedback", "symmetric", "--seeds", 1, "--epochs", 1)
    code, out, err = call(*command, "--jobs", 1, "--json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)
    assert (row["rule"], row["seeds"]) == ("exact", 1)
    assert call(*command, "--jobs", 1, "--quiet") == (0, "", "")


def test_the_summary_says_how_to_go_on(call, place):
    code, out, err = call("train", "trees.csv", *FAST, "--set", "validation=4", "--out", "my run")
    assert (code, err) == (0, "")
    last = json.loads((place / "my run/metrics.jsonl").read_text().splitlines()[-1])
    lines = dict(line.split(maxsplit=1) for line in out.splitlines()[-9:])
    assert lines["validation"] == f"{last['validation_accuracy']:.2%} in epoch 12"
    assert lines["training"] == f"{last['train_accuracy']:.2%} in epoch 12"
    assert lines["network"] == "8-6-2 on " + str(place / "trees.csv") + ", seed 0"
    for line in (
        "evaluate it   shiftlearn evaluate 'my run'",
        "plot it       shiftlearn plot 'my run' curves",
        "compare it    shiftlearn runs .",
    ):
        assert line in out.splitlines()
    (files,) = (line for line in out.splitlines() if line.startswith("files in"))
    assert {name.strip(" ,") for name in files.partition(": ")[2].split()} == {p.name for p in place.glob("my run/*")}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("train", "MNSIT"), "mnist"),
        (("train", "iris", "--set", "Betta=1"), "beta"),
        (("train", "iris", "--set", "rule=exakt"), "exact"),
        (("train", "iris", "--set", "feedback=symetric"), "symmetric"),
        (("train", "iris", "--set", "coding=latancy"), "latency"),
        (("train", "iris", "--set", "dataset=iriss"), "iris"),
        (("train", "iris", "--log", "tensorbord"), "tensorboard"),
        (("compare", "iris", "--rules", "normalised"), "normalized"),
        (("compare", "iris", "--modulators", "rewards"), "reward"),
        (("data", "show", "mnits", "--out", "a.png"), "mnist"),
        (("runs", ".", "--sort", "acuracy"), "accuracy"),
        (("evaluate", "runs/frist"), "first"),
    ],
)
def test_a_mistake_names_the_nearest(fails, place, arguments, hint):
    (place / "runs/first").mkdir(parents=True)
    (place / "runs/first/config.json").write_text("{}")
    fails(f"Did you mean {hint!r}?", *arguments)


def test_nearest():
    assert nearest("MNITS", ["mnist", "iris"]) == " Did you mean 'mnist'?"
    assert nearest("xyz", ["mnist", "iris"]) == ""
    assert str(unknown_name("pet", "cta", ["dog", "cat"])) == "unknown pet 'cta'. Did you mean 'cat'? Valid: cat, dog."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plot", "x"), f"Missing argument 'kind'. Valid: {', '.join(PLOTS)}."),
        (("compare",), f"Missing argument 'recipe'. Valid: {', '.join(recipes.names())}."),
        (("data", "show", "--out", "x.png"), "Missing argument 'dataset'. Valid: mnist, fashion-mnist."),
        (("evaluate",), "Missing argument 'RUN'."),
        (("train", "--log"), "Option '--log' requires an argument. Valid: tensorboard."),
        (("data", "show", "--split"), "Option '--split' requires an argument. Valid: train, test."),
        (("train", "--seed"), "Option '--seed' requires an argument."),
        (("export", "x"), "Missing option '--out'."),
    ],
)
def test_what_is_missing_is_told_with_its_choices(call, place, arguments, message):
    assert call(*arguments) == (2, "", f"shiftlearn: {message}\n")


@pytest.mark.parametrize(
    ("given", "meant"), [("learning_rate", "lr"), ("batch_size", "batch"), ("max_iter", "epochs"), ("epoch", "epochs")]
)
def test_the_names_of_other_libraries_lead_to_ours(given, meant):
    with pytest.raises(InputError, match=f"unknown setting '{given}'. Did you mean '{meant}'?"):
        recipes.override(recipes.read("iris"), {given: 1})


def test_all_names_of_other_libraries_stand_for_settings():
    settings = recipes.read("iris").as_dict()
    assert set(ELSEWHERE.values()) <= set(settings)
    assert not set(ELSEWHERE) & set(settings)


def test_one_of_something_is_singular(call, place):
    assert [counted(number, "epoch", ",") for number in (0, 1, 1000)] == ["0 epochs", "1 epoch", "1,000 epochs"]
    code, out, _ = call("train", "xor", "--networks", 1, "--epochs", 1)
    assert code == 0
    assert "of 1 run within 1 epoch:" in out


def complete(*words):
    """What bash is offered for the last word."""
    done = process(
        _SHIFTLEARN_COMPLETE="complete_bash", COMP_WORDS=" ".join(["shiftlearn", *words]), COMP_CWORD=str(len(words))
    )
    return done.stdout.decode().split()


def test_completion(place):
    for folder in ("runs/first", "runs/compare/a-seed0", "elsewhere/x/y/run"):
        (place / folder).mkdir(parents=True)
        (place / folder / "config.json").write_text("{}")
    assert complete("ev") == ["evaluate"]
    assert complete("train", "mnist-de") == ["mnist-deep"]
    assert complete("evaluate", "runs/f") == ["runs/first"]
    assert completion.run_folders("") == ["elsewhere/x/y/run", "runs/compare/a-seed0", "runs/first"][1:]
    assert completion.run_folders(f"{place}/elsewhere/") == [f"{place}/elsewhere/x/y/run"]
    assert completion.settings("feed") == ["feedback="]
    assert completion.settings("feedback=r") == ["feedback=random"]
    assert completion.listed(completion.rules)("exact,") == ["exact,shifting", "exact,normalized"]


def test_completion_knows_the_names():
    assert set(RULES) <= set(rules.names())
    assert set(PLOTS) == set(_KINDS)
    for key, value in recipes.read("mnist").as_dict().items():
        if isinstance(value, str) and key not in ("description", "dataset", "target", "templates", "test_file"):
            assert f"{key}={value}" in completion.settings(f"{key}=")


def test_completion_is_quick(place):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "shiftlearn"],
        capture_output=True,
        text=True,
        env=os.environ
        | {"_SHIFTLEARN_COMPLETE": "complete_bash", "COMP_WORDS": "shiftlearn train m", "COMP_CWORD": "2"},
        check=False,
    )
    assert "mnist" in done.stdout.split()
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "shiftlearn.recipes" in loaded
    assert not {"torch", "numpy"} & loaded
