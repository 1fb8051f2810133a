"""``shiftlearn doctor``: what the package finds on this machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import warnings
from typing import Any

from .. import __version__
from ..data import DATASETS, find
from ..errors import InputError
from .printing import Voice

_EXTRAS = {"matplotlib": "plots", "scikit-image": "edges", "nir": "nir", "tensorboard": "tensorboard"}


def doctor(voice: Voice) -> None:
    """Print it as a table, or as JSON."""
    with warnings.catch_warnings():  # the table says it too
        warnings.simplefilter("ignore", UserWarning)
        found = findings()
    voice.result(found)
    if voice.talks:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in _lines(found).items():
            table.add_row(Text(name), Text(text))
        voice.table(table)


def findings() -> dict[str, Any]:
    """Versions, kernels and why there are none, instruction sets, threads, GPU, extras and data."""
    import torch

    from ..ops import dispatch

    triton = _version("triton")
    return {
        "shiftlearn": __version__,
        "package": os.path.dirname(os.path.dirname(__file__)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": _version("numpy"),
        "platform": platform.platform(),
        "kernels": {"compiled": dispatch.WHY_NO_KERNELS is None, "why_not": dispatch.WHY_NO_KERNELS, **_kernels()},
        "threads": {"torch": torch.get_num_threads(), "cores": os.cpu_count()},
        "gpu": {
            "name": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "triton": triton,
            "kernels": "Triton" if triton and dispatch.triton_wanted() else "reference",
        },
        "extras": {name: _version(name) for name in _EXTRAS},
        "data": {name: _place(name) for name in DATASETS},
    }


def _kernels() -> dict[str, Any]:
    try:
        from ..ops import _kernels
    except ImportError:
        return {"instruction_set": None, "instruction_sets": [], "openmp": None}
    sets = _kernels.instruction_sets()
    return {"instruction_set": sets[_kernels.set_in_use()], "instruction_sets": sets, "openmp": _kernels.openmp}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _place(dataset: str) -> str | None:
    try:
        folder = find(dataset)
    except InputError as error:  # SHIFTLEARN_DATA names no folder
        return str(error)
    return None if folder is None else str(folder)


def _lines(found: dict[str, Any]) -> dict[str, str]:
    kernels, threads, gpu = found["kernels"], found["threads"], found["gpu"]
    openmp = "with OpenMP" if kernels["openmp"] else "without OpenMP: they run on one thread"
    of_kernels = f"compiled, {openmp}" if kernels["compiled"] else f"none, since {kernels['why_not']}"
    sets = ", ".join(kernels["instruction_sets"])
    if gpu["name"] is None:
        of_gpu = "none that torch can use"
    elif gpu["kernels"] == "Triton":
        of_gpu = f"{gpu['name']}, with the Triton kernels"
    else:
        of_gpu = f"{gpu['name']}, with the slow reference kernels; SHIFTLEARN_TRITON=1 asks for those in Triton"
    lines = {name: found[name] for name in ("shiftlearn", "package", "python", "torch", "numpy", "platform")}
    lines["C++ kernels"] = of_kernels
    if kernels["compiled"]:
        lines["instruction set"] = f"{kernels['instruction_set']} (this machine runs: {sets})"
    lines["threads"] = f"{threads['torch']} of {threads['cores']} cores"
    lines["GPU"] = of_gpu
    lines["triton"] = gpu["triton"] or "not installed"
    for name, extra in _EXTRAS.items():
        lines[name] = found["extras"][name] or f"not installed: pip install 'shiftlearn[{extra}]'"
    for name, place in found["data"].items():
        lines[name] = place or "not found: downloaded when first used"
    return lines
