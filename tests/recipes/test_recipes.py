"""Recipes: the files of the package, overrides, and what is said about bad settings."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.nn import EarliestSpikePool2d, ShiftConv2d, ShiftLinear, shift_layers
from shiftlearn.training.ensemble import Ensemble

MINIMAL = 'description = "mine"\ndataset = "mnist"\nlayers = [784, 10]\nepochs = 1\n'


@pytest.fixture(scope="module")
def mnist():
    return recipes.read("mnist")


def test_the_package_holds_these():
    mnist = "best aligning random direct shifting shifting-random augmented reward deep published conv conv-aligning"
    fashion = "mnist best aligning random direct shifting shifting-random reward edges conv conv-aligning"
    names = {"mnist", *(f"mnist-{end}" for end in mnist.split()), *(f"fashion-{end}" for end in fashion.split())}
    names |= {"breast-cancer", "digits", "iris", "iris-published", "table", "wine", "xor", "xor-published"}
    assert names | {"tca-published"} <= set(recipes.names())


@pytest.mark.parametrize("name", recipes.names())
def test_packaged_recipes_read_build_and_survive_json(name):
    recipe = recipes.read(name)
    assert recipes.from_dict(json.loads(json.dumps(recipe.as_dict())), name) == recipe
    assert recipes.override(recipe, {}) == recipe
    recipe = recipes.override(recipe, {"layers": [n or 5 for n in recipe.layers]})  # 0: what the data has
    layers = shift_layers(build(recipe))
    assert [layer.out_features for layer in layers] == [*recipe.maps, *recipe.layers[1:]]
    pathway = "none" if recipe.feedback == "direct" else recipe.feedback  # direct: from the read-out, past the layers
    assert {(layer.rule, layer.feedback) for layer in layers} == {(recipe.rule, pathway)}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("epochs", "7", 7),
        ("lr", "1e-3", 1e-3),
        ("beta", "2", 2.0),
        ("project_delays", "false", False),
        ("rule", "exact", "exact"),
        ("layers", "[784, 5, 10]", (784, 5, 10)),
        ("init_scale", "[20.0, 8]", (20.0, 8.0)),
        ("init_scale", "3", (3.0,)),
        ("maps", "[]", ()),
    ],
)
def test_overrides_are_read_like_toml(mnist, key, text, value):
    changed = recipes.override(mnist, {key: text})
    assert getattr(changed, key) == value
    assert type(getattr(changed, key)) is type(value)
    assert recipes.override(mnist, {key: value}) == changed
    assert {k for k, v in changed.as_dict().items() if v != mnist.as_dict()[k]} <= {key}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "betta",
            "1",
            r"unknown setting 'betta'\. Did you mean 'beta'\? Valid: averaging, baseline, batch, .*weight_decay\.",
        ),
        ("epochs", "2.5", "epochs must be a whole number, got 2.5"),
        ("epochs", "true", "epochs must be a whole number, got True"),
        ("epochs", "", "epochs must be a whole number, got ''"),
        ("epochs", "0", "epochs must be 1 or more, got 0"),
        ("batch", "0", "batch must be 1 or more, got 0"),
        ("lr", "fast", "lr must be a number, got 'fast'"),
        ("lr", "nan", "lr must be a number, got nan"),
        ("beta", "-1", "beta must be positive, got -1.0"),
        ("validation", "-1", "validation must be 0 or more, got -1"),
        ("layers", "[784]", "layers must be two or more sizes of 1 or more, got"),
        ("layers", "[784, 0, 10]", "layers must be two or more sizes of 1 or more, got"),
        ("layers", "[784, 10.0]", r"layers must be a list like \[784, 800, 10\], got"),
        (
            "feedback",
            "telepathy",
            "feedback must be one of symmetric, random, aligning, sign, none, direct, got 'telepathy'",
        ),
        ("coding", "morse", "coding must be one of latency, ink, on-off, population, binarised, got 'morse'"),
        ("baseline", "none", "baseline must be one of mean, confidence, got 'none'"),
        ("exploration", -0.5, r"exploration must be in \[0, 1\], got -0\.5"),
        ("schedule", "linear", "schedule must be one of geometric, cosine, got 'linear'"),
        ("translate", "-1", "translate must be 0 or more, got -1"),
        ("jitter", "-0.1", r"jitter must be 0 or more, got \(-0.1,\)"),
        ("deletion", "[0.0, 1.0]", r"deletion must be in \[0, 1\), got \(0.0, 1.0\)"),
        ("deletion", "[0.0, 0.1, 0.2]", "deletion must have 1 entry, or 2 .*, got 3"),
        ("homeostasis", "[1.2, -1.0]", "homeostasis must be 0 or more, got"),
        ("weight_decay", "-1", "weight_decay must be 0 or more, got -1.0"),
        ("averaging", "1", r"averaging must be in \[0, 1\), got 1.0"),
        ("loss", "mse", "loss must be one of cross-entropy, published, got 'mse'"),
        ("readout", "spikes", "readout must be one of z, t, got 'spikes'"),
        ("init", "guess", "init must be one of uniform, data, got 'guess'"),
        ("init_share", "1.0", r"init_share must be between 0 and 1, got \(1.0,\)"),
        ("init_share", "[0.5, 0.9, 0.9]", "init_share must have 1 entry, or 2 .*, got 3"),
        ("init_spread", "[0.2, 0.0]", "init_spread must be positive, got"),
        ("label_smoothing", "1", r"label_smoothing must be in \[0, 1\), got 1.0"),
        ("project_delays", "1", "project_delays must be true or false, got 1"),
        ("maps", "[8, 0]", "maps must be sizes of 1 or more, got"),
        ("kernel", "0", "kernel must be 1 or more, got 0"),
        ("pool", "0", "pool must be 1 or more, got 0"),
        ("padding", "-1", "padding must be 0 or more, got -1"),
        ("init_scale", "[1.0, 2.0, 3.0]", "init_scale must have 1 entry, or 2 .*, got 3"),
        ("description", 3, "description must be text, got 3"),
    ],
)
def test_bad_settings(mnist, key, value, message):
    with pytest.raises(InputError, match=message):
        recipes.override(mnist, {key: value})


@pytest.mark.parametrize("value", ['["a", "b,c"]', ["a", "b,c"], ("a", "b,c")])
def test_lists_of_text(mnist, value):
    changed = recipes.override(mnist, {"drop": value})
    assert changed.drop == ("a", "b,c")
    assert recipes.override(mnist, changed.as_dict()) == changed
    for wrong in ("a", "[1]", [None], 3):
        with pytest.raises(InputError, match="drop must be a list like "):
            recipes.override(mnist, {"drop": wrong})


def test_what_excludes_each_other(mnist):
    with pytest.raises(InputError, match="averaging needs delays that stay positive"):
        recipes.override(mnist, {"averaging": 0.9, "project_delays": False})
    with pytest.raises(InputError, match="jitter and deletion of spike trains are not made here"):
        recipes.override(recipes.read("tca"), {"jitter": 0.1})


def test_the_published_loss_reads_out_z(mnist):
    with pytest.raises(InputError, match="loss 'published' reads out z, got readout 't'"):
        recipes.override(mnist, {"loss": "published", "readout": "t"})


@pytest.mark.parametrize(
    ("key", "value"),
    [("lr", "inf"), ("beta", "inf"), ("homeostasis", "inf"), ("init_scale", "[8.0, nan]"), ("lr", "1" + 400 * "0")],
)
def test_numbers_that_are_not_finite_are_refused(mnist, key, value):
    with pytest.raises(InputError, match=key):
        recipes.override(mnist, {key: value})


@pytest.mark.parametrize("feedback", ["symmetric", "direct"])
def test_convolutions_come_between_image_and_layers(mnist, feedback):
    settings = {"layers": [1568, 30, 10], "maps": [3, 4], "kernel": 4, "padding": 1, "pool": 3, "coding": "on-off"}
    settings |= {"init_scale": [5, 6, 7, 8], "min_drive": 0.5, "rule": "exact", "feedback": feedback}
    network = build(recipes.override(mnist, settings))
    kinds = [nn.Unflatten, *2 * [ShiftConv2d, EarliestSpikePool2d], nn.Flatten, ShiftLinear, ShiftLinear]
    assert [type(module) for module in network] == kinds
    layers = shift_layers(network)  # 28 pixels, 27 windows, 9 after pooling, 8 windows, 2 after pooling
    assert [tuple(layer.shift.shape) for layer in layers] == [(2 * 16, 3), (3 * 16, 4), (4 * 2 * 2, 30), (30, 10)]
    assert [layer.init_scale for layer in layers] == [5, 6, 7, 8]
    assert {(layer.rule, layer.min_drive) for layer in layers} == {("exact", 0.5)}
    z = torch.arange(2 * 1568).reshape(2, 1568)
    assert torch.equal(
        network[0](z)[1, 1], z[1, 784:].view(28, 28)
    )  # the map of the inputs that are on for dark pixels
    without = build(recipes.override(mnist, {"maps": [3], "pool": 1, "layers": [784, 10], "init_scale": 8}))
    assert [type(module) for module in without] == [nn.Unflatten, ShiftConv2d, nn.Flatten, ShiftLinear]
    assert without[3].in_features == 3 * 24 * 24


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": [783, 10]}, "maps need a square image, got 783 values"),
        ({"layers": [1568, 10]}, "maps need a square image, got 1568 values"),
        ({"layers": [785, 10], "coding": "on-off"}, "maps need a square image, got 392 values"),
        ({"kernel": 29, "pool": 1}, "maps of 28 x 28 leave nothing after kernel 29, padding 0 and pool 1"),
        ({"maps": [2, 2, 2]}, "maps of 4 x 4 leave nothing after kernel 5, padding 0 and pool 2"),
        ({"pool": 25}, "maps of 28 x 28 leave nothing after kernel 5, padding 0 and pool 25"),
        ({"coding": "population"}, "maps need images, which coding 'population' does not give"),
        ({"dataset": "tca"}, "maps need images, which dataset 'tca' does not give"),
        ({"lr_scale": [1, 2]}, r"lr_scale must have 1 entry, or 3 \(one per layer of synapses\), got 2"),
        ({"init_scale": [1, 2]}, r"init_scale must have 1 entry, or 3 \(one per layer of synapses\), got 2"),
    ],
    ids=str,
)
def test_convolutions_that_do_not_fit(mnist, settings, message):
    base = {"layers": [784, 10], "maps": [2, 2], "init_scale": 8}
    with pytest.raises(InputError, match=message):
        build(recipes.override(mnist, base | settings))


def test_convolutions_are_no_ensemble(mnist):
    recipe = recipes.override(mnist, {"layers": [784, 10], "maps": [2, 2], "init_scale": 8})
    with pytest.raises(InputError, match=r"maps are for single networks, not for an ensemble, got \[2, 2\]"):
        Ensemble(recipe, [0, 1])


def test_a_recipe_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(MINIMAL)
    recipe = recipes.read(str(path))
    assert (recipe.description, recipe.layers, recipe.epochs, recipe.batch) == ("mine", (784, 10), 1, 128)


def test_paths_in_a_recipe_file_begin_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/plain").touch()
    paths = 'test_file = "../test.npz"\ntemplates = "~/t.mat"\n'
    for dataset, meant in (("own.csv", "sub/own.csv"), ("plain", "sub/plain"), ("./iris", "sub/iris")):
        (tmp_path / "sub/own.toml").write_text(MINIMAL.replace("mnist", dataset) + paths)
        recipe = recipes.read("sub/own.toml")
        assert recipe.dataset == str(tmp_path / meant)
        assert recipe.test_file == str(tmp_path / "sub/../test.npz")
        assert recipe.templates == str(tmp_path / "home/t.mat")


def test_paths_among_settings_begin_in_the_working_directory(mnist, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris").touch()
    assert recipes.override(mnist, {"dataset": "x.csv"}).dataset == str(tmp_path / "x.csv")
    assert recipes.override(mnist, {"dataset": "iris", "templates": ""}).dataset == "iris"  # the name, not the file
    assert recipes.override(mnist, {"dataset": "no-such-name"}).dataset == "no-such-name"
    assert recipes.override(mnist, {"epochs": 1}) == recipes.override(mnist, {"epochs": 1, "dataset": "mnist"})
    with pytest.raises(InputError, match="dataset must be text, got 3"):
        recipes.override(mnist, {"dataset": 3})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs = = 1", r"own\.toml is not valid TOML"),
        (b"\xff\xfe", r"own\.toml is not valid TOML"),
        (b"epochs = 1", r"own\.toml: the recipe lacks description, dataset, layers"),
        (MINIMAL.encode() + b"betta = 1", r"unknown setting 'betta'. Did you mean 'beta'"),
    ],
)
def test_bad_recipe_files(tmp_path, content, message):
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        recipes.read(str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", r"unknown recipe 'mnits'\. Did you mean 'mnist'\? Valid: breast-cancer, digits, fashion-aligning, "),
        ("none.toml", r"no recipe file 'none\.toml'"),
        ("", "unknown recipe ''"),
        ("runs/first", "unknown recipe 'runs/first'"),
    ],
)
def test_unknown_recipes(name, message):
    with pytest.raises(InputError, match=message):
        recipes.read(name)
