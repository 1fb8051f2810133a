"""Files of samples that a user brings to an image model; nothing is resized or inverted to make it fit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import InputError, counted
from ..files import readable
from .images.idx import read_idx
from .npy import read_header, require_whole

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["read_samples"]

Values = npt.NDArray[np.uint8] | npt.NDArray[np.float32]

# Named, as pillow knows formats whose pictures are programs (EPS) or that it can only write (PDF).
_PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def read_samples(
    paths: Sequence[str], features: int, image_shape: tuple[int, int] | None
) -> Iterator[tuple[str, Values]]:
    """The samples in the files, in order; each file is read and checked whole before its first sample comes.

    Args:
        paths: pictures (turned to 8-bit grey, on black where they are transparent), IDX images (``.gz`` or not) and
            ``.npy`` arrays, uint8 or floats in [0, 1]: (features,), (rows, columns) or n of these in one array.
        features: how many values the model takes.
        image_shape: rows and columns of its images, whose product is ``features``; None if it takes none.

    Yields:
        The file's name (its path as given, if several of ``paths`` end in the same name), with ``[3]`` after it for
        the fourth of several; and the values (features,), uint8 or float32.

    Raises:
        InputError: a file cannot be read, is damaged, of a kind unknown, or holds something else.
    """
    names = [Path(path).name for path in paths]
    for path, name in zip(paths, names if len(set(names)) == len(names) else paths, strict=True):
        samples = _read(Path(path), features, image_shape)
        for index, sample in enumerate(samples):
            yield (f"{name}[{index}]" if len(samples) > 1 else name), sample


def _read(path: Path, features: int, shape: tuple[int, int] | None) -> Values:
    """All samples of one file, (n, features)."""
    with readable(path, "a file of samples"):
        size = path.stat().st_size
        if not path.is_file():
            raise InputError(f"{path}: is {'a folder' if path.is_dir() else 'no regular file'}, expected a file")
        if size == 0:
            raise InputError(f"{path}: is empty")
    name = path.name.lower()
    if name.endswith(".npy"):
        return _array(path, size, features, shape)
    idx = name.removesuffix(".gz").endswith((".idx", "ubyte"))
    if not idx and not name.endswith(_PICTURES):
        raise InputError(
            f"{path}: is of an unknown kind, expected .npy, {', '.join(_PICTURES)}, .idx, ubyte, .idx.gz or ubyte.gz"
        )
    if shape is None:
        raise InputError(f"{path}: is a file of images; this model takes {counted(features, 'value')}, expected .npy")
    if not idx:
        return _picture(path, shape).reshape(1, features)
    images = read_idx(path, "images")
    if images.shape[1:] != shape:
        raise _wrong_size(path, images.shape[1:], shape)
    return images.reshape(len(images), features)


def _picture(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    from PIL import Image

    with readable(path, "an image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=_FORMATS) as image:
            if image.size[::-1] != shape:  # before anything is decoded
                raise _wrong_size(path, image.size[::-1], shape)
            if getattr(image, "n_frames", 1) > 1:
                raise InputError(f"{path}: holds several images, expected one")
            image.verify()  # checksums up to the end of the file; the image cannot be used afterwards
        with Image.open(path, formats=_FORMATS) as image:
            return _grey(path, image)


def _grey(path: Path, image: Image) -> npt.NDArray[np.uint8]:
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise InputError(f"{path}: has 32-bit pixels, expected 8 or 16 bits")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        deep[deep == image.info.get("transparency")] = 0
        return ((deep * 255 + 32767) // 65535).astype(np.uint8)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return np.array(image.convert("L"))


def _array(path: Path, size: int, features: int, image: tuple[int, int] | None) -> Values:
    with readable(path, "an .npy file"), path.open("rb") as file:
        shape, dtype = read_header(file)
        if dtype != np.uint8 and not np.issubdtype(dtype, np.floating):
            raise InputError(f"{path}: holds {dtype}, expected uint8 (0 to 255) or floats (0 to 1)")
        single = [(features,), image]
        if shape not in single and (shape[1:] not in single or shape[0] < 1):
            known = " or ".join(str(s) for s in single if s)
            raise InputError(f"{path}: has shape {shape}, expected {known}, or 1 or more of these in one array")
        require_whole(file, shape, dtype, size, str(path))  # before memory is asked for
        file.seek(0)
        values = np.load(file, allow_pickle=False).reshape(-1, features)
    if dtype != np.uint8 and not ((values >= 0) & (values <= 1)).all():
        found = "NaN" if np.isnan(values).any() else f"values from {values.min():g} to {values.max():g}"
        raise InputError(f"{path}: holds {found}, expected floats from 0 to 1 (or uint8 from 0 to 255)")
    return np.asarray(values, np.uint8) if dtype == np.uint8 else np.asarray(values, np.float32)


def _wrong_size(path: Path, found: tuple[int, ...], expected: tuple[int, int]) -> InputError:
    return InputError(
        f"{path}: holds {found[0]} x {found[1]} pixels, expected {expected[0]} x {expected[1]} (rows x columns). "
        "Nothing is resized or inverted here: mnist and fashion-mnist expect white on black"
    )
