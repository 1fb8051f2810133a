"""The neuromorphic intermediate representation (NIR): a fully connected network as a graph of its nodes.

Each layer is ``Linear → LI → IF → Delay``, which is the neuron of this package exactly. A spike of weight w makes LI,
τ dI/dt = −I + r·w δ(t), jump by w / τ; IF, dv/dt = r·I, integrates that to w (1 − exp(−t / τ)), and spikes where v
passes 1; Delay is the axon. The reset to −10⁶ keeps a neuron from a second spike. Derived from the definitions of the
nodes (``nir/ir/neuron.py``, ``nir/ir/delay.py``).
"""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from .. import __version__
from ..errors import InputError
from ..files import readable
from ..models.model import Model
from ..nn import ShiftLinear
from ..nn.conv import fully_connected
from ..recipes.description import describe

if TYPE_CHECKING:
    from nir import NIRGraph

__all__ = ["from_nir", "require_nir", "to_nir"]

TAU = 5e-3  # seconds
THRESHOLD, RESET = 1.0, -1e6
NODES = ("Linear", "LI", "IF", "Delay")  # of a layer, in order


def require_nir() -> Any:
    """The package ``nir``, which is optional.

    Raises:
        InputError: it is not installed, or is older than 1.0.6, whose IF has no reset.
    """
    try:
        import nir
    except ImportError:
        raise InputError("the format NIR needs nir: pip install 'shiftlearn[nir]'") from None
    if "v_reset" not in nir.IF.__dataclass_fields__:
        raise InputError(f"the format NIR needs nir 1.0.6 or later, got {nir.version}: pip install 'shiftlearn[nir]'")
    return nir


def to_nir(model: Model | nn.Module, tau: float | None = None) -> NIRGraph:
    """A network as a NIR graph.

    Args:
        model: a trained model, or its network: ShiftLinear layers in sequence, with delays of 1 or more.
        tau: synaptic time constant in seconds, > 0; None: that of the recipe for a model of spike trains, whose times
            are given, otherwise 5 ms.

    Returns:
        A graph whose input spikes at t = τ ln z of every channel, and whose outputs spike at τ ln z of the network. All
        parameters are float64, times are in seconds. The nodes are ``input``, then ``layer1_linear``, ``layer1_li``,
        ``layer1_if``, ``layer1_delay``, ``layer2_linear`` …, and ``output``. ``metadata["time_unit"]`` is "s", and
        ``metadata["shiftlearn"]``, for a model, JSON that describes what NIR has no node for: the coding of the
        inputs, the scaling of a table's columns, the read-out and the names of the classes.

    Raises:
        InputError: modules other than single ShiftLinear layers, a delay below 1, a weight or delay that is not finite,
            a ``tau`` that is not positive, or nir is not installed.
    """
    nir = require_nir()
    if tau is None:
        tau = model.recipe.tau if isinstance(model, Model) and model.recipe.spike_trains else TAU
    if not 0 < tau < math.inf:
        raise InputError(f"tau must be positive and finite, in seconds, got {tau}")
    layers = _layers(model.network if isinstance(model, Model) else model)
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([layers[0].in_features])})}
    for number, layer in enumerate(layers, start=1):
        shift, delay = _float64(layer.shift), _float64(layer.delay)
        if not np.isfinite(shift).all():
            raise InputError(f"layer {number}: shift must be finite, got {shift[~np.isfinite(shift)][0]}")
        if not ((delay >= 1) & (delay < math.inf)).all():
            wrong = delay[~((delay >= 1) & (delay < math.inf))][0]
            raise InputError(f"layer {number}: delay must be 1 or more and finite for NIR, got {wrong:g}")
        ones = np.ones_like(delay)
        parameters = (
            {"weight": np.ascontiguousarray(shift.T)},
            {"tau": tau * ones, "r": ones, "v_leak": 0 * ones},
            {"r": ones, "v_threshold": THRESHOLD * ones, "v_reset": RESET * ones},
            {"delay": tau * np.log(delay)},
        )
        for kind, values in zip(NODES, parameters, strict=True):
            nodes[f"layer{number}_{kind.lower()}"] = getattr(nir, kind)(**values)
    nodes["output"] = nir.Output({"output": np.array([layers[-1].out_features])})
    names = list(nodes)
    metadata = {"time_unit": "s"}
    if isinstance(model, Model):
        metadata["shiftlearn"] = json.dumps(_description(model))
    return nir.NIRGraph(nodes=nodes, edges=list(pairwise(names)), metadata=metadata)


def _layers(network: nn.Module) -> list[ShiftLinear]:
    modules = list(network) if isinstance(network, nn.Sequential) else [network]
    layers = [m for m in modules if fully_connected(m) and m.members is None]
    if len(layers) < len(modules) or not layers:
        others = ", ".join(str(m) for m in modules if m not in layers) or "none"
        raise InputError(f"NIR takes networks of single ShiftLinear layers, got {others}")
    for before, after in pairwise(layers):
        if before.out_features != after.in_features:
            raise InputError(
                f"layers must fit together, got {before.out_features} outputs to {after.in_features} inputs"
            )
    return layers


def _float64(x: torch.Tensor) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = x.detach().cpu().double().numpy()
    return values


def _description(model: Model) -> dict[str, Any]:
    recipe = model.recipe
    return {
        "version": __version__,
        "description": describe(recipe),
        "dataset": Path(recipe.dataset).name,
        "preprocess": recipe.preprocess,
        "features": None if model.features is None else model.features.as_dict(),
        "coding": "spike trains" if recipe.spike_trains else recipe.coding,
        "coding_exponent": recipe.coding_exponent,
        "coding_levels": recipe.coding_levels,
        "coding_cells": recipe.coding_cells,
        "cue": recipe.cue > 0,
        "read_out": "earliest output wins; of tied ones the first, and the first if all are silent",
        "classes": list(model.classes),
    }


def from_nir(graph: NIRGraph | str | Path) -> nn.Sequential:
    """The network of a graph, or of the NIR file at that path, that is composed as :func:`to_nir` composes it.

    Returns:
        ShiftLinear layers in float64 over z = exp(t / τ), with the weights and delays of the graph. τ is in
        its LI nodes. Rules and feedback are the defaults of ShiftLinear.

    Raises:
        InputError: the file cannot be read, the graph is no such chain of nodes, or a parameter has another value or
            shape.
    """
    nir = require_nir()
    if isinstance(graph, nir.NIRGraph):
        return _network(graph)
    if not isinstance(graph, str | Path):
        raise InputError(f"graph must be a NIRGraph or the path of a NIR file, got {graph!r}")
    path = Path(graph)
    with readable(path, "a NIR file of shiftlearn's composition"), np.errstate(all="ignore"):
        return _network(nir.read(path))


def _network(graph: NIRGraph) -> nn.Sequential:
    nodes = _chain(graph)
    kinds = [type(node).__name__ for node in nodes]
    if len(kinds) < 6 or kinds != ["Input", *NODES * (len(kinds) // 4), "Output"]:
        raise InputError(f"graph must be Input, {', '.join(NODES)} for each layer, Output; got {', '.join(kinds)}")
    tau = next(iter(np.ravel(nodes[2].tau)), 0)
    if not 0 < tau < math.inf:
        raise InputError(f"LI.tau of layer 1 of the graph must be positive, got {tau}")
    layers: list[ShiftLinear] = []
    for start in range(1, len(nodes) - 1, 4):
        linear, li, spiking, axon = nodes[start : start + 4]
        of_layer = f"of layer {len(layers) + 1} of the graph"
        weight = np.asarray(linear.weight)
        if weight.ndim != 2 or weight.dtype.kind not in "fiu" or not np.isfinite(weight).all():
            raise InputError(f"Linear.weight {of_layer} must be a matrix of finite numbers, got {weight}")
        outputs, inputs = weight.shape
        for name, given, wanted in (
            ("LI.tau", li.tau, tau),
            ("LI.r", li.r, 1),
            ("LI.v_leak", li.v_leak, 0),
            ("IF.r", spiking.r, 1),
            ("IF.v_threshold", spiking.v_threshold, THRESHOLD),
            ("IF.v_reset", spiking.v_reset, RESET),
        ):
            if not np.array_equal(given, np.full(outputs, wanted)):
                raise InputError(f"{name} {of_layer} must be {outputs} times {wanted:g}, got {given}")
        if np.shape(axon.delay) != (outputs,) or not ((axon.delay >= 0) & (np.exp(axon.delay / tau) < math.inf)).all():
            raise InputError(f"Delay.delay {of_layer} must be {outputs} numbers of 0 or more, got {axon.delay}")
        layer = ShiftLinear(inputs, outputs, generator=torch.Generator(), dtype=torch.float64)
        with torch.no_grad():
            layer.shift.copy_(torch.from_numpy(weight.T.astype(np.float64)))
            layer.delay.copy_(torch.from_numpy(np.exp(axon.delay / tau)))
        layers.append(layer)
    return nn.Sequential(*layers)


def _chain(graph: NIRGraph) -> list[Any]:
    """The nodes from the input to the output, along the edges; their order in the graph means nothing."""
    follower = dict(graph.edges)
    name = next((name for name, node in graph.nodes.items() if type(node).__name__ == "Input"), None)
    nodes: list[Any] = []
    while name is not None and len(nodes) <= len(graph.nodes):  # more only in a circle
        nodes.append(graph.nodes[name])
        name = follower.get(name)
    if not len(nodes) == len(graph.nodes) == len(graph.edges) + 1:
        raise InputError(f"graph must be one chain from its input, got {len(graph.nodes)} nodes and {graph.edges}")
    return nodes
