"""
Spike trains
============

Inputs that spike many times: what matters is hidden among other spikes, and only its timing tells the classes apart.
"""

# %%
# Trials of one second on 30 synapses with random background, and in each a pattern of ten spikes: early in the trial,
# or late? ``from_arrays`` takes flat arrays: when (in s, or another ``time_unit``), on which synapse, in which trial.
# (A file of these, ``.npz``, is a dataset of the command line.)

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier

import shiftlearn as sl
from shiftlearn.data.spike_trains.trials import from_arrays, to_events

random = np.random.default_rng(0)
pattern_times, pattern_synapses = np.sort(random.uniform(0, 0.15, 10)), random.permutation(30)[:10]
target = np.arange(600) % 2
times, synapses, trial = [], [], []
for number, late in enumerate(target):
    spikes = random.poisson(60)
    onset = random.uniform(0.5, 0.85) if late else random.uniform(0, 0.35)
    times += [random.uniform(0, 1, spikes), onset + pattern_times]
    synapses += [random.integers(0, 30, spikes), pattern_synapses]
    trial.append(np.full(spikes + 10, number))
times, synapses, trial = map(np.concatenate, (times, synapses, trial))
trials = from_arrays(times, synapses, trial, target, num_synapses=30)
events = to_events(trials, tau=0.2, cue=True)  # the cue is one more synapse, which spikes when the trial ends
print(events)

# %%
# The cue brings every neuron to threshold at the end of a trial, a little earlier or later according to all that came
# before. Its initial weight is large, the others are small.

torch.manual_seed(0)
layers = (
    sl.nn.ShiftLinear(31, 60, init_scale=0.3, min_drive=0.1),
    sl.nn.ShiftLinear(60, 2, init_scale=4.0, min_drive=0.1),
)
network = torch.nn.Sequential(*layers)
with torch.no_grad():
    layers[0].shift[-1] = 3.0
loss = sl.nn.FirstSpikeCrossEntropy(beta=20.0, readout="t")
optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
sl.nn.constrain(optimizer, network, homeostasis=1.2)
y = torch.from_numpy(target)
train, held_out = torch.arange(450), torch.arange(450, 600)
curve = []
for _ in range(20):
    for batch in train[torch.randperm(450)].split(30):
        optimizer.zero_grad()
        loss(network(events[batch]), y[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        curve.append(
            [(sl.nn.first_to_fire(network(events[k])) == y[k]).float().mean().item() for k in (train, held_out)]
        )

counts = np.zeros((600, 30))
np.add.at(counts, (trial, synapses), 1)
counting = RidgeClassifier().fit(counts[:450], target[:450]).score(counts[450:], target[450:])
print(f"held out: {curve[-1][1]:.1%}; a linear classifier of spike counts: {counting:.1%}")

# %%
# A trial, the spikes of the pattern marked, and how the network learned.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=[1.4, 1], layout="constrained")
shown = trial == 1
left.scatter(times[shown][:-10], synapses[shown][:-10], marker="|", color="#7f7f7f")
left.scatter(times[shown][-10:], synapses[shown][-10:], marker="|", color="#d55e00", s=80, linewidth=2)
left.set(xlabel="time (s)", ylabel="synapse", title="a trial with a late pattern")
epochs = range(1, len(curve) + 1)
for values, style, name in zip(100 * np.array(curve).T, ("-", "--"), ("training", "held out"), strict=True):
    right.plot(epochs, values, style, linewidth=2, label=name)
right.axhline(100 * counting, color="#7f7f7f", linestyle=":", label="spike counts")
right.set(xlabel="epoch", ylabel="right answers (%)")
right.legend(frameon=False)
plt.show()
