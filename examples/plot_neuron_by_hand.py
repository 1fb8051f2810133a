"""
The neuron by hand
==================

One neuron, four inputs, no simulation: its spike time has a closed form, and the spikes that went into it are known.
"""

# %%
# The neuron does not leak. A spike of weight w at time t adds w·(1 − exp(−(now − t)/τ)) to its membrane potential, and
# it fires where the potential reaches 1. With z = exp(t/τ), the potential after the first inputs is S − N/z, where S is
# the sum of their weights and N that of weight times z: it reaches 1 at z = N / (S − 1).

import matplotlib.pyplot as plt
import numpy as np
import torch

import shiftlearn as sl

t_in = torch.tensor([[0.2, 0.5, 0.9, 2.2]], dtype=torch.float64)  # in units of τ
w = torch.tensor([[1.1], [0.9], [-0.4], [1.5]], dtype=torch.float64)  # the third inhibits

# %%
# By hand: take the inputs in the order of their times, and stop at the first crossing that comes before the next input.

z_in = sl.to_z(t_in)[0]
S = N = 0.0
for k in range(4):
    S, N = S + w[k, 0].item(), N + (w[k, 0] * z_in[k]).item()
    crossing = N / (S - 1) if S > 1 else np.inf
    if crossing <= (z_in[k + 1] if k < 3 else np.inf):
        break
print(f"after {k + 1} inputs: fires at t = {np.log(crossing):.6f} τ, slope of the potential there {S - 1:.3f} per τ")

# %%
# By the library: the crossing u, the number of inputs in the causal set, and the drive, which is that slope.

u, count, drive = sl.ops.first_spike(sl.SpikeEvents.from_dense(sl.to_z(t_in)), w)
print(f"shiftlearn: t = {sl.to_time(u).item():.6f} τ, causal set of {count.item()}, drive {drive.item():.3f}")
assert np.isclose(u.item(), crossing)
assert count.item() == k + 1

# %%
# The inhibitory input belongs to the causal set, as it came before the spike and delayed it; the last one came too late
# to matter. (Dashed: the potential without the inhibition.)

t = np.linspace(0, 3, 600)


def potential(weights):
    """Membrane potential at the times t, if it were never reset."""
    since = np.clip(t[:, None] - t_in.numpy(), 0, None)
    return ((1 - np.exp(-since)) * weights).sum(1)


weights = w[:, 0].numpy()
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.axhline(1, color="#7f7f7f", linewidth=1)
ax.text(0, 1.03, "threshold", color="#7f7f7f")
ax.plot(t, potential(np.where(weights > 0, weights, 0)), "--", color="#56b4e9")
ax.plot(t[t <= np.log(crossing)], potential(weights)[t <= np.log(crossing)], color="#0072b2", linewidth=2)
for number, (time, weight) in enumerate(zip(t_in[0], weights, strict=True)):
    causal = number < count.item()
    ax.axvline(time, 0, 0.12, color="#d55e00" if causal else "#7f7f7f", linewidth=3)
    ax.text(time + 0.03, -0.24, f"{weight:+.1f}", color="#d55e00" if causal else "#7f7f7f")
ax.plot(np.log(crossing), 1, "o", color="#0072b2")
ax.annotate(f"spike at {np.log(crossing):.2f} τ", (np.log(crossing), 1), xytext=(8, -16), textcoords="offset points")
ax.set(xlabel="time (τ)", ylabel="membrane potential", ylim=(-0.3, 1.5), xlim=(0, 3))
plt.show()
