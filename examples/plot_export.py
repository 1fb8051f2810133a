"""
Export to NIR
=============

The neuron is an exact composition of four nodes of the neuromorphic intermediate representation: a trained network can
leave for simulators, without being trained again.
"""

# %%
# A small network that has learned scikit-learn's digits, and its graph. Times are in seconds now: τ is 5 ms.

import matplotlib.pyplot as plt
import nir
import numpy as np
import torch
from sklearn.datasets import load_digits

import shiftlearn as sl
from shiftlearn.export import to_nir, write

X, y = load_digits(return_X_y=True)
z = sl.coding.latency(torch.from_numpy(X / 16).float())
torch.manual_seed(0)
network = torch.nn.Sequential(sl.nn.ShiftLinear(64, 40, init_scale=20.0), sl.nn.ShiftLinear(40, 10))
loss = sl.nn.FirstSpikeCrossEntropy(beta=4.0)
optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
sl.nn.constrain(optimizer, network, homeostasis=1.2)
for _ in range(5):
    for batch in torch.randperm(len(z)).split(32):
        optimizer.zero_grad()
        loss(network(z[batch]), torch.from_numpy(y)[batch]).backward()
        optimizer.step()

tau = 0.005
graph = to_nir(network, tau)
for name in ("layer1_linear", "layer1_li", "layer1_if", "layer1_delay"):
    print(name, type(graph.nodes[name]).__name__)

# %%
# To a file, and back with NIR's own reader; ``shiftlearn export RUN --format nir --out FILE`` does that for a run.

import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    write(network, Path(folder) / "digits.nir", tau=tau)
    print(f"{(Path(folder) / 'digits.nir').stat().st_size / 1024:.0f} KiB")
    read = nir.read(Path(folder) / "digits.nir")

# %%
# What those nodes do, integrated here in small steps from the file's own numbers: LI is the synaptic current, IF the
# membrane. Their first output spike of the hidden layer comes when the library says it does.

nodes = {kind: read.nodes[f"layer1_{kind}"] for kind in ("linear", "li", "if")}
dt, times = tau / 2000, tau * np.log(z[0].double().numpy())
steps = np.arange(0, 4 * tau, dt)
current, potential, traces = np.zeros(40), np.zeros(40), []
for now in steps:
    spikes = (times >= now - dt / 2) & (times < now + dt / 2)
    current += nodes["linear"].weight @ spikes / nodes["li"].tau
    potential = potential + dt * nodes["if"].r * current
    current -= dt * current / nodes["li"].tau
    traces.append(potential)
traces = np.array(traces)

with torch.no_grad():
    u, _, _ = sl.ops.first_spike(sl.SpikeEvents.from_dense(z[:1]), network[0].shift)
exact = tau * u[0].log().numpy()
early = np.argsort(exact)[:3]
simulated = np.array([steps[np.argmax(traces[:, j] >= 1)] for j in early])
print("simulated minus exact, in steps:", ((simulated - exact[early]) / dt).round(1))

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for j, colour in zip(early, ("#0072b2", "#d55e00", "#009e73"), strict=True):
    shown = steps <= exact[j]
    ax.plot(1000 * steps[shown], traces[shown, j], color=colour, linewidth=2)
    ax.axvline(1000 * exact[j], color=colour, linestyle=":")
ax.axhline(1, color="#7f7f7f", linewidth=1)
ax.set(xlabel="time (ms); dotted: the library's spike times", ylabel="membrane potential", ylim=(None, 1.2))
plt.show()
