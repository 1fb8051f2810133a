"""The image datasets MNIST and Fashion-MNIST: where their files are looked for, downloads, checks."""

from __future__ import annotations

from .files import DATASETS, SIDE, ImageDataset, ImageFile, Split, cache_dir, download, find, load
from .idx import read_idx

__all__ = [
    "DATASETS",
    "SIDE",
    "ImageDataset",
    "ImageFile",
    "Split",
    "cache_dir",
    "download",
    "find",
    "load",
    "read_idx",
]
