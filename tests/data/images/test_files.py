"""The image datasets: where they are looked for, how they are checked, and how they are downloaded."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import platformdirs
import pooch
import pytest

from shiftlearn.data import DATASETS, ImageDataset, ImageFile, cache_dir, download, find, load
from shiftlearn.data.images import files as images_files
from shiftlearn.data.images.files import Split
from shiftlearn.data.images.idx import header
from shiftlearn.errors import InputError

CHECKOUT = Path(__file__).parents[3] / "datasets"
GIVEN = os.environ.get("SHIFTLEARN_DATA")
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

rng = np.random.default_rng(0)
ARRAYS = {
    TRAIN_IMAGES: rng.integers(0, 256, (6, 28, 28), np.uint8),
    TRAIN_LABELS: np.array([0, 1, 2, 0, 1, 2], np.uint8),
    TEST_IMAGES: rng.integers(0, 256, (3, 28, 28), np.uint8),
    TEST_LABELS: np.array([2, 1, 0], np.uint8),
}


def idx(array: np.ndarray) -> bytes:
    return header(array.shape) + array.tobytes()


def write(folder: Path, arrays: dict[str, np.ndarray] = ARRAYS) -> Path:
    """Write the files of a dataset, gzipped, and return the folder they are in."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return folder


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable set, no checkout around and an empty cache, so that nothing real is found."""
    monkeypatch.delenv("SHIFTLEARN_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for folder in ("here", "installed"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(images_files, "__file__", str(tmp_path / "installed" / "images" / "files.py"))
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ImageDataset:
    """A registered dataset of three classes and nine random images, published nowhere."""
    files: list[ImageFile] = []
    for file in DATASETS["mnist"].files:
        md5 = hashlib.md5(idx(ARRAYS[file.name]), usedforsecurity=False).hexdigest()
        files.append(replace(file, md5=md5))
    dataset = ImageDataset("toy", "Toy", ("a", "b", "c"), tuple(files), (), "made here")
    monkeypatch.setitem(DATASETS, "toy", dataset)
    return dataset


# Loading


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize(("split", "count"), [("train", 60000), ("test", 10000)])
def test_loads_the_published_files(name: str, split: Split, count: int) -> None:
    root = Path(GIVEN or CHECKOUT)
    if find(name, root) is None:
        pytest.skip(f"{name} is not here: name the folder that holds {name}/ in SHIFTLEARN_DATA")
    pictures, labels = load(name, split, root)
    assert pictures.shape == (count, 28, 28)
    assert labels.shape == (count,)
    assert pictures.dtype == labels.dtype == np.uint8
    assert len(DATASETS[name].classes) == 10
    assert set(labels) == set(range(10))
    if split == "train":
        assert labels[:5].tolist() == {"mnist": [5, 0, 4, 1, 9], "fashion-mnist": [9, 0, 0, 3, 0]}[name]


@pytest.mark.skipif(not any(CHECKOUT.glob("*/*.gz")), reason="datasets/ holds no files: not in a checkout")
def test_sources_list_every_checksum() -> None:
    sources = (CHECKOUT / "SOURCES.md").read_text()
    for name, dataset in DATASETS.items():
        for file in dataset.files:
            sha256 = hashlib.sha256((CHECKOUT / name / f"{file.name}.gz").read_bytes()).hexdigest()
            assert f"| `{name}/{file.name}.gz` | `{file.md5}` | `{sha256}` |" in sources


def test_loads_gzipped_and_unpacked(tmp_path: Path, toy: ImageDataset) -> None:
    folder = write(tmp_path / "toy")
    (folder / f"{TEST_LABELS}.gz").unlink()
    (folder / TEST_LABELS).write_bytes(idx(ARRAYS[TEST_LABELS]))
    pictures, labels = load("toy", "test", tmp_path)
    np.testing.assert_array_equal(pictures, ARRAYS[TEST_IMAGES])
    np.testing.assert_array_equal(labels, ARRAYS[TEST_LABELS])


def test_unknown_names() -> None:
    with pytest.raises(InputError, match=r"unknown dataset 'mnits'\. Did you mean 'mnist'\?"):
        load("mnits", "test")
    with pytest.raises(InputError, match="unknown dataset"):
        find("cifar10")
    with pytest.raises(InputError, match="unknown dataset"):
        download("cifar10")
    with pytest.raises(InputError, match=r"unknown split 'tset'.*Valid: test, train"):
        load("mnist", "tset")  # type: ignore[arg-type]


def test_missing_file(tmp_path: Path, toy: ImageDataset) -> None:
    folder = write(tmp_path / "toy")
    (folder / f"{TEST_LABELS}.gz").unlink()
    load("toy", "train", tmp_path)
    with pytest.raises(InputError, match=rf"toy: the file {TEST_LABELS}\.gz .* is missing.*are there\.$"):
        load("toy", "test", tmp_path)
    shutil.copytree(folder, cache_dir() / "toy")
    with pytest.raises(InputError, match=r"is missing.*Delete that folder to have it downloaded again"):
        load("toy", "test")


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        (TEST_IMAGES, ARRAYS[TEST_LABELS], r"gz: holds labels \(magic 2049\) where images"),
        (TEST_IMAGES, np.zeros((3, 27, 29), np.uint8), "gz: holds images of 27 x 29 pixels"),
        (TEST_IMAGES, ARRAYS[TRAIN_IMAGES], r"gz holds 6 images, .*t10k-labels.*gz holds 3 labels"),
        (TEST_LABELS, np.array([2, 3, 0], np.uint8), "gz: holds the label 3, Toy's go from 0 to 2"),
        (
            TEST_LABELS,
            np.array([2, 2, 0], np.uint8),
            "gz: checksum of the unpacked content is .*published toy",
        ),
        (TEST_IMAGES, ARRAYS[TRAIN_IMAGES][:3], "gz: checksum of the unpacked content is .*published toy"),
    ],
)
def test_wrong_content(tmp_path: Path, toy: ImageDataset, name: str, array: np.ndarray, reason: str) -> None:
    write(tmp_path / "toy", {**ARRAYS, name: array})
    with pytest.raises(InputError, match=re.escape(name) + r"\." + reason):
        load("toy", "test", tmp_path)


def test_another_known_file(tmp_path: Path, toy: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    other = np.zeros((3, 28, 28), np.uint8)
    md5 = hashlib.md5(idx(other), usedforsecurity=False).hexdigest()
    fashion = DATASETS["fashion-mnist"]
    files = (replace(fashion.files[0], md5=md5), *fashion.files[1:])
    monkeypatch.setitem(DATASETS, "fashion-mnist", replace(fashion, files=files))
    write(tmp_path / "toy", {**ARRAYS, TEST_IMAGES: other})
    with pytest.raises(InputError, match="holds Fashion-MNIST's training images, expected Toy's test images"):
        load("toy", "test", tmp_path)


# Finding


def test_lookup_order(tmp_path: Path, toy: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("toy") is None

    cached = write(cache_dir() / "toy")
    assert find("toy") == cached

    of_package = write(tmp_path / "installed" / "datasets" / "toy")
    assert find("toy") == cached, "a folder without SOURCES.md is not a checkout's"
    (of_package.parent / "SOURCES.md").touch()
    assert find("toy") == of_package

    around = write(tmp_path / "here" / "datasets" / "toy")
    (around.parent / "SOURCES.md").touch()
    below = tmp_path / "here" / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find("toy") == around

    in_environment = write(tmp_path / "environment" / "toy")
    monkeypatch.setenv("SHIFTLEARN_DATA", str(in_environment.parent))
    assert find("toy") == in_environment

    given = write(tmp_path / "given" / "toy")
    assert find("toy", given.parent) == given
    assert find("toy", str(given.parent)) == given


def test_given_folder_is_the_only_place(tmp_path: Path, toy: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    write(cache_dir() / "toy")
    empty = tmp_path / "empty"
    (empty / "toy").mkdir(parents=True)
    assert find("toy", empty) is None
    listing = rf"empty does not hold Toy\..*a folder toy/ with the files {TRAIN_IMAGES}\.gz.*{TEST_LABELS}\.gz"
    with pytest.raises(InputError, match=listing):
        load("toy", "test", empty)
    monkeypatch.setenv("SHIFTLEARN_DATA", str(empty))
    with pytest.raises(InputError, match=listing):
        load("toy", "test")
    monkeypatch.setenv("SHIFTLEARN_DATA", "")
    load("toy", "test")


def test_given_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"data_dir: the folder .*nowhere does not exist"):
        load("mnist", "test", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"data_dir: .*file is not a folder"):
        load("mnist", "test", tmp_path / "file")
    monkeypatch.setenv("SHIFTLEARN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"SHIFTLEARN_DATA: the folder .*nowhere does not exist"):
        find("mnist")


def test_damaged_file_is_no_reason_to_look_further(tmp_path: Path, toy: ImageDataset) -> None:
    write(cache_dir() / "toy")
    around = write(tmp_path / "here" / "datasets" / "toy")
    (around.parent / "SOURCES.md").touch()
    damaged = around / f"{TEST_IMAGES}.gz"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(InputError, match=rf"here.*{damaged.name}: the gzip file is truncated"):
        load("toy", "test")


# Downloading


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a server of the folder ``served``, which holds the mirrors as folders."""
    served = tmp_path / "served"
    served.mkdir()
    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def mirrored(toy: ImageDataset, server: str, monkeypatch: pytest.MonkeyPatch) -> ImageDataset:
    dataset = replace(toy, mirrors=(f"{server}first/", f"{server}second/"))
    monkeypatch.setitem(DATASETS, "toy", dataset)
    return dataset


def everything_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() or path.name.startswith("."))


ALL_FILES = sorted(f"{name}.gz" for name in ARRAYS)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("progress", [True, False])
def test_load_downloads_to_the_cache(
    tmp_path: Path, mirrored: ImageDataset, monkeypatch: pytest.MonkeyPatch, progress: bool
) -> None:
    write(tmp_path / "served" / "first")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    _, labels = load("toy", "test", progress=progress)
    np.testing.assert_array_equal(labels, ARRAYS[TEST_LABELS])
    for name in ARRAYS:
        assert (re.search(rf"toy/{name}\.gz: 100%", terminal.getvalue()) is not None) == progress
    assert find("toy") == cache_dir() / "toy"
    assert everything_below(cache_dir()) == ALL_FILES
    shutil.rmtree(tmp_path / "served" / "first")
    load("toy", "train", progress=progress)


def test_download_into_a_folder(tmp_path: Path, mirrored: ImageDataset) -> None:
    write(tmp_path / "served" / "first")
    damaged = tmp_path / "mine" / "toy" / f"{TEST_IMAGES}.gz"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    assert download("toy", tmp_path / "mine") == tmp_path / "mine" / "toy"
    load("toy", "test", tmp_path / "mine")
    assert everything_below(tmp_path / "mine") == ALL_FILES
    assert not cache_dir().exists()


def test_next_mirror_replaces_a_failing_one(tmp_path: Path, mirrored: ImageDataset) -> None:
    first = write(tmp_path / "served" / "first", {TRAIN_IMAGES: ARRAYS[TRAIN_IMAGES]})
    (first / f"{TRAIN_LABELS}.gz").write_bytes(b"<html>Welcome to the network of this hotel</html>")
    second = write(tmp_path / "served" / "second")
    (second / f"{TRAIN_IMAGES}.gz").unlink()  # got from the first, so not asked for again
    load("toy", "train")
    assert everything_below(cache_dir()) == ALL_FILES


def test_wrong_downloads_leave_nothing(tmp_path: Path, mirrored: ImageDataset) -> None:
    write(tmp_path / "served" / "first", {**ARRAYS, TEST_LABELS: np.array([0, 0, 0], np.uint8)})
    with pytest.raises(InputError) as caught:
        load("toy", "train")
    message = str(caught.value)
    for part in (
        f"{mirrored.mirrors[0]}{TEST_LABELS}.gz, {mirrored.mirrors[1]}{TEST_LABELS}.gz. Last reason: 404",
        "--data-dir",
        "SHIFTLEARN_DATA",
    ):
        assert part in message
    assert everything_below(tmp_path / "cache") == []
    assert find("toy") is None

    write(tmp_path / "served" / "second", {TEST_LABELS: np.array([0, 0, 0], np.uint8)})
    with pytest.raises(
        InputError, match=rf"Last reason: {mirrored.mirrors[1]}{TEST_LABELS}\.gz: checksum of the unpacked"
    ):
        download("toy")
    assert everything_below(tmp_path / "cache") == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConnectionResetError])
def test_interrupted_downloads_leave_nothing(
    mirrored: ImageDataset, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupted(self: pooch.HTTPDownloader, url: str, output_file: str, _: None) -> None:
        content = gzip.compress(idx(ARRAYS[Path(output_file).stem]))
        if TEST_IMAGES in url:
            Path(output_file).write_bytes(content[:100])
            raise error
        Path(output_file).write_bytes(content)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises((KeyboardInterrupt, InputError)):
        download("toy")
    assert everything_below(cache_dir()) == []


def test_truncated_response_leaves_nothing(
    tmp_path: Path, mirrored: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(self: Quiet) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(gzip.compress(idx(ARRAYS[TRAIN_IMAGES]))[:500])

    monkeypatch.setattr(Quiet, "do_GET", cut)
    with pytest.raises(InputError, match="Toy could not be downloaded"):
        download("toy")
    assert everything_below(cache_dir()) == []


def test_a_server_that_sends_without_end_is_left(
    tmp_path: Path, mirrored: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "served" / "second")
    monkeypatch.setattr(images_files, "_MOST_BYTES", 20)
    with pytest.raises(InputError, match="Last reason: more than 20 bytes were sent"):
        load("toy", "test")
    assert everything_below(cache_dir()) == []


def test_server_down(mirrored: ImageDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "toy", replace(mirrored, mirrors=("http://127.0.0.1:1/",)))
    with pytest.raises(InputError, match=rf"Tried: http://127\.0\.0\.1:1/{TRAIN_IMAGES}\.gz\. Last reason: "):
        load("toy", "test")


def test_folder_that_cannot_be_written_to(tmp_path: Path, mirrored: ImageDataset) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/toy: cannot be written to \("):
        download("toy", tmp_path / "file")


def test_cache_is_pooch_s() -> None:
    assert cache_dir() == pooch.os_cache("shiftlearn")


def test_import_is_light() -> None:
    code = "import sys, shiftlearn.data; print([m for m in ('torch', 'pooch', 'tqdm') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
