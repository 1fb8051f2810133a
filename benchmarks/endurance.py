"""Whether memory and open files grow: a long training run, then many fits in one process.

    python benchmarks/endurance.py [--minutes 10] [--fits 1000] [--out endurance.json]

Resident memory and the number of file descriptors are noted at the end of every epoch of the recipe ``mnist``, and
after every tenth fit of ShiftClassifier to Iris (3 epochs each). The first fifth is left out as warm-up. Growth is the
slope of a straight line through the rest, with its standard error. Needs Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_iris

from shiftlearn import ShiftClassifier, recipes
from shiftlearn.training import callbacks, run

MIB = 2**20


@dataclass
class Watch(callbacks.Silent):
    """Notes how far the work is (in ``unit``), resident memory in MiB and descriptors; ends a run that had its time."""

    unit: str
    until: float = float("inf")
    began: float = field(default_factory=time.monotonic)
    seen: list[tuple[float, float, int]] = field(default_factory=list)

    def note(self, done: float) -> None:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.seen.append((done, pages * resource.getpagesize() / MIB, len(os.listdir("/proc/self/fd"))))

    def epoch(self, record: dict[str, Any]) -> None:
        self.note((time.monotonic() - self.began) / 60)
        if self.seen[-1][0] >= self.until:
            raise KeyboardInterrupt

    def summary(self) -> dict[str, Any]:
        done, memory, descriptors = np.array(self.seen[len(self.seen) // 5 :]).T
        (slope, _), covariance = np.polyfit(done, memory, 1, cov=True)
        return {"per": self.unit, "measured": len(done), "until": done[-1], "mib": [memory.min(), memory.max()],
                "mib_per_unit": slope, "standard_error": float(np.sqrt(covariance[0, 0])),
                "descriptors": [int(descriptors.min()), int(descriptors.max())]}  # fmt: skip


def train(minutes: float) -> Watch:
    recipe = recipes.override(recipes.read("mnist"), {"epochs": 100_000})
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch("minute", minutes)
        with contextlib.suppress(KeyboardInterrupt):
            run.start(recipe, Path(folder) / "run", 0, watch)
    return watch


def fit(fits: int) -> Watch:
    x, y = load_iris(return_X_y=True)
    watch = Watch("1000 fits")
    for k in range(1, fits + 1):
        ShiftClassifier(max_iter=3, random_state=k).fit(x, y).predict(x)
        if k % 10 == 0:
            watch.note(k / 1000)
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--fits", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="write the results as JSON to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'':12}{'until':>18}{'resident MiB':>18}{'growth / MiB':>24}{'descriptors':>14}")
    results = {}
    for name, watch in (("training", train(options.minutes)), ("fits", fit(options.fits))):
        row = results[name] = watch.summary()
        until = f"{row['until']:.2f} {row['per'].removeprefix('1000 ')}"
        growth = f"{row['mib_per_unit']:.3f} ± {row['standard_error']:.3f} per {row['per']}"
        low, high = row["mib"]
        print(f"{name:12}{until:>18}{low:9.1f} …{high:7.1f}{growth:>32}{row['descriptors']!s:>12}", flush=True)
    if options.out:
        Path(options.out).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
