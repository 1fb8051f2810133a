"""
Your own coding
===============

A coding turns values into spike times. This one keeps only their order: the largest value of a sample fires first, the
second largest second, and what is 0 stays silent (rank-order coding).
"""

# %%
# The function gets values from 0 to 1 and the recipe's ``coding_exponent``, the time of the last spike in units of τ.
# It returns z = exp(t/τ), and inf for no spike.

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

import shiftlearn as sl


def rank_order(x, exponent):
    rank = x.argsort(dim=-1, descending=True, stable=True).argsort(-1)
    z = torch.exp(exponent * rank / (x.shape[-1] - 1))
    return z.masked_fill(x == 0, torch.inf)


sl.coding.register("rank-order", rank_order)

# %%
# A recipe can say it by name. ``from shiftlearn.cli import main; main()`` at the end of a file like this one would give
# its command line the new name too: ``python plot_own_coding.py train digits --set coding=rank-order``.

import json
import tempfile
from pathlib import Path

from shiftlearn import recipes, train

for coding in ("latency", "rank-order"):
    settings = {"coding": coding, "layers": [0, 100, 0], "epochs": 6, "validation": 300}
    with tempfile.TemporaryDirectory() as folder:
        train(recipes.override(recipes.read("digits"), settings), Path(folder))
        *_, last = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    print(f"{coding:10} {json.loads(last)['validation_accuracy']:.1%} of 300 held-out digits")

# %%
# Ranks do not change when the picture gets darker; latencies do.

image = torch.from_numpy(load_digits().images[0] / 16).float().reshape(1, 64)
figure, axes = plt.subplots(2, 3, figsize=(7.5, 4.4), layout="constrained")
for row, light in zip(axes, (1.0, 0.5), strict=True):
    row[0].imshow(light * image.reshape(8, 8).numpy(), cmap="gray", vmin=0, vmax=1)
    row[0].set_ylabel(f"light × {light:g}")
    for ax, coding in zip(row[1:], ("latency", "rank-order"), strict=True):
        t = sl.to_time(sl.coding.encoder(coding, 2.0)(light * image)).reshape(8, 8).numpy()
        drawn = ax.imshow(t, cmap="viridis_r", vmin=0, vmax=2)
        ax.set_title(coding)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
figure.colorbar(drawn, ax=axes[:, 2], label="spike time (τ); white: silent")
plt.show()
