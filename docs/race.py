"""Draws the first page's picture, from a trained run of the recipe mnist::

shiftlearn train mnist --epochs 3 --out runs/picture && python docs/race.py runs/picture
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import shiftlearn as sl

SAMPLE = 0  # of the test set
# Text, lesser things, pixels, hidden neurons, outputs; told apart by colour-blind eyes too.
COLOURS = {
    "light": ("#1f2328", "#7d8590", "#0072b2", "#009e73", "#d55e00"),
    "dark": ("#e6edf3", "#8b949e", "#56b4e9", "#2fc59b", "#e69f00"),
}

model = sl.load(sys.argv[1])
images, labels = sl.data.load("mnist", "test")
pixels = torch.from_numpy(images[SAMPLE].reshape(1, 784))
with torch.no_grad():
    hidden = model.network[0](model.encode(pixels))
    output = model.network[1](hidden)
t_pixels = sl.to_time(sl.coding.latency(pixels, model.recipe.coding_exponent))[0]
t_hidden, t_output = sl.to_time(hidden)[0], sl.to_time(output)[0]
winner = int(t_output.argmin())
lit = (pixels[0] > 0).nonzero()[:, 0]

for mode, (ink, grey, *lively) in COLOURS.items():
    blue, green, orange = lively
    with plt.rc_context({"text.color": ink, "axes.labelcolor": ink, "xtick.color": grey, "axes.edgecolor": grey}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.7), width_ratios=[1, 2.4], layout="constrained")
        figure.patch.set_alpha(0)
        for ax in (left, right):
            ax.patch.set_alpha(0)
        left.imshow(images[SAMPLE], cmap="gray" if mode == "dark" else "gray_r")
        left.set(xticks=[], yticks=[])
        left.set_xlabel("dark ink fires early" if mode == "light" else "bright ink fires early")
        rank = torch.empty(800)
        rank[t_hidden.argsort()] = torch.arange(800.0)
        right.scatter(t_pixels[lit], 2.15 + torch.linspace(0, 0.8, len(lit)), s=5, color=blue, linewidth=0)
        right.scatter(t_hidden, 1.1 + rank / 1000, s=4, color=green, linewidth=0)
        for digit, t in enumerate(t_output):
            if t.isfinite():
                first = digit == winner
                y = 0.9 - digit * 0.1
                right.plot(t, y, "o", ms=9 if first else 4, color=orange if first else grey)
                look = {"fontsize": 18, "color": orange, "weight": "bold", "ha": "right"}
                look = look if first else {"fontsize": 8, "color": grey}
                place = (-9 if first else 6, 0)
                right.annotate(str(digit), (t, y), xytext=place, textcoords="offset points", va="center", **look)
        right.axvline(t_output[winner], color=orange, linewidth=1, linestyle=":")
        for y, text, colour in ((2.55, "pixels", blue), (1.5, "800 hidden", green), (0.45, "10 outputs", orange)):
            right.text(-0.02, y, text, transform=right.get_yaxis_transform(), ha="right", va="center", color=colour)
        right.set(
            yticks=[], ylim=(-0.15, 3.05), xlim=(-0.1, 3.2), xlabel="time (τ): the first output to fire is the answer"
        )
        right.spines[["top", "right", "left"]].set_visible(False)
        figure.savefig(Path(__file__).parent / "_static" / f"race-{mode}.png", dpi=200)
        plt.close(figure)
print(f"label {labels[SAMPLE]}, answer {winner}, outputs fire at {t_output.min():.3f} to {t_output.max():.3f} tau")
