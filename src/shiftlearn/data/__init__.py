"""Datasets: where their files are looked for, how they are read, checked and, if need be, downloaded."""

from __future__ import annotations

from shiftlearn.data.idx import read_idx
from shiftlearn.data.images import DATASETS, ImageDataset, ImageFile, Split, cache_dir, download, find
from shiftlearn.data.own import DATASET_NAMES, load, own, register

__all__ = [
    "DATASETS",
    "DATASET_NAMES",
    "ImageDataset",
    "ImageFile",
    "Split",
    "cache_dir",
    "download",
    "find",
    "load",
    "own",
    "read_idx",
    "register",
]
