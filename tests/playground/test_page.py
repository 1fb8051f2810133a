"""The file of the page: whole, by itself, and closed to the network."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import shiftlearn.playground
from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.models.model import Model
from shiftlearn.playground import Check, check, require_images
from shiftlearn.playground.quantise import quantise

FOLDER = Path(shiftlearn.playground.__file__).parent


def parts(html, tag):
    return re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", html, re.DOTALL)


def test_nothing_is_loaded_from_elsewhere(mnist):
    assert re.findall(r'(?:src|href)="([^"]*)"', mnist.html) == ["data:,", "#pad"]
    assert not re.search(r"https?:|@import|url\(|\beval\b|\bimport\(|\bfetch\b|XMLHttpRequest|WebSocket", mnist.html)
    assert not re.search(r"^(import|export) ", mnist.html, re.MULTILINE)
    assert "<!-- " not in mnist.html  # every place is filled


def test_the_policy_allows_this_style_and_script_alone(mnist):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', mnist.html).group(1)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for rule, text in (("style-src", parts(mnist.html, "style")[0]), ("script-src", parts(mnist.html, "script")[-1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_every_module_is_there_once(mnist):
    script = parts(mnist.html, "script")[-1]
    for path in FOLDER.glob("*.js"):
        assert script.count(path.read_text().splitlines()[0]) == 1, path.name


def test_the_data_are_the_network_and_samples(mnist):
    data = json.loads(parts(mnist.html, "script")[0])
    assert data["classes"] == [str(k) for k in range(10)]
    for stored, layer in zip(data["layers"], mnist.model.network, strict=True):
        small = quantise(layer)
        levels = np.frombuffer(base64.b64decode(stored["levels"]), np.int8).reshape(layer.shift.shape)
        assert np.array_equal(levels, small.levels.numpy())
        assert stored["scale"] == small.scale.tolist()
        assert stored["delay"] == small.delay.tolist()
    assert [sample["label"] for sample in data["samples"]] == list(range(10))
    first = np.frombuffer(base64.b64decode(data["samples"][7]["pixels"]), np.uint8)
    assert np.array_equal(first, mnist.task.samples[np.flatnonzero(mnist.task.labels == 7)[0]].reshape(-1))


@pytest.mark.parametrize(
    ("settings", "about", "text", "hint"),
    [
        ({"feedback": "random"}, "fixed random feedback", "t = 2 (1 − x), x its ink from 0 to 1.", "the earlier"),
        (
            {"coding": "on-off", "layers": [1568, 5, 10], "coding_levels": 3},
            "mnist: 1568-5-10, ",
            "t = 2 (1 − x) and t = 2 x, x its ink from 0 to 1, in 3 levels.",
            "without it the second",
        ),
        ({"coding": "binarised"}, "binarised coding", "t = −1.3 elsewhere", "without ink fire first"),
    ],
)
def test_what_the_page_says_follows_from_the_settings(mnist, settings, about, text, hint):
    recipe = recipes.override(recipes.read("mnist"), {"layers": [784, 5, 10]} | settings)
    html = shiftlearn.playground.page(Model(recipe, build(recipe), 0), mnist.task, Check(1.0, 1, 0))
    data = json.loads(parts(html, "script")[0])
    assert about in data["description"]
    assert ("symmetric" in data["description"]) == (recipe.feedback == "symmetric")
    assert text in data["coding"]["text"]
    assert hint in data["coding"]["hint"]


def test_names_of_classes_cannot_end_the_data(mnist):
    model = Model(mnist.model.recipe, mnist.model.network, 0, ["</script><script>alert(1)</script>", *"123456789"])
    html = shiftlearn.playground.page(model, mnist.task, Check(1.0, 1, 0))
    assert json.loads(parts(html, "script")[0])["classes"][0] == "</script><script>alert(1)</script>"


def test_check_counts_the_samples_that_change_class(mnist):
    found = check(mnist.model, mnist.task)
    assert found.samples == 10000
    assert found.changed < 500  # of an untrained network, whose classes are close
    with torch.no_grad():
        exact = Model(mnist.model.recipe, build(mnist.model.recipe).eval(), 0)
        for layer in exact.network:
            layer.shift.copy_(torch.randint(-3, 127, layer.shift.shape) / 2**10)
            layer.shift[0] = 127 / 2**10
    assert check(exact, mnist.task).changed == 0  # its weights are levels already


@pytest.mark.parametrize(
    ("name", "settings", "part"),
    [
        ("mnist-conv", {}, "this one has convolutions (maps = [16, 32])"),
        (
            "iris",
            {"layers": [8, 5, 3]},
            "fully connected networks of mnist, fashion-mnist, digits; this one is of iris",
        ),
        ("xor", {"layers": [4, 5, 2]}, "this one is of xor"),
        ("fashion-edges", {}, "preprocess = 'edges'"),
        ("mnist", {"coding": "population", "layers": [4704, 5, 10]}, "coding = 'population'"),
    ],
)
def test_other_networks_are_refused(name, settings, part):
    recipe = recipes.override(recipes.read(name), settings)
    with pytest.raises(InputError) as error:
        require_images(Model(recipe, build(recipe), 0))
    assert part in str(error.value)


@pytest.fixture(scope="module")
def run(mnist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("playground") / "run"
    mnist.model.save(folder)
    return folder


def test_the_command_writes_the_page(run, mnist, tmp_path, call):
    out = tmp_path / "race.html"
    out.write_text("old")
    code, text, err = call("playground", run, "--out", out)
    assert (code, err) == (0, "")
    assert "test samples change their class" in text
    data = json.loads(parts(out.read_text(encoding="utf-8"), "script")[0])
    assert data["layers"] == json.loads(parts(mnist.html, "script")[0])["layers"]
    assert set(load_file(run / "weights.safetensors")) >= {"0.shift", "1.shift"}
    assert [path.name for path in tmp_path.iterdir()] == ["race.html"]


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(run, tmp_path, monkeypatch, call, stage):
    out = tmp_path / "race.html"
    out.write_text("old")

    def full(*arguments):
        raise OSError(28, "No space left on device", str(out))

    monkeypatch.setattr(os, stage, full)
    code, _, err = call("playground", run, "--out", out)
    assert code == 2
    assert err == f"shiftlearn: {out}: No space left on device\n"
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["race.html"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("nowhere", "--out", "x.html"), "no run folder 'nowhere'"),
        (("nowhere", "--out", "x.pdf"), "--out must end in .html, got 'x.pdf'"),
        (("nowhere", "--out", "no/x.html"), "the folder 'no' does not exist"),
        (("nowhere",), "--out"),
    ],
)
def test_a_mistake_gets_one_line(tmp_path, monkeypatch, call, arguments, part):
    monkeypatch.chdir(tmp_path)
    code, _, err = call("playground", *arguments)
    assert (code, len(err.splitlines())) == (2, 1)
    assert part in err
    assert list(tmp_path.iterdir()) == []


def test_an_unfit_run_is_refused_in_one_line(tmp_path, call):
    recipe = recipes.override(recipes.read("iris"), {"layers": [8, 5, 3]})
    Model(recipe, build(recipe), 0).save(tmp_path / "run")
    code, _, err = call("playground", tmp_path / "run", "--out", tmp_path / "x.html")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "this one is of iris" in err
    assert not (tmp_path / "x.html").exists()


def luminance(colour):
    values = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart(theme):
    """Contrast as WCAG 2 asks for it: 4.5 for text, 3 for what must be seen; and spike times differ in lightness."""
    style = (FOLDER / "style.css").read_text().split("@media")[0]
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)
    colours = {name: both[theme] for name, *both in pairs}
    for ink in ("ink", "muted"):
        for ground in ("page", "panel", "well"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["on-win"], colours["win"]) >= 4.5
    assert contrast(colours["panel"], colours["focus"]) >= 4.5
    for mark in ("edge", "focus", "charge", "win", "plus", "minus"):
        assert contrast(colours[mark], colours["panel"]) >= 3, mark
    ramp = [contrast(colours[f"time-{k}"], colours["panel"]) for k in range(5)]
    assert all(a > b * 1.2 for a, b in itertools.pairwise(ramp))
    assert ramp[-1] >= 2
