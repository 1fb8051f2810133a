"""Trained networks in formats that other programs read.

May import: anything but plots, playground, estimator and cli.
"""

from __future__ import annotations

import io
from pathlib import Path

from torch import nn

from ..errors import InputError, unknown_name
from ..files import write as write_file
from ..models.model import Model
from .nir import from_nir, require_nir, to_nir

__all__ = ["FORMATS", "from_nir", "to_nir", "write"]

FORMATS = ("nir",)


def write(model: Model | nn.Module, path: str | Path, format: str = "nir", tau: float | None = None) -> None:
    """Write a network to a file, whole or not at all; one that is there is replaced.

    Args:
        model, tau: as :func:`to_nir` takes them.
        path: of the file, in a folder that exists.
        format: one of :data:`FORMATS`. "nir" is the HDF5 file that ``nir.read`` reads.

    Raises:
        InputError: an unknown format, a path that is no file in a folder, or what :func:`to_nir` refuses.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected a file")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {str(path.parent)!r} does not exist")
    content = io.BytesIO()
    require_nir().write(content, to_nir(model, tau))
    write_file(path, content.getvalue())
