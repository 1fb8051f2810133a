r"""
Your own rule
=============

A local rule is one short function. Here are two: only the *order* of two spikes counts, and an exponential window of
spike-timing-dependent plasticity.
"""

# %%
# Every rule changes a synapse from input i to neuron j by
# :math:`\Delta W_{ij} = \sum_b m_{bij}\,(a_{bj} z_{bi} - c_{bj})`, where m says that the input came before the spike. A
# rule chooses the coefficients; a and c say what its synapses learn, f what is sent back, g what the delay learns. `The
# page on extensions <../extend.html>`_ derives which rules have this form.
#
# The published rule with nothing but the sign of z_in − z_out kept: that is −1 for all causal inputs, so a = 0, c = δ.

import matplotlib.pyplot as plt
import torch

import shiftlearn as sl
from shiftlearn.ops.rules import Coefficients


def sign_only(delta, u, drive, delay):
    return Coefficients(a=torch.zeros_like(delta), c=delta, f=delta, g=delta * u * delay)


# %%
# The window exp(−(t_out − t_in)/τ) of the synapse's own time constant is z_in / z_out: so a = −δ/z_out, c = 0. (The
# optimizer subtracts; a positive δ says that the neuron should have fired earlier, so causal synapses grow.) Neurons
# that stayed silent come with δ = 0 and u = 0, which must not become 0/0. Dividing δ by the drive, the slope with which
# the neuron reached threshold, is what ``normalized`` does to the published rule.


def exponential(delta, u, drive, delay):
    delta = delta / drive
    z_out = torch.where(u > 0, u * delay, 1.0)
    return Coefficients(a=-delta / z_out, c=torch.zeros_like(delta), f=delta, g=delta * z_out)


sl.rules.register("sign-only", sign_only)
sl.rules.register("exponential", exponential)

# %%
# From here on their names are as good as the others: in layers, in ``ShiftClassifier``, and in recipes, such as that
# for scikit-learn's digits. A fifth of the digits stays aside as the recipe's test set; 300 of the others are held out.

import json
import tempfile
from pathlib import Path

from shiftlearn import recipes, train

found = {}
for rule in ("sign-only", "exponential", "shifting", "normalized"):
    settings = {"rule": rule, "layers": [0, 100, 0], "epochs": 8, "validation": 300}
    with tempfile.TemporaryDirectory() as folder:
        train(recipes.override(recipes.read("digits"), settings), Path(folder))
        *_, last = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    found[rule] = json.loads(last)["validation_accuracy"]
    print(f"{rule:12} {found[rule]:.1%} of 300 held-out digits")

# %%
# The four as windows: what a synapse gains from one spike pair, for δ = 1 and a neuron that fires at t_out = 2 τ. (All
# are scaled to 1 at their largest; the optimizer, Adam, does about the same.) The gradient's window is the difference
# of the first two.

before = torch.linspace(0, 2, 200, dtype=torch.float64)
z = torch.exp(2 - before)[None]  # one sample, one input for each time before the output spike
one = torch.ones(1, 1, dtype=torch.float64)
figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for rule, style in zip(found, ("-", "--", "-.", ":"), strict=True):
    a, c, _, _ = sl.rules.get(rule)(one, one * torch.e**2, one, one)
    gain = -(a * z - c)[0]
    ax.plot(-before, gain / gain.max(), style, label=f"{rule}: {found[rule]:.0%} of the digits", linewidth=2)
ax.set(xlabel="input spike minus output spike (τ)", ylabel="what the synapse gains")
ax.legend(frameon=False)
plt.show()
