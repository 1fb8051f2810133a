"""Run folders: settings (JSON), weights and training state (safetensors), written atomically.

========================== =======================================================================================
``config.json``            the resolved recipe, the seed, names of the classes and the scaling of a table's columns;
                           written before the first epoch
``metrics.jsonl``          one line an epoch
``checkpoint.safetensors`` weights and optimizer after the last whole epoch; while the run lasts, the checkpoint
                           before it is kept too, as ``checkpoint-previous.safetensors``
``weights.safetensors``    the trained weights
``test_predictions.csv``   label, prediction, scores and spike times (z) of every test sample
``confusion_matrix.csv``   rows: true class, columns: predicted class
``classes.csv``            precision, recall, F1 and AUC of every class
``roc.csv``                the ROC curve of every class against the rest
``repeats.csv``            of repeated runs: when each was solved, and whether it was frozen
``metrics.json``           the summary; it is written last and marks the run as finished
``.lock``, ``.owner``      while a process trains here: its lock, and its number; see :mod:`shiftlearn.claims`
========================== =======================================================================================
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from . import recipes
from .claims import CONFIG
from .data.features import Features
from .errors import InputError, RunWarning, nearest
from .health import not_finite
from .model import Model, build
from .recipes import paths

__all__ = [
    "CONFIG",
    "METRICS",
    "load",
    "load_state",
    "read_config",
    "save_model",
    "save_state",
    "write",
    "write_json",
]

METRICS, LOG = "metrics.json", "metrics.jsonl"
WEIGHTS, CHECKPOINT = "weights.safetensors", "checkpoint.safetensors"
PREVIOUS = "checkpoint-previous.safetensors"
_RESULTS = ("test_predictions.csv", "confusion_matrix.csv", "classes.csv", "roc.csv", "repeats.csv")
_FORMAT = 1
# What the summary of each kind of run is about, and the numbers that go with it.
_FIGURES = {
    "test_accuracy": ("test_samples", "silent_samples", "tied_samples"),
    "accuracy_mean": ("accuracy_sd", "folds", "repeats", "test_samples", "silent_samples", "tied_samples"),
    "success_rate": ("repeats", "solved", "solved_at_the_end", "frozen", "frozen_unsolved"),
}
_OTHERS = {
    "test_accuracy": (),
    "accuracy_mean": ("compared",),
    "success_rate": ("success_interval_95", "histogram", "median_epochs_to_solution"),
}


def write(path: Path, content: bytes, previous: Path | None = None) -> None:
    """Replace a file as a whole: after a crash there is the old content or the new, never a part of it.

    The old content is kept as ``previous``; a crash may leave that alone.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        _sync(path.parent)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


def _sync(folder: Path) -> None:
    """Names in a folder outlive a loss of power, too, where the system lets folders be opened (Windows does not)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def unfinished(folder: Path) -> list[Path]:
    """What a run that was killed while it wrote a file left of it."""
    names = [CONFIG, METRICS, LOG, WEIGHTS, CHECKPOINT, *_RESULTS]
    return [path for name in names for path in folder.glob(f".{name}.*")]


def write_json(path: Path, value: Any) -> None:
    """:func:`write` of indented JSON."""
    write(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


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


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished run; None if the run is not finished.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / METRICS
    if not path.is_file():
        return None
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        kind = next(key for key in _FIGURES if key in metrics)
        for key in (kind, *_FIGURES[kind], "train_seconds", "epochs", "seed"):
            metrics[key] + 0
        for key in _OTHERS[kind]:
            metrics[key]
    except (ValueError, KeyError, TypeError, RecursionError, StopIteration) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    return dict(metrics)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The records of ``metrics.jsonl``, up to where a crash cut it off; [] if there are none yet."""
    path = folder / LOG
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    records: list[dict[str, Any]] = []
    for line in lines:
        try:
            record = json.loads(line)
            if type(record["epoch"]) is not int or (records and record["epoch"] <= records[-1]["epoch"]):
                break
        except (ValueError, KeyError, TypeError, RecursionError):
            break
        records.append(record)
    return records


def save_model(model: Model, folder: Path) -> None:
    """Write a model to a folder, made if need be."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"path must be a folder, {str(folder)!r} is a file")
    folder.mkdir(parents=True, exist_ok=True)
    save_settings(model, folder)
    save_weights(model, folder)


def save_settings(model: Model, folder: Path, **more: Any) -> None:
    """Write what a model is without its weights, and ``more``."""
    features = None if model.features is None else model.features.as_dict()
    about = {"classes": model.classes, "features": features, "digest": model.digest}
    write_config(folder, model.recipe, model.seed, **about, **more)


def save_weights(model: Model, folder: Path) -> None:
    """Write the weights alone, to a folder that has its settings."""
    write(folder / WEIGHTS, _packed(model.network.state_dict()))


def load(path: str | Path) -> Model:
    """The trained model of a run folder, or of a folder that :meth:`Model.save` wrote.

    Raises:
        InputError: the folder does not hold one, the run is not finished, or a file is damaged.
    """
    folder = Path(path)
    config = read_config(folder)
    if config.repeats and not config.folds:
        raise InputError(f"{str(folder)!r} holds repeated runs, which keep no weights")
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{str(folder)!r} holds no {WEIGHTS}: the run is not finished; "
            f"go on with `shiftlearn train --resume {folder}`"
        )
    tensors, _ = _tensors(folder / WEIGHTS)
    try:
        with torch.device("meta"):  # settings may ask for any size: memory follows what the file holds
            _require_fit(build(config.recipe, torch.Generator()), tensors, folder / WEIGHTS)
    except (RuntimeError, OverflowError) as error:
        raise InputError(f"{folder / CONFIG} asks for a network that cannot be: {error}") from None
    network = build(config.recipe, torch.Generator())  # not the global one: loading must not disturb it
    network.load_state_dict(tensors)
    return Model(config.recipe, network.eval(), config.seed, config.classes, config.features, config.digest)


def save_state(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Write the checkpoint: weights, optimizer and ``progress`` (JSON) as one file. The one before it is kept."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    write(folder / CHECKPOINT, _packed(tensors, progress=json.dumps(progress)), folder / PREVIOUS)


def load_state(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restore the last good checkpoint into network and optimizer and return its progress; None if there is none.

    Where the newest is damaged, the one before it takes its place, with a RunWarning.

    Raises:
        InputError: there are checkpoints, and all of them are damaged.
    """
    found = [path for path in (folder / CHECKPOINT, folder / PREVIOUS) if path.is_file()]
    faults: list[InputError] = []
    for path in found:
        try:
            progress = _load_state(path, network, optimizer)
        except InputError as error:
            faults.append(error)
            continue
        for fault in faults:
            message = f"{fault}; the run goes on from the checkpoint before it, after epoch {progress['epoch']}"
            warnings.warn(message, RunWarning, stacklevel=2)
        return progress
    if faults:
        others = "".join(f"; {fault}" for fault in faults[1:])
        raise InputError(f"{faults[0]}{others}; to start the run over, delete {' and '.join(map(str, found))}")
    return None


def _load_state(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    tensors, metadata = _tensors(path)
    try:
        progress = json.loads(metadata["progress"])
        if type(progress["epoch"]) is not int or progress["epoch"] < 1 or not progress["seconds"] >= 0:
            raise ValueError(f"progress {progress}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for index, parameter in enumerate(parameters):
        for name, shape in (("step", ()), ("exp_avg", parameter.shape), ("exp_avg_sq", parameter.shape)):
            tensor = tensors.get(f"optimizer.{index}.{name}")
            if tensor is None or tensor.shape != shape:
                raise InputError(
                    f"{path} is damaged: optimizer.{index}.{name} is missing or not of shape {tuple(shape)}"
                )
            state.setdefault(index, {})[name] = tensor
    weights = {k[8:]: v for k, v in tensors.items() if k.startswith("network.")}
    _require_fit(network, weights, path)
    network.load_state_dict(weights)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return dict(progress)


def _packed(tensors: dict[str, Tensor], **metadata: str) -> bytes:
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(tensors, metadata | {"sha256": _digest(tensors)})


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)} ".encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def _tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
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


def _require_fit(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
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
