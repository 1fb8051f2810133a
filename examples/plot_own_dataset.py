"""
Your own dataset, by name
=========================

A function that returns samples and labels becomes a dataset that recipes can name.
"""

# %%
# One bar in the noise: vertical or horizontal? Training and test come from generators of their own, so that they
# are the same whenever they are asked for.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import shiftlearn as sl
from shiftlearn import recipes, train


def bars(split):
    random = np.random.default_rng({"train": 0, "test": 1}[split])
    labels, place = random.integers(0, 2, 1000), random.integers(0, 8, 1000)
    images = np.zeros((1000, 8, 8))
    images[np.arange(1000), :, place] = 200
    images = np.where(labels[:, None, None] == 1, images.transpose(0, 2, 1), images)
    return np.clip(images + random.normal(0, 30, images.shape), 0, 255).astype(np.uint8), labels


sl.data.register("bars", bars, classes=("vertical", "horizontal"))

# %%
# All settings of a recipe apply; convolutions too, as the samples are square images.

settings = {"dataset": "bars", "maps": [8], "kernel": 3, "layers": [64, 50, 2], "epochs": 6, "batch": 20, "lr": 5e-3}
recipe = recipes.override(recipes.read("mnist"), settings | {"init_scale": 8.0})
with tempfile.TemporaryDirectory() as folder:
    metrics = train(recipe, Path(folder))
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
