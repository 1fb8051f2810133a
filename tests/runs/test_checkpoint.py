"""Files of a run: atomic writes, and what is said about damaged ones."""

from __future__ import annotations

import json
import os
import re

import pytest
import safetensors.torch
import torch

import shiftlearn as sl
from shiftlearn import files, recipes
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.models.model import Model
from shiftlearn.models.stored import packed, read_tensors, write_config
from shiftlearn.runs import checkpoint
from shiftlearn.runs.checkpoint import CHECKPOINT, save_state

RECIPE = recipes.override(recipes.read("mnist"), {"layers": [784, 6, 10]})
PROGRESS = {"epoch": 2, "seconds": 1.5}


def fresh(seed):
    network = build(RECIPE, torch.Generator().manual_seed(seed))
    return network, torch.optim.Adam(network.parameters())


@pytest.fixture
def folder(tmp_path):
    """A folder with a model and with the checkpoint of an optimizer that has done a step."""
    network, optimizer = fresh(0)
    Model(RECIPE, network, seed=3).save(tmp_path)
    network(torch.rand(20, 784) + 1).sum().backward()
    optimizer.step()
    save_state(tmp_path, network, optimizer, PROGRESS)
    return tmp_path


class Half:
    """A file on a full disk: half of what is written arrives."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["fdopen", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch, step, error):
    path = tmp_path / "file"
    files.write(path, b"old")
    fdopen = os.fdopen

    def fail(*arguments):
        if step == "fdopen" and isinstance(error, OSError):
            return Half(fdopen(*arguments))
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(type(error)):
            files.write(path, b"new content")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_replaces_the_whole_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file"
    for content in (b"a longer content", b"short", b""):
        files.write(path, content)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]


def test_state_comes_back_bit_for_bit(folder):
    network, optimizer = fresh(1)
    assert checkpoint.load_state(folder, network, optimizer) == PROGRESS
    (folder / "copy").mkdir()
    save_state(folder / "copy", network, optimizer, PROGRESS)
    copy, original = (read_tensors(x / CHECKPOINT) for x in (folder / "copy", folder))
    assert copy[1] == original[1]
    assert copy[0].keys() == original[0].keys()
    assert all(torch.equal(copy[0][name], original[0][name]) for name in copy[0])
    assert len(optimizer.state_dict()["state"]) == 4


def test_without_a_checkpoint_nothing_changes(tmp_path):
    network, optimizer = fresh(0)
    before = [p.clone() for p in network.parameters()]
    assert checkpoint.load_state(tmp_path, network, optimizer) is None
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_load_refuses_what_is_no_run(tmp_path):
    with pytest.raises(InputError, match=r"no run folder .*nowhere"):
        sl.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"is not a run folder: it holds no config\.json"):
        sl.load(tmp_path)


def test_an_unfinished_run_says_how_to_go_on(tmp_path):
    write_config(tmp_path, RECIPE, 0)
    with pytest.raises(InputError, match="the run is not finished; go on with `shiftlearn train --resume") as error:
        sl.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def load_state(folder):
    network, optimizer = fresh(1)
    return checkpoint.load_state(folder, network, optimizer)


FILES = pytest.mark.parametrize(
    ("name", "load"), [("weights.safetensors", sl.load), ("checkpoint.safetensors", load_state)]
)


def refused(folder, name, load):
    with pytest.raises(InputError) as error:
        load(folder)
    assert str(folder / name) in str(error.value)
    return str(error.value)


@FILES
@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_tensors(folder, name, load, keep):
    path = folder / name
    path.write_bytes(path.read_bytes()[:keep])
    assert "damaged" in refused(folder, name, load)


@FILES
@pytest.mark.parametrize("byte", [0, 7, 9, 30, -3])  # the length, the header, the numbers
def test_a_flipped_bit(folder, name, load, byte):
    path = folder / name
    content = bytearray(path.read_bytes())
    content[byte] ^= 4
    path.write_bytes(content)
    refused(folder, name, load)


def rewrite(path, change, metadata=True):
    with safetensors.safe_open(path, framework="pt") as file:
        tensors, found = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    change(tensors)
    kept = {k: v for k, v in found.items() if k != "sha256"}
    path.write_bytes(packed(tensors, **(kept if metadata is True else metadata or {})))


@FILES
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda key: lambda t: t.update({key: torch.ones(11)}), r"1\.delay is \(\(11,\)"),
        (lambda key: lambda t: t.update({key: t[key].double()}), r"1\.delay is .*float64"),
        (lambda key: lambda t: t.pop(key), r"1\.delay is missing"),
        (lambda key: lambda t: t.update({key + "s": t[key].clone()}), r"1\.delays is .*nothing of that name"),
    ],
    ids=["shape", "dtype", "missing", "unknown"],
)
def test_tensors_that_do_not_fit(folder, name, load, change, message):
    rewrite(folder / name, change("network.1.delay" if name.startswith("checkpoint") else "1.delay"))
    assert re.search(f"does not fit its recipe: {message}", refused(folder, name, load))


@pytest.mark.parametrize("metadata", [None, {"progress": "{"}, {"progress": "[]"}, {"progress": '{"epoch": 1}'}])
def test_progress_that_cannot_be_read(folder, metadata):
    rewrite(folder / CHECKPOINT, lambda tensors: None, metadata)
    refused(folder, CHECKPOINT, load_state)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update({"optimizer.0.exp_avg": torch.zeros(3)}),
        lambda t: t.pop("optimizer.0.exp_avg"),
        lambda t: t.update({"optimizer.x.exp_avg": t.pop("optimizer.0.exp_avg")}),
        lambda t: [t.pop(key) for key in list(t) if key.startswith("optimizer.")],
    ],
    ids=["shape", "missing", "name", "none"],
)
def test_optimizer_tensors_that_do_not_fit(folder, change):
    rewrite(folder / CHECKPOINT, change)
    refused(folder, CHECKPOINT, load_state)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format": 1, "seed": 0}', b'{"seed": 0, "recipe": {}}']
)
def test_settings_that_cannot_be_read(folder, content):
    (folder / "config.json").write_bytes(content)
    refused(folder, "config.json", sl.load)


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("top", "format", 2),
        ("top", "seed", None),
        ("top", "seed", float("inf")),
        ("top", "seed", -1),
        ("recipe", "epochs", "many"),
        ("recipe", "beta", -1),
        ("recipe", "betta", 1),
    ],
)
def test_settings_that_are_wrong(folder, where, key, value):
    config = json.loads((folder / "config.json").read_text())
    (config if where == "top" else config["recipe"])[key] = value
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder, "config.json", sl.load)


def test_weights_of_another_recipe(folder):
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["layers"] = [784, 7, 10]
    (folder / "config.json").write_text(json.dumps(config))
    assert "does not fit its recipe: 0.delay" in refused(folder, "weights.safetensors", sl.load)
