"""What networks learn from: images, tables, spike trains, datasets of one's own, and the split of a recipe's dataset.

May import: recipes, coding, ops, and what lies below them.
"""

from __future__ import annotations

from ..registry import DATASET_NAMES
from .images.files import DATASETS, ImageDataset, ImageFile, Split, cache_dir, download, find
from .images.idx import read_idx
from .registry import load, own, register

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
