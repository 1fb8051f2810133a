"""
A first network in five lines
=============================

Digits of 8 by 8 pixels become spike times, a hidden layer and an output layer fire, and the earliest output is the
answer.
"""

# %%
# Train and test. The classifier scales its inputs and turns each value into the times of two spikes: one that comes
# early where the value is large, and one that comes early where it is small.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import shiftlearn as sl

X_train, X_test, y_train, y_test = train_test_split(*load_digits(return_X_y=True), test_size=0.4, random_state=0)
classifier = sl.ShiftClassifier(n_members=1, max_iter=15, random_state=0).fit(X_train, y_train)
print(f"{classifier.score(X_test, y_test):.1%} of {len(y_test)} digits it had not seen")

# %%
# What happened in there: the spike times of the ten output neurons, for three of those digits. The race is decided by
# the leftmost mark; the others need not fire at all.

import matplotlib.pyplot as plt
import torch

encode = sl.coding.encoder(classifier.recipe_.coding, classifier.recipe_.coding_exponent)
values = torch.from_numpy(classifier.features_.transform(list(X_test[:3].T)))
with torch.no_grad():
    z = classifier.network_(encode(values)[None])[0]  # of the first and only member
t = sl.to_time(z).numpy()

figure, axes = plt.subplots(2, 3, figsize=(8, 4.5), height_ratios=[1, 1.6], layout="constrained")
for k in range(3):
    axes[0, k].imshow(X_test[k].reshape(8, 8), cmap="gray")
    axes[0, k].set_axis_off()
    winner = int(t[k].argmin())
    axes[1, k].scatter(
        t[k], range(10), c=["#d55e00" if j == winner else "#7f7f7f" for j in range(10)], marker="|", s=160
    )
    axes[1, k].set(title=f"answer {winner}, label {y_test[k]}", xlabel="spike time (τ)", yticks=range(10))
axes[1, 0].set_ylabel("output neuron")
plt.show()
