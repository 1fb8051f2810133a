"""An event-driven interpreter of NIR graphs, by the definitions of their nodes and nothing of this package.

Signals are lists of (time, vector), ascending in time: the strengths of the spikes that each channel carries then.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

nir = pytest.importorskip("nir", reason="installed without the extra nir")  # for whoever imports this

Floats = np.ndarray[Any, np.dtype[np.float64]]
Signal = list[tuple[float, Floats]]


def chain(graph: nir.NIRGraph) -> list[nir.NIRNode]:
    """The nodes from input to output, along the edges."""
    (name,) = graph.inputs
    nodes = [graph.nodes[name]]
    while name not in graph.outputs:
        (name,) = [after for before, after in graph.edges if before == name]
        nodes.append(graph.nodes[name])
    return nodes


def run(graph: nir.NIRGraph, times: Floats) -> tuple[Floats, float]:
    """The one spike time of every output, inf if there is none, and how clearly thresholds were reached or missed.

    Args:
        graph: Linear, LI, IF and Delay in any number, each LI followed by IF.
        times: (in,) the spike time of every input, in the unit of the graph; inf for no spike.

    Returns:
        times: (out,) of the outputs.
        margin: the least |v − v_threshold|, at an input spike or in the limit, of a neuron that has not spiked.
    """
    signal = [(t, (times == t).astype(np.float64)) for t in np.unique(times[np.isfinite(times)])]
    margin = math.inf
    nodes = chain(graph)
    for node, after in pairwise(nodes):
        match node:
            case nir.Linear():
                signal = [(t, node.weight @ x) for t, x in signal]
            case nir.LI():
                assert isinstance(after, nir.IF)
                signal, least = spikes(signal, node, after)
                margin = min(margin, least)
            case nir.Delay():
                late = [(t + node.delay[j], j) for t, x in signal for j in np.flatnonzero(x)]
                signal = [(t, np.eye(len(node.delay))[j]) for t, j in sorted(late)]
            case _:
                assert isinstance(node, nir.Input | nir.IF)
    result = np.full(nodes[-1].output_type["output"], math.inf)
    for t, x in signal:
        assert np.isinf(result[x > 0]).all()  # one spike each
        result[x > 0] = t
    return result, margin


def spikes(signal: Signal, li: nir.LI, neuron: nir.IF) -> tuple[Signal, float]:
    """What LI and IF make of weighted spikes; between two of them all is known in closed form."""
    assert (li.v_leak == 0).all()
    current, v, now, margin = np.zeros_like(li.tau), np.zeros_like(li.tau), 0.0, math.inf
    fired = np.zeros(len(v), bool)
    found = []
    for time, x in [*signal, (math.inf, np.zeros_like(v))]:
        since = np.full_like(v, now)
        while True:  # until none crosses before ``time``
            reach = neuron.r * current * li.tau  # what v would still gain if no input came
            gained = -reach * np.expm1(-(time - since) / li.tau)
            margin = min([margin, *np.abs(v + gained - neuron.v_threshold)[~fired]])
            crosses = v + gained > neuron.v_threshold
            if not crosses.any():
                break
            wait = -li.tau * np.log1p(-np.where(crosses, (neuron.v_threshold - v) / np.where(crosses, reach, 1), 0))
            at = since + wait
            found += [(at[j], np.eye(len(v))[j]) for j in np.flatnonzero(crosses)]
            fired |= crosses
            current = np.where(crosses, current * np.exp(-wait / li.tau), current)
            since = np.where(crosses, at, since)
            v = np.where(crosses, neuron.v_reset, v)
        if time < math.inf:
            v = v + gained
            current = current * np.exp(-(time - since) / li.tau) + li.r * x / li.tau
        now = time
    return sorted(found, key=lambda spike: spike[0]), margin
