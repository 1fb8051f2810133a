"""Small files that ask for much memory or time, that run a program, or that name places elsewhere."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from formats import ARRAYS, CONFIG, RECIPE, network

from shiftlearn import recipes
from shiftlearn.data.images.idx import header, read_idx
from shiftlearn.data.samples import read_samples
from shiftlearn.data.spike_trains import files as spike_files
from shiftlearn.data.spike_trains import sets
from shiftlearn.data.spike_trains.files import read_trials
from shiftlearn.data.tables.table import read_csv
from shiftlearn.errors import InputError
from shiftlearn.files import write
from shiftlearn.models.model import load
from shiftlearn.models.stored import packed, read_config
from shiftlearn.runs.checkpoint import load_state
from shiftlearn.runs.results import read_log, read_metrics


@pytest.fixture
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25


class Program:
    """What pickle would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "weights.safetensors", "checkpoint.safetensors"])
def test_no_pickle_is_run(tmp_path: Path, name: str) -> None:
    programs = np.array([Program(tmp_path / "ran")] * 3, dtype=object)
    path = tmp_path / name
    path.write_bytes(pickle.dumps(programs))
    (tmp_path / "config.json").write_bytes(CONFIG)
    if name == "x.npy":
        np.save(path, programs, allow_pickle=True)
    elif name == "x.npz":
        np.savez(path, **(ARRAYS | {"times": programs}))
    reads: dict[str, Callable[[], Any]] = {
        "x.npy": lambda: list(read_samples([str(path)], 784, (28, 28))),
        "x.npz": lambda: read_trials(path),
        "weights.safetensors": lambda: load(tmp_path),
        "checkpoint.safetensors": lambda: load_state(tmp_path, *network()),
    }
    with pytest.raises(InputError, match=name):
        reads[name]()
    assert not (tmp_path / "ran").exists()


def npz(path: Path, times: bytes) -> Path:
    """Trials whose array ``times`` is what is given."""
    np.savez(path, **{name: x for name, x in ARRAYS.items() if name != "times"})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("times.npy", times)
    return path


def npy(count: int, content: bytes) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (count,)})
    return file.getvalue() + content


@pytest.mark.usefixtures("little_memory")
def test_zip_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path / "x.npz", npy(2**20, bytes(2**23)))
    monkeypatch.setattr(spike_files, "_LARGEST", 2**22)
    with pytest.raises(InputError, match=r"x\.npz: unpacks to \d+ bytes, more than 4194304 and 20 times its own size"):
        read_trials(path)
    with pytest.raises(InputError, match=r"times: is cut off or damaged: has \d+ bytes, 8796093022336 by its header"):
        read_trials(npz(tmp_path / "y.npz", npy(2**40, bytes(24))))


def test_archives_of_another_kind(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", npy(3, bytes(24)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../elsewhere.npy", npy(3, bytes(24)))
    with pytest.raises(InputError, match=r"holds '\.\./\.\./elsewhere'"):
        read_trials(path)
    assert list(tmp_path.parent.rglob("elsewhere.npy")) == []
    content = bytearray(npz(tmp_path / "y.npz", npy(3, bytes(24))).read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # bit 0 of the flags: encrypted
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            content[start + at] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="encrypted"):
        read_trials(path)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("size", [28, 60_000])
def test_png_bombs(tmp_path: Path, size: int) -> None:
    """Of a picture that declares few pixels and holds many, and of one that declares as many as it holds."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0))
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**24)))
    data = chunk(b"IDAT", zlib.compress(bytes(2**24))) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(start + data)
    (tmp_path / "y.png").write_bytes(start + text + data)
    for name in ("x.png", "y.png"):
        if (size, name) == (28, "x.png"):  # what is beyond the last row is not unpacked
            assert len(list(read_samples([str(tmp_path / name)], 784, (28, 28)))) == 1
            continue
        with pytest.raises(InputError, match=rf"{name}: (holds 60000 x 60000 pixels|cannot be read as an image)"):
            list(read_samples([str(tmp_path / name)], 784, (28, 28)))


def test_the_name_within_a_gzip_file_plays_no_part(tmp_path: Path) -> None:
    content = io.BytesIO()
    with gzip.GzipFile("../../elsewhere", "wb", fileobj=content) as file:
        file.write(header((1, 2, 2)) + bytes(4))
    (tmp_path / "x.gz").write_bytes(content.getvalue())
    assert read_idx(tmp_path / "x.gz", "images").shape == (1, 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["x.gz"]


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    "change",
    [
        {"layers": [8, 2**31 - 1, 3]},
        {"layers": [8, 2**31 - 1, 2**31 - 1]},
        {"layers": [64, 3], "coding": "latency", "maps": [4], "kernel": 2**30 + 8, "padding": 2**29},
        {"layers": [64, 3], "coding": "latency", "maps": [4], "kernel": 3, "padding": 2**29},
    ],
    ids=str,
)
def test_settings_that_ask_for_much(tmp_path: Path, change: dict[str, Any]) -> None:
    found, _ = network()
    write(tmp_path / "weights.safetensors", packed(found.state_dict()))
    config = json.loads(CONFIG)
    config["recipe"] |= change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"does not fit its recipe|cannot be: Storage|leave nothing after kernel"):
        load(tmp_path)


def test_a_target_that_asks_for_much(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **(ARRAYS | {"target": [3, 2**31 - 1]}))
    recipe = recipes.override(recipes.read("tca"), {"dataset": str(tmp_path / "x.npz"), "test_share": 0.5})
    with pytest.raises(InputError, match="targets must be below 10000, one class each, got 2147483647"):
        sets.read_spikes(recipe, 0, ["train"])


def test_a_wide_header_takes_no_long_time(tmp_path: Path) -> None:
    """Looking for every name in all others would take 10^9 steps, a minute."""
    count = 30_000
    names, numbers = ",".join(f"n{k}" for k in range(count)), ",".join("1" * count)
    (tmp_path / "x.csv").write_text(f"{names}\n{numbers}\n{numbers[:-1]}2\n")
    assert len(read_csv(tmp_path / "x.csv").names) == count - 1


@pytest.mark.parametrize("name", ["x.toml", "config.json", "metrics.json", "metrics.jsonl"])
def test_brackets_without_end(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"layers = {'[' * 100_000}" if name == "x.toml" else "[" * 100_000)
    if name == "metrics.jsonl":
        assert read_log(tmp_path) == []
        return
    reads = {"x.toml": recipes.read, "config.json": read_config, "metrics.json": read_metrics}
    with pytest.raises(InputError, match=name):
        reads[name](str(tmp_path / name) if name == "x.toml" else tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError, match="layers must be a list"):
        recipes.override(RECIPE, {"layers": "[" * 100_000})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.bool], ids=str)
def test_tensors_of_other_types(tmp_path: Path, dtype: torch.dtype) -> None:
    import safetensors.torch

    (tmp_path / "config.json").write_bytes(CONFIG)
    tensors = {name: x.to(dtype) for name, x in network()[0].state_dict().items()}
    safetensors.torch.save_file(tensors, tmp_path / "weights.safetensors", {"sha256": "0" * 64})
    with pytest.raises(InputError, match=r"weights\.safetensors is damaged"):
        load(tmp_path)
