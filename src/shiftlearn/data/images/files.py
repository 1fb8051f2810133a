"""The image datasets ``mnist`` and ``fashion-mnist``: 28 x 28 grey images in ten classes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import platformdirs

from ...errors import InputError, unknown_name
from .idx import Kind, header, read_idx

__all__ = ["DATASETS", "ImageDataset", "ImageFile", "cache_dir", "download", "find", "load"]

Split = Literal["train", "test"]
StrPath = str | os.PathLike[str]

ENVIRONMENT = "SHIFTLEARN_DATA"
SIDE = 28
_MOST_BYTES = 2**27  # of a download; pooch counts each twice, and the largest file has 30 MB
_SPLITS: dict[Split, str] = {"train": "training", "test": "test"}


@dataclass(frozen=True)
class ImageFile:
    """One file of a dataset.

    Attributes:
        split: ``"train"`` or ``"test"``.
        kind: ``"images"`` or ``"labels"``.
        name: the file's published name without ``.gz``.
        md5: checksum of the unpacked content, header included. Repacking a file changes its bytes,
            not this.
    """

    split: Split
    kind: Kind
    name: str
    md5: str


@dataclass(frozen=True)
class ImageDataset:
    """What is known of a dataset before any of its files is read.

    Attributes:
        name: the name it goes by here, which is also that of its folder.
        title: the name it goes by in prose.
        classes: what the labels 0, 1, ... stand for.
        files: images and labels of both splits.
        mirrors: addresses, ending in a slash, below which the gzipped files are published.
        origin: who made it, and its licence.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    files: tuple[ImageFile, ...]
    mirrors: tuple[str, ...]
    origin: str

    def file(self, split: Split, kind: Kind) -> ImageFile:
        """The file that holds the images or the labels of a split."""
        return next(file for file in self.files if (file.split, file.kind) == (split, kind))


def _files(
    train_images_md5: str, train_labels_md5: str, test_images_md5: str, test_labels_md5: str
) -> tuple[ImageFile, ...]:
    return (
        ImageFile("train", "images", "train-images-idx3-ubyte", train_images_md5),
        ImageFile("train", "labels", "train-labels-idx1-ubyte", train_labels_md5),
        ImageFile("test", "images", "t10k-images-idx3-ubyte", test_images_md5),
        ImageFile("test", "labels", "t10k-labels-idx1-ubyte", test_labels_md5),
    )


DATASETS: dict[str, ImageDataset] = {
    dataset.name: dataset
    for dataset in (
        ImageDataset(
            name="mnist",
            title="MNIST",
            classes=tuple("0123456789"),
            files=_files(
                "6bbc9ace898e44ae57da46a324031adb",
                "a25bea736e30d166cdddb491f175f624",
                "2646ac647ad5339dbf082846283269ea",
                "27ae3e4e09519cfbb04c329615203637",
            ),
            mirrors=(
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
            origin="Yann LeCun, Corinna Cortes and Christopher J. C. Burges; CC BY-SA 3.0",
        ),
        ImageDataset(
            name="fashion-mnist",
            title="Fashion-MNIST",
            classes=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            files=_files(
                "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                "9018921c3c673c538a1fc5bad174d6f9",
                "8181f5470baa50b63fa0f6fddb340f0a",
                "15d484375f8d13e6eb1aabb0c3f46965",
            ),
            mirrors=(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ),
            origin="Zalando Research (Han Xiao, Kashif Rasul and Roland Vollgraf, 2017); MIT",
        ),
    )
}
"""The datasets by name."""


def cache_dir() -> Path:
    """The user's cache folder, into which downloads go: the one pooch has for this library."""
    return Path(platformdirs.user_cache_dir("shiftlearn"))


def find(name: str, data_dir: StrPath | None = None) -> Path | None:
    """The folder that holds a dataset's files on this computer, or None.

    If ``data_dir`` or else the environment variable ``SHIFTLEARN_DATA`` names a folder, that one alone
    is looked into. Otherwise the places are ``datasets/`` of a checkout around the current directory,
    ``datasets/`` of the checkout this package lies in, and the user's cache. The first that has a
    folder of the dataset's name with any of its files in it is taken, whatever state they are in.

    Args:
        name: a key of :data:`DATASETS`.
        data_dir: folder that holds one folder per dataset.

    Raises:
        InputError: the name is unknown, or the folder given does not exist or is none.
    """
    dataset = _dataset(name)
    given = _given_root(data_dir)
    for root in _default_roots() if given is None else (given,):
        folder = root / dataset.name
        if any(_path_of(file, folder) for file in dataset.files):
            return folder
    return None


def load(
    name: str, split: Split, data_dir: StrPath | None = None, progress: bool = True
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Load one split of a dataset, downloading the dataset to the user's cache if it is nowhere.

    Args:
        name: a key of :data:`DATASETS`.
        split: ``"train"`` (60000 images) or ``"test"`` (10000).
        data_dir: the only folder to look into; see :func:`find`. With it, nothing is downloaded.
        progress: show a bar while downloading.

    Returns:
        Pixel intensities 0..255 of shape (n, 28, 28) and class numbers of shape (n,).

    Raises:
        InputError: the name or split is unknown, the folder given does not hold the dataset, a file
            is missing, damaged or not the published one, or the download failed.
    """
    dataset = _dataset(name)
    if split not in _SPLITS:
        raise unknown_name("split", split, _SPLITS)
    folder = find(name, data_dir)
    if folder is None:
        root = _given_root(data_dir)
        if root is not None:
            raise _not_in(dataset, root)
        folder = download(name, progress=progress)

    images_file, labels_file = dataset.file(split, "images"), dataset.file(split, "labels")
    images_path, labels_path = _existing(images_file, folder), _existing(labels_file, folder)
    images, labels = read_idx(images_path, "images"), read_idx(labels_path, "labels")
    if images.shape[1:] != (SIDE, SIDE):
        raise InputError(
            f"{images_path}: holds images of {images.shape[1]} x {images.shape[2]} pixels, "
            f"{dataset.title}'s have {SIDE} x {SIDE}."
        )
    if len(images) != len(labels):
        raise InputError(
            f"{images_path} holds {len(images)} images, {labels_path} holds {len(labels)} labels: "
            "there must be one label per image."
        )
    if labels.max() >= len(dataset.classes):
        raise InputError(
            f"{labels_path}: holds the label {labels.max()}, {dataset.title}'s go from 0 to {len(dataset.classes) - 1}."
        )
    _check_content(images, images_path, images_file, dataset)
    _check_content(labels, labels_path, labels_file, dataset)
    return images, labels


def download(name: str, folder: StrPath | None = None, progress: bool = True) -> Path:
    """Download a dataset's four files and put them in place once all of them are verified.

    Args:
        name: a key of :data:`DATASETS`.
        folder: where the dataset's own folder is made, such that it can be given to :func:`load` as
            ``data_dir``; default :func:`cache_dir`.
        progress: show a bar on standard error, if that is a terminal.

    Returns:
        The folder that now holds the files.

    Raises:
        InputError: the name is unknown, the folder cannot be written to, or no mirror has the files.
    """
    dataset = _dataset(name)
    target = (cache_dir() if folder is None else Path(folder)) / dataset.name
    try:
        target.mkdir(parents=True, exist_ok=True)
        # Inside the target, for a rename to be atomic it must not leave the file system.
        with tempfile.TemporaryDirectory(prefix=".download-", dir=target) as temporary:
            _fetch(dataset, Path(temporary), progress)
            for path in Path(temporary).iterdir():
                path.replace(target / path.name)
    except OSError as error:
        raise InputError(f"{target}: cannot be written to ({error.strerror or error}).") from error
    return target


def _fetch(dataset: ImageDataset, folder: Path, progress: bool) -> None:
    """Download all files into a folder; a mirror that fails is left for the next, files got are kept."""
    # Imported here because they take a while, and only a download needs them.
    from pooch import HTTPDownloader
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        """Also ends what a server never would."""

        received = 0

        def update(self, n: int = 1) -> None:
            self.received += n
            if self.received > _MOST_BYTES:
                raise OSError(f"more than {_MOST_BYTES} bytes were sent")
            super().update(n)

    tried: list[str] = []
    pending = list(dataset.files)
    reason = ""
    for mirror in dataset.mirrors:
        try:
            while pending:
                file = pending[0]
                path = folder / f"{file.name}.gz"
                url = mirror + path.name
                tried.append(url)
                # pooch sets the true total; it tests the bar's truth, which without a total is an error.
                with Bar(
                    desc=f"{dataset.name}/{path.name}",
                    total=1,
                    unit="B",
                    unit_scale=True,
                    disable=None if progress else True,
                ) as bar:
                    # Unencoded, or a server's own compression could be undone along with the file's.
                    get = HTTPDownloader(progressbar=bar, chunk_size=2**16, headers={"Accept-Encoding": "identity"})
                    get(url, str(path), None)
                _check_content(read_idx(path, file.kind), path, file, dataset)
                pending.pop(0)
            return
        except (OSError, ValueError) as error:  # of the connection or the disk; of the content
            path.unlink(missing_ok=True)
            reason = str(error).replace(str(path), url)
    raise InputError(
        f"{dataset.title} could not be downloaded. Tried: {', '.join(tried)}. "
        f"Last reason: {reason.rstrip('.')}. "
        f"Without a download, put its files into a folder {dataset.name}/ and give the folder that holds "
        f"{dataset.name}/ as --data-dir or in the environment variable {ENVIRONMENT}."
    )


def _dataset(name: str) -> ImageDataset:
    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    return DATASETS[name]


def _given_root(data_dir: StrPath | None) -> Path | None:
    """The folder the caller or the environment names as the only place, or None if neither does."""
    source = "data_dir"
    if data_dir is None:
        source, data_dir = ENVIRONMENT, os.environ.get(ENVIRONMENT)
        if not data_dir:
            return None
    root = Path(os.path.expanduser(data_dir))
    if not os.path.exists(root):
        raise InputError(f"{source}: the folder {root} does not exist.")
    if not os.path.isdir(root):
        raise InputError(f"{source}: {root} is not a folder.")
    return root


def _default_roots() -> Iterator[Path]:
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            # The file tells a checkout's folder from any other that happens to be called so.
            if os.path.isfile(folder / "datasets" / "SOURCES.md"):
                yield folder / "datasets"
                break
    yield cache_dir()


def _path_of(file: ImageFile, folder: Path) -> Path | None:
    """Where the file lies in a dataset's folder: gzipped, as published, or else unpacked."""
    for name in (f"{file.name}.gz", file.name):
        # os.path, as Path.is_file raises for a folder that may not be entered.
        if os.path.isfile(folder / name):
            return folder / name
    return None


def _existing(file: ImageFile, folder: Path) -> Path:
    path = _path_of(file, folder)
    if path is None:
        hint = " Delete that folder to have it downloaded again." if folder.parent == cache_dir() else ""
        raise InputError(
            f"{folder}: the file {file.name}.gz (or {file.name}) is missing, though others of "
            f"{folder.name} are there.{hint}"
        )
    return path


def _not_in(dataset: ImageDataset, root: Path) -> InputError:
    names = ", ".join(f"{file.name}.gz" for file in dataset.files)
    return InputError(
        f"{root} does not hold {dataset.title}. Expected there: a folder {dataset.name}/ with the files "
        f"{names}, gzipped or unpacked (then without .gz)."
    )


def _check_content(array: npt.NDArray[np.uint8], path: Path, file: ImageFile, dataset: ImageDataset) -> None:
    # A file read_idx accepts is its header, which follows from the shape, and its elements.
    digest = hashlib.md5(header(array.shape), usedforsecurity=False)
    digest.update(array.reshape(-1).data)
    found = digest.hexdigest()
    if found == file.md5:
        return
    for other in DATASETS.values():
        for known in other.files:
            if found == known.md5:
                raise InputError(
                    f"{path}: holds {other.title}'s {_SPLITS[known.split]} {known.kind}, expected "
                    f"{dataset.title}'s {_SPLITS[file.split]} {file.kind}."
                )
    raise InputError(
        f"{path}: checksum of the unpacked content is {found}, expected {file.md5}: the file is corrupted "
        f"or is not the published {dataset.name}."
    )
