"""Small training runs, and what they leave."""

from __future__ import annotations

import json

from shiftlearn import recipes

TIMINGS = {"seconds", "samples_per_second", "train_seconds"}
RESULTS = ("weights.safetensors", "test_predictions.csv", "confusion_matrix.csv", "config.json")


class Watch:
    """A reporter that keeps what it hears and may interrupt the run."""

    def __init__(self, stop_after=0, stop_within=0, look=lambda: None):
        self.records, self.stop_after, self.stop_within, self.look = [], stop_after, stop_within, look

    def batch(self, epoch, share, loss, accuracy, samples_per_second):
        assert 0 < share <= 1
        self.look()
        if epoch == self.stop_within:
            raise KeyboardInterrupt

    def epoch(self, record):
        self.records.append(record)
        self.look()
        if record["epoch"] == self.stop_after:
            raise KeyboardInterrupt


def small(**settings):
    base = {"layers": [784, 16, 10], "init_scale": [20.0, 8.0], "epochs": 3, "batch": 30, "lr": 5e-3, "lr_final": 1e-3}
    return recipes.override(recipes.read("mnist"), base | settings)


def log(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMINGS} for line in lines]


def results(folder):
    """All that a run leaves, except the times it took."""
    metrics = json.loads((folder / "metrics.json").read_text())
    files = {name: (folder / name).read_bytes() for name in RESULTS}
    return files | {"log": log(folder), "metrics": {k: v for k, v in metrics.items() if k not in TIMINGS}}
