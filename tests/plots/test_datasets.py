"""Pictures of samples: which are drawn, in what colours, and the command that writes them."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from PIL import Image

from shiftlearn import cli, data
from shiftlearn.errors import InputError
from shiftlearn.plots import datasets as module
from shiftlearn.plots.datasets import MOST, colours, grid, show

PALE, DARK, BLACK = (255, 251, 210), (34, 26, 74), (0, 0, 0)


def luminance(rgb):
    """Relative, of sRGB."""
    x = np.asarray(rgb) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)


def pixels(picture):
    return np.asarray(picture.convert("RGB"))


def has(picture, image, scale=4):
    """Whether the RGB image (rows, columns, 3), enlarged, is somewhere in the picture."""
    large = np.repeat(np.repeat(image, scale, 0), scale, 1)
    where = np.lib.stride_tricks.sliding_window_view(pixels(picture), large.shape[:2], axis=(0, 1))
    corner = np.argwhere((where[..., 0, 0] == large[0, 0]).all(-1) & (where[..., -1, -1] == large[-1, -1]).all(-1))
    return any(np.array_equal(where[y, x].transpose(1, 2, 0), large) for y, x in corner)


def grey(image):
    return np.repeat(image[..., None], 3, axis=2)


@pytest.fixture
def loaded(monkeypatch, digits):
    """Small splits instead of the whole ones."""
    monkeypatch.setattr(module, "load", lambda name, split, data_dir=None: digits[split])
    return digits


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """The command ``data`` within this process and an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["shiftlearn", "data", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capsys.readouterr()

    return call


def test_earlier_is_lighter_and_silence_is_black():
    z = np.exp(np.linspace(0, 2, 50, dtype=np.float32))
    rgb = colours(z, 0.0, 2.0)
    assert (rgb.shape, rgb.dtype) == ((50, 3), np.uint8)
    assert (tuple(rgb[0]), tuple(rgb[-1])) == (PALE, DARK)
    assert (np.diff(luminance(rgb)) < 0).all()
    silent = colours(np.array([[np.inf]], np.float32), 0.0, 2.0)
    assert silent.tolist() == [[list(BLACK)]]
    assert luminance(silent[0, 0]) < luminance(rgb[-1])


def test_colours_are_even_in_time_and_stop_at_the_ends():
    middle = colours(np.array([np.e, 0.01, 100.0], np.float32), 0.0, 2.0)
    assert middle[0].tolist() == [207, 68, 84]
    assert (tuple(middle[1]), tuple(middle[2])) == (PALE, DARK)
    same = colours(np.ones((2, 2), np.float32), 0.0, 0.0)
    assert (same == same[0, 0]).all()


def test_a_picture_holds_images_and_spike_times():
    images = np.arange(2 * 28 * 28, dtype=np.int64).reshape(2, 28, 28).astype(np.uint8)
    z = np.exp(2 - images / 127.5).astype(np.float32)
    z[1, :3] = np.inf
    picture = grid(images, z, ["one", "two"])
    assert picture.mode == "RGB"
    first, last = np.log(z.min()), np.log(z[np.isfinite(z)].max())
    for k in range(2):
        assert has(picture, grey(images[k]))
        assert has(picture, colours(z[k], first, last))
    assert not has(picture, grey(images[0].T))


def test_the_colours_span_the_levels_that_are_given():
    images = np.zeros((1, 28, 28), np.uint8)
    z = np.full((1, 28, 28), np.e, np.float32)
    picture = grid(images, z, ["x"], levels=np.exp(np.array([0, 2], np.float32)))
    assert has(picture, colours(z[0], 0.0, 2.0))


def test_silence_is_in_the_legend_where_there_is_any():
    images = np.full((1, 28, 28), 255, np.uint8)
    z = np.ones((1, 28, 28), np.float32)
    z[0, 0, 0] = np.e
    below = slice(190, None)  # the samples are above
    assert not (pixels(grid(images, z, ["x"]))[below] == BLACK).all(-1).any()
    z[0, 1, 1] = np.inf
    assert (pixels(grid(images, z, ["x"]))[below] == BLACK).all(-1).any()
    assert grid(images, np.full_like(z, np.inf), ["x"]).width > 200


def test_titles_names_and_notes_are_written_and_cut():
    images, z = np.zeros((1, 28, 28), np.uint8), np.ones((1, 28, 28), np.float32)
    plain = grid(images, z, [""])
    for arguments in ({"names": ["Coat"]}, {"title": "T"}, {"subtitle": "S"}, {"notes": ["#1"]}):
        picture = grid(images, z, **{"names": [""], **arguments})
        assert picture.size == plain.size
        assert not np.array_equal(pixels(picture), pixels(plain))
    long = pixels(grid(images, z, ["W" * 200]))
    changed = np.argwhere((long != pixels(plain)).any(-1))
    assert changed[:, 1].max() <= 24 + 2 * 112 + 4
    assert grid(images, z, [""], title="W" * 200).width > plain.width


@pytest.mark.parametrize("count", [1, 2, 7, 25, 60])
def test_all_samples_are_in_a_picture_of_bearable_shape(loaded, count):
    picture = show("mnist", "train", count)
    chosen = np.random.default_rng(0).choice(1000, count, replace=False)
    for k in chosen[[0, -1]]:
        assert has(picture, grey(loaded["train"][0][k]))
    assert 0.6 < picture.width / picture.height < 2


def test_the_seed_chooses_and_split_and_coding_count(loaded):
    first = pixels(show("mnist", "train", 4, seed=0))
    assert np.array_equal(first, pixels(show("mnist", "train", 4, seed=0)))
    for other in ({"seed": 1}, {"split": "test"}, {"coding": "binarised"}, {"exponent": 3.0}):
        picture = pixels(show("mnist", **{"split": "train", "count": 4, **other}))
        assert picture.shape != first.shape or not np.array_equal(picture, first)


def test_latency_is_drawn_as_it_is_coded(loaded):
    (k,) = np.random.default_rng(5).choice(1000, 1, replace=False)
    image = loaded["train"][0][k]
    z = np.exp(2 * (1 - image / 255)).astype(np.float32)
    assert has(show("mnist", "train", 1, seed=5), colours(z, 0.0, 2.0))


def test_edges_are_what_is_coded(loaded):
    pytest.importorskip("skimage", reason="installed without the extra edges")
    from shiftlearn.coding.edges import edges

    (k,) = np.random.default_rng(5).choice(1000, 1, replace=False)
    image = loaded["train"][0][k]
    picture = show("mnist", "train", 1, seed=5, preprocess="edges")
    assert has(picture, grey(image))
    assert has(picture, np.where(edges(image[None])[0][..., None] > 0, PALE, DARK).astype(np.uint8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, f"count must be 1 to {MOST}, got 0"),
        ({"count": MOST + 1}, f"count must be 1 to {MOST}, got {MOST + 1}"),
        ({"split": "test", "count": 301}, "count must be at most 300, the test samples of mnist, got 301"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"coding": "latencie"}, r"unknown coding 'latencie'\. Did you mean 'latency'\?"),
        ({"exponent": 0.0}, "exponent must be positive and finite"),
        ({"preprocess": "edge"}, r"unknown preprocess 'edge'\. Did you mean 'edges'\? Valid: edges, none\."),
    ],
)
def test_bad_settings(loaded, settings, message):
    with pytest.raises(InputError, match=message):
        show("mnist", **settings)


def test_the_command_writes_the_picture(call, tmp_path, loaded):
    code, out, err = call("show", "mnist", "--split", "test", "--count", "3", "--seed", "4", "--out", "grid.png")
    assert (code, err) == (0, "")
    assert out.startswith("grid.png: 3 samples of mnist (test), ")
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.format == "PNG"
        assert np.array_equal(pixels(picture), pixels(show("mnist", "test", 3, seed=4)))
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]


def test_a_failure_leaves_the_old_picture(call, tmp_path, loaded, monkeypatch):
    (tmp_path / "grid.png").write_bytes(b"old")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    code, _, err = call("show", "mnist", "--out", "grid.png")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "No space left on device" in err
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("grid.png", b"old")]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("mnits", "--out", "x.png"), "unknown dataset 'mnits'. Did you mean 'mnist'?"),
        (("mnist", "--out", "x.png", "--split", "tests"), "unknown split 'tests'. Did you mean 'test'?"),
        (("mnist", "--out", "x.png", "--count", "0"), "count must be 1 to"),
        (("mnist", "--out", "x.png", "--count", "60001"), "count must be 1 to"),
        (("mnist", "--out", "x.jpg"), "--out must end in .png, got 'x.jpg'"),
        (("mnist", "--out", "png"), "--out must end in .png"),
        (("mnist", "--out", "no/x.png"), "--out: the folder 'no' does not exist"),
        (("mnist",), "--out"),
        (("--out", "x.png"), "dataset"),
        (("mnist", "--out", "x.png", "--data-dir", "no/such/folder"), "no/such/folder"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else "",
)
def test_a_mistake_gets_one_line_and_no_file(call, tmp_path, arguments, part):
    code, _, err = call("show", *arguments)
    assert (code, len(err.splitlines())) == (2, 1)
    assert part.lower() in err.lower()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_called_like_a_picture_is_refused(call, tmp_path):
    (tmp_path / "x.png").mkdir()
    code, _, err = call("show", "mnist", "--out", "x.png")
    assert code == 2
    assert "--out must be a file, 'x.png' is a folder" in err


def test_the_folder_of_the_data_may_be_named_before_the_subcommand(call):
    code, out, err = call("--data-dir", "no/such/folder", "show", "mnist", "--out", "x.png")
    assert (code, out) == (2, "")
    assert "no/such/folder" in err


def test_without_a_subcommand_the_datasets_are_listed(call):
    code, out, _ = call()
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[::2]] == [*data.DATASETS, "tables"]
    assert "shwo" in call("shwo")[2]
