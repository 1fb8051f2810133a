"""A table of trees as a CSV file, and what a run leaves: what several tests of the command line share."""

from __future__ import annotations

import csv
import json

import numpy as np
from safetensors.torch import load_file

from shiftlearn.runs.checkpoint import CHECKPOINT

FAST = ("--epochs", "12", "--set", "layers=[0, 6, 0]", "--set", "batch=8", "--set", "lr=3e-2", "--threads", "1")
NAMES = ["length", "colour", "width", "kind"]
TIMINGS = ("train_seconds", "seconds", "samples_per_second")


def cells(rows=40, violet=()):
    """Rows of length, colour (text), width (with gaps) and kind; length tells the kind."""
    rng = np.random.default_rng(1)
    found = []
    for k in range(rows):
        label = k % 2
        colour = "violet" if k in violet else ["red", "blue"][rng.integers(2)]
        length, width = label + rng.normal(0, 0.15), rng.normal()
        found.append([f"{length:.4f}", colour, "" if k % 9 == 4 else f"{width:.3f}", ["elm", "oak"][label]])
    return found


def write(path, rows, names=NAMES):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *rows] if names else rows)
    return path


def records(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def results(folder):
    """All files of a run, without the times that they took."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name == "metrics.jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[path.name] = [{k: v for k, v in line.items() if k not in TIMINGS} for line in lines]
        elif path.name == "metrics.json":
            found[path.name] = {k: v for k, v in metrics(folder).items() if k not in TIMINGS}
        elif path.name == CHECKPOINT:  # its metadata hold the time
            found[path.name] = {name: x.tolist() for name, x in load_file(path).items()}
        else:
            found[path.name] = path.read_bytes()
    return found
