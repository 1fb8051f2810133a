"""What is fuzzed: for each kind of file a valid one, how it is read, and how to pack it again with true checksums."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from shiftlearn import recipes
from shiftlearn.cli.summary import print_summary
from shiftlearn.data.images.idx import header, read_idx
from shiftlearn.data.samples import read_samples
from shiftlearn.data.spike_trains.files import read_trials
from shiftlearn.data.spike_trains.tca import generate, new_templates
from shiftlearn.data.spike_trains.tca_write import write_mat
from shiftlearn.data.tables.table import read_csv, read_rows
from shiftlearn.export import from_nir, to_nir
from shiftlearn.models.build import build
from shiftlearn.models.model import Model, load
from shiftlearn.models.stored import _digest
from shiftlearn.runs.checkpoint import load_state, save_state
from shiftlearn.runs.results import read_log, read_metrics


@dataclass(frozen=True)
class Format:
    """A kind of file.

    ``valid`` is what is mutated and ``packed`` what makes a file of it; ``read`` reads the file of this ``name``, and
    returns something false if what it was given is not sound.
    """

    name: str
    valid: bytes
    read: Callable[[Path], Any]
    packed: Callable[[bytes], bytes] = bytes
    is_json: bool = False


IMAGES = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
CSV = b'length,colour,width,kind\n1.5,red,,elm\n2.5,"light ""blue""",3,oak\n0.5,red,1e3,elm\n-1,blue,?,oak\n'
RECIPE = recipes.override(recipes.read("iris"), {"layers": [8, 4, 3], "feedback": "random"})


def made(write: Callable[[Path], Any], name: str) -> bytes:
    """What ``write`` puts into a file."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, name))
        return Path(folder, name).read_bytes()


def picture(kind: str, **options: Any) -> bytes:
    return made(lambda path: Image.fromarray(IMAGES[0]).save(path, **options), f"x.{kind}")


def sample(path: Path) -> bool:
    found = list(read_samples([str(path)], 784, (28, 28)))
    return bool(found) and all(x.shape == (784,) and x.min() >= 0 and x.max() <= 255 for _, x in found)


def images(path: Path) -> bool:
    found = read_idx(path, "images")
    return found.ndim == 3 and found.dtype == np.uint8


def trials(path: Path) -> bool:
    found = read_trials(path)
    whole = type(found.num_synapses) is int and 1 <= found.num_synapses < 2**31
    inside = (found.synapses >= 0).all() and (found.synapses < found.num_synapses).all()
    return bool(whole and inside and np.isfinite(found.times).all() and (found.target >= -1).all())


def table(path: Path) -> bool:
    found = read_csv(path)
    return len(found.classes) >= 2 and all(len(column) == len(found.labels) for column in found.columns)


def rows(path: Path) -> bool:
    found = read_rows(path, ("length", "colour", "width"), (True, False, True))
    return len({len(column) for column in found}) == 1


def recipe(path: Path) -> bool:
    return isinstance(recipes.read(str(path)), recipes.Recipe)


def network() -> tuple[torch.nn.Sequential, torch.optim.Optimizer]:
    found = build(RECIPE, torch.Generator().manual_seed(0))
    return found, torch.optim.Adam(found.parameters())


def model(path: Path) -> bool:
    """A run folder whose other files are valid."""
    others = {"weights.safetensors": WEIGHTS, "config.json": CONFIG}
    for name, content in others.items():
        if name != path.name:
            (path.parent / name).write_bytes(content)
    found = load(path.parent)
    finite = all(bool(x.isfinite().all()) for x in found.network.state_dict().values())
    return finite and found.seed >= 0


def state(path: Path) -> bool:
    return bool(load_state(path.parent, *network()))


def log(path: Path) -> bool:
    return all(isinstance(record, dict) for record in read_log(path.parent))


def summary(path: Path) -> bool:
    """A run folder whose settings are valid."""
    (path.parent / "config.json").write_bytes(CONFIG)
    with contextlib.redirect_stdout(io.StringIO()):
        print_summary(path.parent, read_metrics(path.parent) or {})
    return True


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("times", "synapses", "trial", "target", "length", "num_synapses", "dt"):
            size, content = int.from_bytes(content[:2]), content[2:]
            archive.writestr(f"{name}.npy", content[:size])
            content = content[size:]
    return file.getvalue()


def members() -> bytes:
    """The arrays of an .npz file, each after its length."""
    with zipfile.ZipFile(io.BytesIO(NPZ)) as archive:
        parts = [archive.read(name) for name in archive.namelist()]
    return b"".join(struct.pack(">H", len(part)) + part for part in parts)


def matrices(content: bytes) -> bytes:
    """The variables of a .mat file, unpacked, each after its length."""
    at, parts = 128, []
    while at < len(content):
        size = struct.unpack_from("<I", content, at + 4)[0]
        parts.append(zlib.decompress(content[at + 8 : at + 8 + size]))
        at += 8 + size
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def compressed(content: bytes) -> bytes:
    result = MAT[:128]
    while content:
        size = int.from_bytes(content[:4], "little")
        part = zlib.compress(content[4 : 4 + size])
        result += struct.pack("<II", 15, len(part)) + part
        content = content[4 + size :]
    return result


def with_checksums(content: bytes) -> bytes:
    """A PNG whose chunks have the checksums of what they hold; it is cut where a length is none."""
    result, at = content[:8], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4])
        body = content[at + 4 : at + 8 + size]
        result += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return result


def with_digest(content: bytes) -> bytes:
    """Tensors whose checksum is true, if they can be read at all."""
    try:
        tensors = safetensors.torch.load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        return safetensors.torch.save(tensors, metadata | {"sha256": _digest(tensors)})
    except Exception:
        return content


def graph(path: Path) -> bool:
    return all(bool(x.isfinite().all()) for x in from_nir(path).state_dict().values())


def saved(path: Path) -> None:
    found, optimizer = network()
    found(torch.rand(20, 8) + 1).sum().backward()
    optimizer.step()
    save_state(path.parent, found, optimizer, {"epoch": 2, "seconds": 1.5})


ARRAYS: dict[str, Any] = {
    "times": [0.5, 0.1, 2.0], "synapses": [1, 0, 1], "trial": [0, 0, 1], "target": [3, 0],
    "length": [2.5, 4.0], "num_synapses": 7, "dt": 0.01,
}  # fmt: skip
NPZ = made(lambda path: np.savez(path, **ARRAYS), "x.npz")
MAT = made(lambda path: write_mat(path, generate(1, 0, new_templates(0, num_synapses=3), num_synapses=3)), "x.mat")
CONFIG = made(lambda path: Model(RECIPE, network()[0], seed=3).save(path.parent), "config.json")
WEIGHTS = made(lambda path: Model(RECIPE, network()[0], seed=3).save(path.parent), "weights.safetensors")
STATE = made(saved, "checkpoint.safetensors")
METRICS = json.dumps(
    {
        "test_accuracy": 0.5,
        "silent_samples": 0,
        "tied_samples": 1,
        "test_samples": 30,
        "train_seconds": 1.5,
        "epochs": 3,
    }
    | {"seed": 0, "mean_absolute_error": 1.0, "train_accuracy": 0.5, "frozen_in_epoch": 2}
    | {"compared": {"mean": {"accuracy": 0.5, "mean_absolute_error": 2.0}}}
).encode()
REPEATED = json.dumps(
    {"success_rate": 0.5, "repeats": 2, "solved": 1, "solved_at_the_end": 1, "frozen": 0, "frozen_unsolved": 0}
    | {"success_interval_95": [0.1, 0.9], "histogram": [[0, 5, 1]], "median_epochs_to_solution": 3.0}
    | {"train_seconds": 1.0, "epochs": 9, "seed": 0}
).encode()
LOG = b'{"epoch": 1, "loss": 0.5}\n{"epoch": 2, "loss": 0.4}\n'

FORMATS = {
    "idx": Format("x.idx", header(IMAGES.shape) + IMAGES.tobytes(), images),
    "idx.gz": Format("x.gz", gzip.compress(header((2, 3, 4)) + IMAGES.tobytes()[:24]), images),
    "idx in gz": Format("x.gz", header((2, 3, 4)) + IMAGES.tobytes()[:24], images, gzip.compress),
    "npy": Format("x.npy", made(lambda path: np.save(path, IMAGES[:2] / 255), "x.npy"), sample),
    "npz": Format("x.npz", NPZ, trials),
    "npy in npz": Format("x.npz", members(), trials, zipped),
    "mat": Format("x.mat", MAT, trials),
    "matrix in mat": Format("x.mat", matrices(MAT), trials, compressed),
    "csv": Format("x.csv", CSV, table),
    "csv rows": Format("x.csv", CSV, rows),
    "png": Format("x.png", picture("png"), sample),
    "chunk in png": Format("x.png", picture("png"), sample, with_checksums),
    **{kind: Format(f"x.{kind}", picture(kind), sample) for kind in ("bmp", "gif", "jpg", "pgm", "webp")},
    "tif": Format("x.tif", picture("tif", compression="tiff_lzw"), sample),
    "toml": Format("x.toml", Path(recipes.__file__).with_name("mnist-conv.toml").read_bytes(), recipe),
    "config": Format("config.json", CONFIG, model),
    "config values": Format("config.json", CONFIG, model, is_json=True),
    "metrics": Format("metrics.json", METRICS, summary, is_json=True),
    "metrics of repeats": Format("metrics.json", REPEATED, summary, is_json=True),
    "log": Format("metrics.jsonl", LOG, log),
    "weights": Format("weights.safetensors", WEIGHTS, model),
    "tensors of weights": Format("weights.safetensors", WEIGHTS, model, with_digest),
    "checkpoint": Format("checkpoint.safetensors", STATE, state),
    "tensors of checkpoint": Format("checkpoint.safetensors", STATE, state, with_digest),
}
if find_spec("nir"):
    import nir

    NIR = made(lambda path: nir.write(path, to_nir(network()[0], tau=1.0)), "x.nir")
    FORMATS["nir"] = Format("x.nir", NIR, graph)
