"""What is printed of a recipe is what it trains."""

from __future__ import annotations

import pytest

from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.nn import shift_layers
from shiftlearn.recipes.description import describe
from shiftlearn.recipes.network import network_name


def changed(name="mnist", **settings):
    return recipes.override(recipes.read(name), settings)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("mnist", {}, "784-800-10"),
        ("mnist-conv", {}, "28x28-16c5-p2-32c5-p2-512-10"),
        ("fashion-conv", {}, "2x28x28-16c5-p2-2304-400-10"),
        ("mnist-conv", {"pool": 1, "padding": 2, "kernel": 3}, "28x28-16c3-32c3-32768-10"),
        ("mnist-conv", {"layers": [0, 10]}, "?-16c5-p2-32c5-p2-?-10"),
        ("iris", {}, "?-10-?"),
        ("tca", {}, "501-400-22"),
    ],
)
def test_the_name_of_a_network(name, settings, expected):
    recipe = changed(name, **settings)
    assert network_name(recipe) == expected
    if 0 not in recipe.layers:
        *_, read_out = shift_layers(build(recipe))
        last = [str(n) for n in (read_out.in_features, read_out.out_features)]
        assert expected.split("-")[-2:] == last


def test_a_network_that_cannot_be_has_no_name():
    with pytest.raises(InputError, match="maps need a square image, got 783 values"):
        network_name(changed("mnist-conv", layers=[783, 10]))


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({}, "symmetric feedback (the gradient up to a factor where delays are 1)"),
        ({"rule": "exact"}, "symmetric feedback (the gradient)"),
        ({"rule": "shifting"}, "symmetric feedback (weight transport, but not the gradient)"),
        ({"rule": "of-my-own"}, "symmetric feedback (weight transport)"),
        ({"feedback": "random"}, "fixed random feedback (no weight transport)"),
        ({"feedback": "direct"}, "direct random feedback from the read-out (no weight transport)"),
        ({"feedback": "aligning"}, "aligning feedback (no weight transport)"),
        ({"feedback": "sign"}, "sign feedback (transports the signs of weights only)"),
        ({"feedback": "none"}, "no feedback to hidden layers"),
        ({"modulator": "reward", "exploration": 0.1}, "scalar reward, baseline mean, exploration 0.1, latency coding"),
        ({"loss": "published"}, ", published error, "),
        ({"readout": "t", "label_smoothing": 0}, ", cross-entropy in t, latency coding, "),
        ({"coding": "ink", "coding_levels": 4}, ", ink coding, values in 4 levels, "),
        ({"preprocess": "edges"}, ", preprocessing edges, "),
        ({"translate": 1, "deletion": 0.1}, ", moved by 1 px; deletion 0.1, "),
        ({"init": "data"}, ", weights fitted to data, "),
        ({"weight_decay": 1.5, "averaging": 0.9}, ", weight decay 1.5, averaged weights, "),
        ({"epochs": 1}, ", 1 epoch"),
        ({"dataset": "/data/my.csv"}, "my.csv: 784-800-10, "),
    ],
    ids=str,
)
def test_a_description_follows_the_settings(settings, part):
    text = describe(changed(**settings))
    assert part in text
    assert ("gradient" in text) == ("gradient" in part or not settings.keys() & {"rule", "feedback"})
    assert ("no weight transport" in text) == (settings.get("feedback") in ("random", "direct", "aligning"))


def test_spike_trains_have_no_coding():
    text = describe(recipes.read("tca"))
    assert "coding" not in text
    assert "ordinal cross-entropy in t, a cue at the end of each trial, 15 epochs" in text


@pytest.mark.parametrize("name", recipes.names())
def test_what_a_recipe_says_of_itself_leaves_settings_to_its_settings(name):
    text = recipes.read(name).description
    assert text.startswith("Settings ")
    assert not [
        word for word in ("normalized", "symmetric", "gradient", "cross-entropy", "-10", "averaged") if word in text
    ]
