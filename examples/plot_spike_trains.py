"""
Spike trains
============

Inputs that spike many times: what matters is then hidden among other spikes.
"""

# %%
# Trials of one second on 30 synapses with random background; in every second trial a pattern of ten spikes is hidden at
# a random moment. The network is to tell whether it was there. ``from_arrays`` takes flat arrays: when, on which
# synapse, in which trial. (A file of these, ``.npz``, is a dataset of the command line.)

import matplotlib.pyplot as plt
import numpy as np
import torch

import shiftlearn as sl
from shiftlearn.data.spike_trains import from_arrays, to_events

random = np.random.default_rng(0)
pattern = np.sort(random.uniform(0, 0.15, 10)), random.permutation(30)[:10]
times, synapses, trial = [], [], []
target = np.arange(600) % 2
for number, hidden in enumerate(target):
    spikes = random.poisson(60)
    times.append(random.uniform(0, 1, spikes))
    synapses.append(random.integers(0, 30, spikes))
    if hidden:
        times.append(random.uniform(0, 0.85) + pattern[0])
        synapses.append(pattern[1])
    trial.append(np.full(sum(map(len, times)) - sum(map(len, trial)), number))
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
homeostasis = sl.nn.Homeostasis(1.2)
y = torch.from_numpy(target)
train, held_out = torch.arange(450), torch.arange(450, 600)
curve = []
for _ in range(30):
    for batch in train[torch.randperm(450)].split(30):
        optimizer.zero_grad()
        loss(network(events[batch]), y[batch]).backward()
        optimizer.step()
        homeostasis(network)
        sl.nn.project_delays(network)
    with torch.no_grad():
        curve.append(
            [(sl.nn.first_to_fire(network(events[k])) == y[k]).float().mean().item() for k in (train, held_out)]
        )
print("training {:.1%}, held out {:.1%}".format(*curve[-1]))

# %%
# A trial with the pattern, whose spikes are marked, and how well the network found it.

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=[1.4, 1], layout="constrained")
first, last = trials.offsets[1], trials.offsets[2]
mine = slice(last - 10, last)
shown = trial == 1
left.scatter(times[shown], synapses[shown], marker="|", color="#7f7f7f")
left.scatter(times[shown][-10:], synapses[shown][-10:], marker="|", color="#d55e00", s=80)
left.set(xlabel="time (s)", ylabel="synapse", title="one trial")
right.plot(100 * np.array(curve), linewidth=2, label=["training", "held out"])
right.set(xlabel="epoch", ylabel="right answers (%)")
right.legend(frameon=False)
plt.show()
