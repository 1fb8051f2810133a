"""A user's files: what is read from them, that every bad one is named, and the command that classifies them."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import shiftlearn as sl
from shiftlearn import data, recipes
from shiftlearn.cli.predict import predict
from shiftlearn.data.images.idx import header
from shiftlearn.data.samples import read_samples
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.models.model import Model

PICTURE = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
SEVERAL = np.random.default_rng(1).integers(0, 256, (5, 28, 28), dtype=np.uint8)


def read(*paths, features=784, shape=(28, 28)):
    return list(read_samples([str(path) for path in paths], features, shape))


def picture(path, array=PICTURE, mode=None, **options):
    """A picture of an array, converted to a mode."""
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def npy(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize(("suffix", "mode"), [(s, "L") for s in ("png", "bmp", "gif", "PGM", "tiff")]
    + [("png", mode) for mode in ("RGB", "RGBA", "LA", "P")])  # fmt: skip
def test_pictures_are_read_as_they_are(tmp_path, suffix, mode):
    ((name, values),) = read(picture(tmp_path / f"digit.{suffix}", mode=mode))
    assert name == f"digit.{suffix}"
    assert values.dtype == np.uint8
    assert np.array_equal(values, PICTURE.reshape(784))


def test_black_and_white_and_colours(tmp_path):
    ((_, values),) = read(picture(tmp_path / "bits.png", (PICTURE > 127).astype(np.uint8) * 255, mode="1"))
    assert np.array_equal(values, np.where(PICTURE > 127, 255, 0).reshape(784))
    green = np.zeros((28, 28, 3), np.uint8)
    green[..., 1] = 200
    ((_, values),) = read(picture(tmp_path / "green.png", green))
    assert set(values.tolist()) == {round(0.587 * 200)}


@pytest.mark.parametrize("deep", [PICTURE.astype(np.uint16) * 257, PICTURE.astype(np.uint16) * 256 + 100])
def test_16_bits_are_scaled(tmp_path, deep):
    deep[0, :3] = 0, 255, 65535
    ((_, values),) = read(picture(tmp_path / "deep.png", deep))
    assert values.dtype == np.uint8
    assert values[:3].tolist() == [0, 1, 255]
    assert np.array_equal(values, np.round(deep.reshape(784) / 257))


def test_transparency_is_black(tmp_path):
    layers = np.full((28, 28, 2), 255, np.uint8)
    layers[:7, :, 1], layers[7:14, :, 1] = 0, 51
    ((_, values),) = read(picture(tmp_path / "alpha.png", layers))
    assert values.reshape(28, 28)[[0, 7, 14]].tolist() == [[0] * 28, [51] * 28, [255] * 28]
    white = np.full((28, 28), 255, np.uint8)
    ((_, values),) = read(picture(tmp_path / "key.png", white, transparency=255))
    assert not values.any()


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "a.idx", "t10k-images-idx3-ubyte.gz", "a.idx3-ubyte.gz"])
def test_idx_files(tmp_path, name):
    content = header(SEVERAL.shape) + SEVERAL.tobytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    found = read(tmp_path / name)
    assert [sample for sample, _ in found] == [f"{name}[{k}]" for k in range(5)]
    assert np.array_equal([values for _, values in found], SEVERAL.reshape(5, 784))


def test_the_test_set_is_a_file_like_any_other(mnist_files):
    found = read(next(mnist_files.glob("t10k-images*")))
    assert len(found) == 10_000
    assert found[9_999][0].endswith("[9999]")
    assert np.array_equal([values for _, values in found[:9]], data.load("mnist", "test")[0][:9].reshape(9, 784))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", ">f8"])
@pytest.mark.parametrize("shape", [(784,), (28, 28), (5, 784), (5, 28, 28), (1, 28, 28)])
def test_arrays(tmp_path, shape, dtype, order):
    source = (SEVERAL if shape[0] == 5 else PICTURE).reshape(shape)
    array = np.asarray(source if dtype == "uint8" else source / 255, dtype, order=order)
    found = read(npy(tmp_path / "x.npy", array))
    assert [name for name, _ in found] == ([f"x.npy[{k}]" for k in range(5)] if shape[0] == 5 else ["x.npy"])
    assert all(values.dtype == (np.uint8 if dtype == "uint8" else np.float32) for _, values in found)
    assert np.array_equal([values for _, values in found], array.reshape(-1, 784).astype(np.float32))


def test_a_model_without_images_takes_arrays_alone(tmp_path):
    array = np.linspace(0, 1, 6).reshape(2, 3)
    found = read(npy(tmp_path / "x.npy", array), features=3, shape=None)
    assert np.array_equal([values for _, values in found], array.astype(np.float32))
    with pytest.raises(InputError, match=r"x\.png: is a file of images; this model takes 3 values"):
        read(picture(tmp_path / "x.png"), features=3, shape=None)
    with pytest.raises(InputError, match=r"y\.npy: has shape \(28, 28\), expected \(3,\), or"):
        read(npy(tmp_path / "y.npy", PICTURE), features=3, shape=None)


def test_files_of_one_name_are_told_apart(tmp_path):
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    for path in paths:
        path.parent.mkdir()
        picture(path)
    assert [name for name, _ in read(*paths)] == [str(path) for path in paths]
    assert [name for name, _ in read(paths[0])] == ["x.png"]


def refused(path, *parts):
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    for part in parts:
        assert re.search(part, message), message


def test_another_size_is_refused(tmp_path):
    refused(picture(tmp_path / "x.png", PICTURE[:20]), r"20 x 28 pixels, expected 28 x 28 .*white on black")
    (tmp_path / "x.idx").write_bytes(header((1, 28, 20)) + bytes(560))
    refused(tmp_path / "x.idx", r"28 x 20 pixels, expected 28 x 28 .*white on black")
    for array in (np.zeros(783), np.zeros((28, 27)), np.zeros((0, 784)), np.zeros((2, 2, 28, 28)), np.zeros(())):
        expected = r"expected \(784,\) or \(28, 28\), or 1 or more of these"
        refused(npy(tmp_path / "x.npy", array), f"has shape {re.escape(str(array.shape))}, {expected}")


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (np.zeros(784, int), "int64, expected uint8"),
        (np.zeros(784, bool), "bool, expected uint8"),
        (np.zeros(784, complex), "complex128, expected uint8"),
        (np.zeros(784, "V9"), "expected uint8"),
        (np.full(784, None), "object, expected uint8"),
        (np.zeros(784, [("a", "f4")]), "expected uint8"),
        (np.full(784, 255.0), "values from 255 to 255, expected floats from 0 to 1"),
        (np.full(784, -1e-9), "values from -1e-09"),
        (np.where(np.arange(784) == 700, np.nan, 0), "holds NaN"),
        (np.where(np.arange(784) == 700, np.inf, 0), "values from 0 to inf"),
    ],
)
def test_other_values_are_refused(tmp_path, array, part):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    refused(tmp_path / "x.npy", part)


def huge(shape, version=(1, 0)):
    """An array's header without the array."""
    stream = io.BytesIO()
    write = np.lib.format.write_array_header_1_0 if version == (1, 0) else np.lib.format.write_array_header_2_0
    write(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("shape", [(2**33, 784), (2**62, 784), (-1, 784), (-1, -784)])
def test_a_header_is_not_believed(tmp_path, shape, version):
    (tmp_path / "x.npy").write_bytes(huge(shape, version) + bytes(800))
    refused(tmp_path / "x.npy", "is cut off or damaged: has [0-9]+ bytes" if shape[0] > 0 else "has shape")


def whole(kind):
    stream = io.BytesIO()
    np.save(stream, PICTURE) if kind == "npy" else Image.fromarray(PICTURE).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["png", "bmp", "jpeg", "npy"])
def test_a_file_cut_off_is_refused(tmp_path, kind):
    content, path = whole(kind), tmp_path / f"x.{kind}"
    path.write_bytes(content)
    assert len(read(path)) == 1
    for length in [0, 1, 5, *range(6, len(content) - 4, 61), len(content) - 5]:
        path.write_bytes(content[:length])
        refused(path, "empty" if length == 0 else "")


def test_damage_is_refused(tmp_path):
    path, content = tmp_path / "x.png", whole("png")
    for position in range(8, len(content) - 12, 37):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        refused(path)
    path = npy(tmp_path / "long.npy", PICTURE)
    path.write_bytes(path.read_bytes() + b"more")
    refused(path, "damaged")
    for content in (b"\x93NUMPY\x01\x00\x08\x00((((((((", b"\x93NUMPY\x07\x00", b"PK\x03\x04", b"\x80\x04N."):
        path.write_bytes(content)
        refused(path, r"cannot be read as an \.npy file \(.+\)")


def bomb(side):
    """A small PNG file whose header claims side x side pixels."""
    content = whole("png")
    start = content[12:16] + struct.pack(">II", side, side) + content[24:29]
    return content[:12] + start + struct.pack(">I", zlib.crc32(start)) + content[33:]


@pytest.mark.parametrize("side", [10_000, 40_000])  # pillow warns of the one and refuses the other
def test_a_decompression_bomb_is_not_decoded(tmp_path, monkeypatch, side):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    (tmp_path / "x.png").write_bytes(bomb(side))
    refused(tmp_path / "x.png", r"exceeds limit of \d+ pixels")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "is a folder, expected a file")
    refused(tmp_path / "none.png", "No such file")
    (tmp_path / "notes.txt").write_text("3")
    refused(tmp_path / "notes.txt", r"unknown kind, expected \.npy, .*\.png, .*ubyte\.gz")
    (tmp_path / "text.png").write_text("3")
    refused(tmp_path / "text.png", r"cannot be read as an image \(cannot identify")
    (tmp_path / "labels.idx").write_bytes(header((2,)) + b"12")
    refused(tmp_path / "labels.idx", "holds labels")
    frames = [Image.fromarray(image) for image in SEVERAL]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    refused(tmp_path / "film.gif", "holds several images")
    Image.fromarray(PICTURE.astype(np.float32)).save(tmp_path / "float.tiff")
    refused(tmp_path / "float.tiff", "32-bit pixels")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a model, not trained, of which classes above 7 are silent."""
    recipe = recipes.override(recipes.read("mnist"), {"layers": [784, 10], "init_scale": [20.0], "dataset": "mnist"})
    model = Model(recipe, build(recipe, torch.Generator().manual_seed(0)).eval(), seed=0)
    with torch.no_grad():
        model.network[0].shift[:, 8:] = 0
    folder = tmp_path_factory.mktemp("model") / "run"
    model.save(folder)
    return folder


def answers(capsys, run, *files):
    predict(str(run), [str(file) for file in files], as_json=True)
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))


def test_json_says_what_the_model_says(tmp_path, capsys, run):
    many = npy(tmp_path / "many.npy", SEVERAL)
    soft = npy(tmp_path / "soft.npy", (SEVERAL[:2] / 255).astype("float32"))
    found = answers(capsys, run, many, soft, picture(tmp_path / "x.png"))
    assert [row["sample"] for row in found] == [
        *(f"many.npy[{k}]" for k in range(5)), "soft.npy[0]", "soft.npy[1]", "x.png",
    ]  # fmt: skip
    model, images = sl.load(run), np.concatenate([SEVERAL, SEVERAL[:2], PICTURE[None]])
    times, labels = model.z_out(images), model.predict(images)
    assert [row["label"] for row in found] == labels.tolist()
    assert [row["class"] for row in found] == [str(label) for label in labels]
    assert all(row.keys() == {"sample", "class", "label", "score", "z", "t"} for row in found)
    for row, z, scores in zip(found, times, model.predict_proba(images), strict=True):
        assert row["z"] == pytest.approx(z.min(), rel=1e-6)
        assert row["t"] == pytest.approx(math.log(z.min()), rel=1e-6)
        assert row["score"] == pytest.approx(scores.max(), rel=1e-5)
    assert answers(capsys, run, tmp_path / "x.png") == found[-1:]


@pytest.fixture
def mute(run, tmp_path):
    """The folder of a model that never answers."""
    model = sl.load(run)
    with torch.no_grad():
        model.network[0].shift.zero_()
    model.save(tmp_path / "mute")
    return tmp_path / "mute"


def test_silence(tmp_path, capsys, mute):
    path = picture(tmp_path / "x.png")
    (row,) = answers(capsys, mute, path)
    assert row == {"sample": "x.png", "class": "0", "label": 0, "score": pytest.approx(0.1), "z": None, "t": None}
    predict(str(mute), [str(path)], as_json=False)
    assert "silent" in capsys.readouterr().out


def test_a_table_in_a_pipe_is_whole_and_plain(tmp_path, run):
    name = f"[red]{'long' * 30}\n\x1b[31m.png"
    picture(tmp_path / name)
    script = f"from shiftlearn.cli.predict import predict; predict({str(run)!r}, [{str(tmp_path / name)!r}], False)"
    setting = {**os.environ, "COLUMNS": "40", "FORCE_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=setting, check=False, timeout=120)
    out = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\x1b" not in out
    assert f"[red]{'long' * 30}\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m.png" in out
    assert all(heading in out for heading in ("sample", "class", "score", "spike time"))
    z = sl.load(run).z_out(PICTURE[None]).min()
    assert f" {math.log(z):.4f} " in out


def test_nothing_is_printed_before_all_files_are_read(tmp_path, capsys, run):
    good = picture(tmp_path / "good.png")
    with pytest.raises(InputError, match=r"bad\.png"):
        predict(str(run), [str(good), str(tmp_path / "bad.png")], as_json=False)
    with pytest.raises(InputError, match="one file of samples or more"):
        predict(str(run), [], as_json=False)
    with pytest.raises(InputError, match="no run folder"):
        predict(str(tmp_path / "none"), [str(good)], as_json=False)
    assert capsys.readouterr() == ("", "")
