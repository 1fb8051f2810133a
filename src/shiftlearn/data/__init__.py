"""Datasets: where their files are looked for, how they are read, checked and, if need be, downloaded."""

from __future__ import annotations

from shiftlearn.data.idx import read_idx
from shiftlearn.data.images import DATASETS, ImageDataset, ImageFile, Split, cache_dir, download, find, load

__all__ = ["DATASETS", "ImageDataset", "ImageFile", "Split", "cache_dir", "download", "find", "load", "read_idx"]
