"""
Your own dataset, by name
=========================

A function that returns samples and labels becomes a dataset that recipes can name.
"""

# %%
# Bars and stripes, with noise: vertical or horizontal? Training and test come from generators of their own, so that they
# are the same whenever they are asked for.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import shiftlearn as sl
from shiftlearn import recipes, training


def bars(split):
    random = np.random.default_rng({"train": 0, "test": 1}[split])
    labels = random.integers(0, 2, 1000)
    lines = random.integers(0, 2, (1000, 1, 8)) * np.ones((1, 8, 1))
    images = np.where(labels[:, None, None] == 1, lines.transpose(0, 2, 1), lines)
    return np.clip(images * 200 + random.normal(0, 60, images.shape), 0, 255).astype(np.uint8), labels


sl.data.register("bars", bars, classes=("vertical", "horizontal"))

# %%
# All of a recipe's settings apply. Convolutions too, as the samples are square images.

recipe = recipes.override(
    recipes.read("mnist"), {"dataset": "bars", "layers": [64, 50, 2], "epochs": 8, "batch": 20, "lr": 5e-3}
)
with tempfile.TemporaryDirectory() as folder:
    metrics = training.start(recipe, Path(folder), seed=0, reporter=training.Silent())
    model = sl.load(folder)
print(f"test accuracy {metrics['test_accuracy']:.1%}")

# %%
# Answers for the first samples of the test part.

images, labels = sl.data.load("bars", "test")
answers = model.predict(images[:8])
figure, axes = plt.subplots(1, 8, figsize=(9, 1.8), layout="constrained")
for ax, image, answer in zip(axes, images, answers, strict=False):
    ax.imshow(image, cmap="gray")
    ax.set_axis_off()
    ax.set_title(model.classes[answer], fontsize=9)
plt.show()
