"""The files of a trained model: settings in ``config.json``, weights in ``weights.safetensors``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from .. import recipes
from ..data.tables.features import Features
from ..errors import InputError, nearest
from ..files import CONFIG as CONFIG
from ..files import write_json
from ..recipes import paths

WEIGHTS = "weights.safetensors"
_FORMAT = 1


def write_config(folder: Path, recipe: recipes.Recipe, seed: int, **more: Any) -> None:
    """Record what a run is, in a folder that is made if need be; relative paths that lead to a file become absolute."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = recipe.as_dict()
    found = {k: v for k, v in paths.absolute(settings, Path()).items() if k in paths.SETTINGS and Path(v).is_file()}
    write_json(folder / CONFIG, {"format": _FORMAT, "seed": seed, "recipe": settings | found, **more})


@dataclass(frozen=True)
class Config:
    """What ``config.json`` holds: how a run was started, and what its model needs to know of the data."""

    recipe: recipes.Recipe
    seed: int
    classes: tuple[str, ...] | None
    features: Features | None
    digest: str | None
    folds: int
    repeats: int
    compare: bool


def read_config(folder: Path) -> Config:
    """The settings of a run folder.

    Raises:
        InputError: no such folder, no run folder, or its settings cannot be read.
    """
    path = folder / CONFIG
    if not folder.is_dir():
        hint = nearest(folder.name, (path.name for path in _runs_in(folder.parent)))
        if not (hint or folder.is_absolute()):
            hint = nearest(str(Path("runs") / folder.name), map(str, _runs_in(Path("runs"))))
        raise InputError(f"no run folder {str(folder)!r}{hint and '.' + hint}")
    if not path.is_file():
        raise InputError(
            f"{str(folder)!r} is not a run folder: it holds no {CONFIG}; a run that ended before it was written is "
            "started again by the command that started it"
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config["format"] != _FORMAT:
            raise InputError(f"{path} has format {config['format']!r}; this version reads format {_FORMAT}")
        if type(config["seed"]) is not int or config["seed"] < 0:
            raise InputError(f"{path}: seed must be a whole number of 0 or more, got {config['seed']!r}")
        classes, features = config.get("classes"), config.get("features")
        recipe = dict(config["recipe"])
        if features and any(column["name"] in ("1", "Unnamed: 0") for column in features["columns"][:1]):
            recipe.setdefault("row_numbers", True)  # version 0.1 had no such setting, and left no index out
        return Config(
            recipes.from_dict(recipe, source=str(path)),
            config["seed"],
            None if classes is None else tuple(str(name) for name in classes),
            None if features is None else Features.from_dict(features),
            config.get("digest"),
            int(config.get("folds", 0)),
            int(config.get("repeats", 0)),
            bool(config.get("compare", True)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _runs_in(parent: Path) -> list[Path]:
    return [path.parent for path in parent.glob(f"*/{CONFIG}")] if parent.is_dir() else []


def packed(tensors: dict[str, Tensor], **metadata: str) -> bytes:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(tensors, metadata | {"sha256": _digest(tensors)})


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)} ".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        digest = _digest(tensors)
    except MemoryError:
        raise
    except Exception as error:  # of types that torch or NumPy lack, among others
        raise InputError(f"{path} is damaged: {error}") from None
    if metadata.get("sha256") != digest:
        raise InputError(f"{path} is damaged: its checksum does not fit its content")
    return tensors, metadata


def require_fit(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    expected = {name: (tuple(t.shape), t.dtype) for name, t in network.state_dict().items()}
    found = {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise InputError(
                f"{path} does not fit its recipe: {name} is {found.get(name, 'missing')}, "
                f"expected {expected.get(name, 'nothing of that name')}"
            )
    if bad := not_finite(tensors):
        raise InputError(f"{path} holds NaN or infinite numbers, in {bad}: the run that wrote it had failed")


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor that holds NaN or infinity."""
    return next((name for name, x in tensors.items() if not x.isfinite().all()), None)
