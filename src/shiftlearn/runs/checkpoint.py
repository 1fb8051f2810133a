"""The training state after the last whole epoch: weights, optimizer and progress in one safetensors file."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, RunWarning
from ..files import write
from ..models.stored import CONFIG, WEIGHTS, packed, read_tensors, require_fit
from .results import LOG, METRICS, RESULTS

__all__ = ["CHECKPOINT", "PREVIOUS", "load_state", "save_state", "unfinished"]

CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "checkpoint-previous.safetensors"


def unfinished(folder: Path) -> list[Path]:
    """What a run that was killed while it wrote a file left of it."""
    names = [CONFIG, METRICS, LOG, WEIGHTS, CHECKPOINT, *RESULTS]
    return [path for name in names for path in folder.glob(f".{name}.*")]


def save_state(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]) -> None:
    """Write the checkpoint: weights, optimizer and ``progress`` (JSON) as one file. The one before it is kept."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in state.items()}
    write(folder / CHECKPOINT, packed(tensors, progress=json.dumps(progress)), folder / PREVIOUS)


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
    tensors, metadata = read_tensors(path)
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
    require_fit(network, weights, path)
    network.load_state_dict(weights)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return dict(progress)
