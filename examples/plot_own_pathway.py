"""
Your own feedback pathway
=========================

What carries the error back to a layer's inputs is one matrix. A pathway makes it, of the weights and of a fixed random
matrix.
"""

# %%
# Sparse feedback alignment: a fixed random matrix of which one entry in five is kept. Neither the weights nor their
# signs are read.

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import shiftlearn as sl


def sparse(weight, fixed):
    return fixed * (fixed > 0.8 * fixed.max())


sl.nn.pathways.register("sparse", sparse)

# %%
# The name can be given to a layer, as here, and as ``feedback`` to ``ShiftClassifier`` or in a recipe.

X, _, y, _ = train_test_split(*load_digits(return_X_y=True), test_size=0.4, random_state=0)
x, y = torch.from_numpy(X / 16).float(), torch.from_numpy(y)
z = sl.coding.on_off(x)


def learn(feedback):
    """Training and held-out accuracy after each of twelve epochs."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        sl.nn.ShiftLinear(128, 64, feedback=feedback), sl.nn.ShiftLinear(64, 10, feedback=feedback)
    )
    loss = sl.nn.FirstSpikeCrossEntropy(beta=4.0, label_smoothing=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    sl.nn.constrain(optimizer, model, homeostasis=1.2)
    curve = []
    for _ in range(12):
        for batch in torch.randperm(800).split(32):
            optimizer.zero_grad()
            loss(model(z[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            curve.append((sl.nn.first_to_fire(model(z[800:])) == y[800:]).float().mean().item())
    return curve


curves = {name: learn(name) for name in ("symmetric", "random", "sparse", "none")}
for name, curve in curves.items():
    print(f"{name:10} {curve[-1]:.1%}")

# %%
# With ``none`` only the output layer learns: what a pathway adds is the distance to it.

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for (name, curve), style in zip(curves.items(), ("-", "--", "-.", ":"), strict=True):
    ax.plot(range(1, 13), [100 * share for share in curve], style, label=name, linewidth=2)
ax.set(xlabel="epoch", ylabel="right answers, held out (%)")
ax.legend(title="feedback", frameon=False)
plt.show()
