"""Recipes, coding, and the model that a run folder holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import shiftlearn as sl
from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.model import Model, build


@pytest.fixture(scope="module")
def model():
    recipe = recipes.override(recipes.read("mnist"), {"layers": [784, 30, 10]})
    return Model(recipe, build(recipe, torch.Generator().manual_seed(0)), seed=3)


@pytest.fixture(scope="module")
def digits():
    return sl.data.load("mnist", "test")[0][:40]


def test_predict_takes_the_forms_in_which_data_comes(model, digits):
    labels = model.predict(digits)
    assert labels.shape == (40,)
    assert labels.dtype == np.int64
    flat = digits.reshape(40, 784)
    for form in (flat, torch.from_numpy(flat), digits[:, ::-1][:, ::-1], flat / 255.0, (flat / 255).astype("float32")):
        assert np.array_equal(model.predict(form), labels)
    assert model.predict(digits[:0]).shape == (0,)


def test_scores_agree_with_predictions(model, digits):
    scores = model.predict_proba(digits)
    assert scores.shape == (40, 10)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    assert np.array_equal(scores.argmax(1), model.predict(digits))


def test_save_and_load(model, digits, tmp_path):
    model.save(tmp_path / "deep" / "copy")
    again = sl.load(tmp_path / "deep" / "copy")
    assert again.recipe == model.recipe
    assert again.seed == 3
    assert np.array_equal(again.spike_times(digits), model.spike_times(digits))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be a folder"):
        model.save(tmp_path / "file")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 783)), r"shape \(n, 784\) or \(n, 28, 28\), got \(2, 783\)"),
        (np.zeros(784), r"got \(784,\)"),
        (np.zeros((2, 784), int), "uint8 .* floating .* got int64"),
        (np.full((2, 784), 255.0), r"lie in \[0, 1\], got 255 to 255"),
        (np.full((2, 784), np.nan), r"lie in \[0, 1\]"),
    ],
)
def test_predict_refuses(model, x, message):
    with pytest.raises(InputError, match=message):
        model.predict(x)


def test_load_refuses(tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        sl.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no config\.json"):
        sl.load(tmp_path)


def test_latency_coding():
    grey = torch.arange(256, dtype=torch.uint8)
    z = sl.coding.latency(grey, 2.0)
    assert z[255] == 1
    assert z[0].item() == pytest.approx(math.exp(2))
    assert (z.diff() < 0).all()
    torch.testing.assert_close(z, sl.coding.latency(grey.float() / 255, 2.0), rtol=1e-6, atol=0)
    with pytest.raises(InputError, match="exponent must be positive, got 0"):
        sl.coding.latency(grey, 0)
    with pytest.raises(InputError, match="uint8"):
        sl.coding.latency(grey.int())


def test_binarised_coding():
    z = sl.coding.binarised(torch.tensor([0, 127, 128, 255], dtype=torch.uint8))
    weak, strong = math.exp(1 - 2.3), math.exp(1 - 0.01)
    assert z.tolist() == pytest.approx([weak, weak, strong, strong])


@pytest.mark.parametrize("name", recipes.names())
def test_packaged_recipes(name):
    recipe = recipes.read(name)
    assert recipes.from_dict(recipe.as_dict(), name) == recipe
    assert [layer.out_features for layer in build(recipe)] == list(recipe.layers[1:])


def test_overrides_are_read_like_toml():
    text = {"layers": "[784, 5, 10]", "lr": "1e-3", "epochs": "7", "project_delays": "false", "rule": "exact"}
    recipe = recipes.override(recipes.read("mnist"), text | {"init_scale": "3"})
    assert (recipe.layers, recipe.lr, recipe.epochs, recipe.project_delays) == ((784, 5, 10), 1e-3, 7, False)
    assert (recipe.rule, recipe.init_scale) == ("exact", (3.0,))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("betta", "1", "unknown setting 'betta'. Did you mean 'beta'. Valid: batch, beta"),
        ("epochs", "2.5", "epochs must be a whole number, got 2.5"),
        ("epochs", "0", "epochs must be 1 or more, got 0"),
        ("lr", "fast", "lr must be a number, got 'fast'"),
        ("layers", "[784]", "layers must be two or more sizes"),
        ("feedback", "telepathy", "feedback must be one of symmetric, random, sign, none, got 'telepathy'"),
        ("label_smoothing", "1", r"label_smoothing must be in \[0, 1\), got 1.0"),
        ("project_delays", "1", "project_delays must be true or false, got 1"),
        ("init_scale", "[1.0, 2.0, 3.0]", "init_scale must have 1 entry, or 2"),
    ],
)
def test_bad_settings(key, value, message):
    with pytest.raises(InputError, match=message):
        recipes.override(recipes.read("mnist"), {key: value})


def test_recipe_files(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('description = "mine"\ndataset = "mnist"\nlayers = [784, 10]\nepochs = 1\n')
    assert recipes.read(str(path)).layers == (784, 10)
    path.write_text("epochs = = 1")
    with pytest.raises(InputError, match="not valid TOML"):
        recipes.read(str(path))
    path.write_text("epochs = 1")
    with pytest.raises(InputError, match="lacks description, dataset, layers"):
        recipes.read(str(path))
    with pytest.raises(InputError, match=r"no recipe file .*none\.toml"):
        recipes.read(str(tmp_path / "none.toml"))
