"""
The three factors
=================

A synapse changes by a **local rule** (two spike times), times what a **feedback pathway** brings of the error, which is
what a **neuromodulator** makes of the answer. Each can be exchanged by itself.
"""

# %%
# A network of two layers over MNIST digits, and a function that trains it on 3,000 of them and counts the right answers
# for 1,000 others *of the training set*: with so few digits and epochs the numbers show that a combination learns, not
# how well it can. `The results <../results.html>`_ have the real ones.

import matplotlib.pyplot as plt
import torch

import shiftlearn as sl

images, labels = sl.data.load("mnist", "train")
x = torch.from_numpy(images[:4000].reshape(-1, 784))
y = torch.from_numpy(labels[:4000].astype("int64"))
encode = sl.coding.encoder("latency", 2.0)


def network(rule, feedback):
    """784-100-10, with one pathway for each layer, or direct feedback for the network."""
    own = "none" if feedback == "direct" else feedback
    sizes = (784, 100, 20.0), (100, 10, 8.0)
    layers = [sl.nn.ShiftLinear(n, m, rule, own, scale, min_drive=1e-3) for n, m, scale in sizes]
    return sl.nn.DirectFeedback(*layers) if feedback == "direct" else torch.nn.Sequential(*layers)


def accuracy(rule, feedback, loss, epochs=3):
    torch.manual_seed(0)
    model = network(rule, feedback)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    sl.nn.constrain(optimizer, model, homeostasis=1.2)
    for _ in range(epochs):
        for batch in torch.randperm(3000).split(50):
            optimizer.zero_grad()
            loss(model(encode(x[batch])), y[batch]).backward()  # .grad holds what the rule says
            optimizer.step()
    with torch.no_grad():
        return (sl.nn.first_to_fire(model(encode(x[3000:]))) == y[3000:]).float().mean().item()


# %%
# 1. The local rule. ``shifting`` is the published one, ``normalized`` divides by the slope with which the neuron
# reached threshold, ``exact`` is the gradient. With ``symmetric`` feedback ``normalized`` is the gradient but for a
# factor.
#
# 2. The feedback pathway. ``random`` and ``direct`` send the error through fixed random matrices: no synapse needs to
# know the weight of another.
#
# 3. The neuromodulator. An error for each output neuron, or one number for all: was the guess right?

cross_entropy = sl.nn.FirstSpikeCrossEntropy(beta=4.0, label_smoothing=0.1)
reward = sl.nn.RewardLoss(beta=1.0)
combinations = {
    "normalized, symmetric, error": ("normalized", "symmetric", cross_entropy),
    "exact, symmetric, error": ("exact", "symmetric", cross_entropy),
    "shifting, symmetric, error": ("shifting", "symmetric", cross_entropy),
    "normalized, random, error": ("normalized", "random", cross_entropy),
    "normalized, direct, error": ("normalized", "direct", cross_entropy),
    "normalized, direct, reward": ("normalized", "direct", reward),
}
found = {name: accuracy(*factors) for name, factors in combinations.items()}
for name, share in found.items():
    print(f"{name:30} {share:.1%}")

# %%
# One answer in ten would be right by chance (dotted).

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
bars = ax.barh(list(found), [100 * share for share in found.values()], color="#0072b2")
ax.bar_label(bars, fmt="%.0f", padding=3)
ax.axvline(10, color="#7f7f7f", linestyle=":")
ax.invert_yaxis()
ax.set(xlabel="right answers (%), 3,000 digits, 3 epochs, seed 0", xlim=(0, 100))
plt.show()
