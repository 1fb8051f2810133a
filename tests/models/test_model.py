"""Predictions, and the folder a model is saved to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import shiftlearn as sl
from shiftlearn import recipes
from shiftlearn.coding import binarised, latency, on_off
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.models.model import Model


def make(**settings):
    recipe = recipes.override(recipes.read("mnist"), {"layers": [784, 30, 10]} | settings)
    return Model(recipe, build(recipe, torch.Generator().manual_seed(0)).eval(), seed=3)


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture(scope="module")
def images(digits):
    return digits["test"][0][:40]


def test_predict_takes_the_forms_in_which_data_comes(model, images):
    labels = model.predict(images)
    assert labels.shape == (40,)
    assert labels.dtype == np.int64
    assert len(set(labels.tolist())) > 1
    flat = images.reshape(40, 784)
    for form in (flat, flat / 255, (flat / 255).astype("float32"), (flat / 255).tolist()):
        assert np.array_equal(model.predict(form), labels)
    for form in (images, flat, flat / 255, (flat / 255).astype("float32")):
        assert np.array_equal(model.predict(torch.from_numpy(form)), labels)
    assert np.array_equal(model.predict(np.asfortranarray(images)), labels)


@pytest.mark.parametrize("settings", [{}, {"preprocess": "edges"}], ids=["plain", "edges"])
def test_one_image_is_a_batch_of_one(images, settings):
    if settings:
        pytest.importorskip("skimage")
    model = make(**settings)
    expected = model.z_out(images[3:4])
    for form in (images[3], torch.from_numpy(images[3])):
        assert np.array_equal(model.z_out(form), expected)
    assert model.predict(images[3]).tolist() == model.predict(images[3:4]).tolist()
    assert model.predict_proba(images[3]).shape == (1, 10)


def test_predictions_do_not_depend_on_the_company(model, images):
    many = np.concatenate([images] * 26)
    assert np.array_equal(model.z_out(many), np.concatenate([model.z_out(images)] * 26))
    alone = np.concatenate([model.z_out(images[k : k + 1]) for k in range(5)])
    assert np.array_equal(alone, model.z_out(images[:5]))
    assert model.predict(images[:0]).shape == (0,)
    assert model.predict_proba(images[:0]).shape == (0, 10)


@pytest.mark.parametrize("settings", [{}, {"coding": "binarised", "beta": 1.0}])
def test_scores_sum_to_one_and_agree_with_predictions(images, settings):
    model = make(**settings)
    scores = model.predict_proba(images)
    assert scores.shape == (40, 10)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    times, beta = model.z_out(images).astype(float), model.recipe.beta
    weights = np.exp(-beta * (times - times.min(1, keepdims=True)))
    np.testing.assert_allclose(scores, weights / weights.sum(1, keepdims=True), rtol=1e-4, atol=1e-7)
    assert np.array_equal(scores.argmax(1), model.predict(images))


def test_silent_classes_score_nothing_and_silence_is_class_0(images):
    model = make()
    with torch.no_grad():
        model.network[1].shift[:, :4] = 0
    assert set(model.predict(images).tolist()).isdisjoint(range(4))
    assert (model.predict_proba(images)[:, :4] == 0).all()
    with torch.no_grad():
        model.network[1].shift.zero_()
    assert np.isinf(model.z_out(images)).all()
    assert model.predict(images).tolist() == 40 * [0]
    np.testing.assert_allclose(model.predict_proba(images), 0.1)


CONVOLUTIONS = {"layers": [784, 10], "maps": [4, 6], "init_scale": 8.0}


@pytest.mark.parametrize("coding", ["latency", "on-off", "binarised"])
def test_convolutions_see_the_image(images, coding):
    """From uint8 and floats alike: what a layer of the same weights makes of the encoded windows."""
    model = make(**CONVOLUTIONS | {"layers": [1568 if coding == "on-off" else 784, 10], "coding": coding})
    times = model.z_out(images)
    assert times.shape == (40, 10)
    assert np.isfinite(times).all()
    np.testing.assert_allclose(model.z_out((images / 255).astype("f4")), times, rtol=1e-5)
    encode = {"latency": latency, "on-off": on_off, "binarised": binarised}[coding]
    z = encode(torch.from_numpy(images).reshape(40, 784)).view(40, -1, 28, 28)
    with torch.no_grad():
        assert np.array_equal(model.network[1:](z).numpy(), times)


@pytest.mark.parametrize(
    "settings",
    [{}, {"feedback": "random"}, CONVOLUTIONS, CONVOLUTIONS | {"feedback": "direct"}],
    ids=["linear", "random", "convolutions", "direct"],
)
def test_save_and_load(images, tmp_path, settings):
    model = make(**settings)
    model.save(tmp_path / "deep" / "copy")
    again = sl.load(str(tmp_path / "deep" / "copy"))
    assert again.recipe == model.recipe
    assert again.seed == 3
    assert np.array_equal(again.z_out(images), model.z_out(images))
    assert np.array_equal(again.predict_proba(images), model.predict_proba(images))
    before, after = model.network.state_dict(), again.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_saving_onto_a_file_is_refused(model, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"path must be a folder, .*file' is a file"):
        model.save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 783)), r"shape \(n, 784\) or \(n, 28, 28\), got \(2, 783\)"),
        (np.zeros((2, 28, 27)), r"got \(2, 28, 27\)"),
        (np.zeros(784), r"got \(784,\)"),
        (np.zeros((2, 784), int), "uint8 .* floating .* got int64"),
        (np.zeros((2, 784), bool), "uint8 .* floating .* got bool"),
        (np.full((2, 784), 255.0), r"lie in \[0, 1\], got 255 to 255"),
        (np.full((2, 784), -0.1), r"lie in \[0, 1\], got -0.1 to -0.1"),
        (np.full((2, 784), np.nan), r"lie in \[0, 1\]"),
        (torch.zeros(2, 783), r"got \(2, 783\)"),
        (torch.full((2, 784), 255.0), r"lie in \[0, 1\], got 255 to 255"),
        (torch.zeros(2, 784, dtype=torch.int64), "uint8 .* floating .* got int64"),
        (torch.zeros(2, 784, dtype=torch.bool), "uint8 .* floating .* got bool"),
    ],
)
def test_predict_refuses(model, x, message):
    with pytest.raises(InputError, match=message):
        model.predict(x)


@pytest.mark.parametrize("project", [True, False])
@pytest.mark.parametrize("settings", [{}, {"maps": [2], "init_scale": [8.0]}], ids=["dense", "maps"])
def test_published_delays_are_those_of_recipes_that_do_not_project(project: bool, settings: dict) -> None:
    model = make(project_delays=project, **settings)
    layers = sl.nn.shift_layers(model.network)
    assert [layer.published_delays for layer in layers] == [not project] * model.recipe.synapses
