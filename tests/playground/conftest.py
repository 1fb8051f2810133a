"""Small networks that the playground shows, their datasets and pages."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from shiftlearn import recipes
from shiftlearn.data import tasks
from shiftlearn.models.build import build
from shiftlearn.models.model import Model
from shiftlearn.playground import Check, page
from shiftlearn.training.step import Learner


@dataclass
class Case:
    model: Model
    task: tasks.Task
    html: str


def made(recipe_name="mnist", **settings):
    """A network after a few steps of training (on test samples: nothing is claimed of it), with delays."""
    recipe = recipes.override(
        recipes.read(recipe_name), {"lr": 5e-3, "init_scale": 8.0, "label_smoothing": 0.0} | settings
    )
    task = tasks.read(recipe, 0, None, ["test"])
    features = task.scale(recipe, task.test)
    recipe = tasks.fitted(recipe, task, features)
    generator = torch.Generator().manual_seed(1)
    model = Model(recipe, build(recipe, generator), 0, task.classes, features, task.digest)
    learner = Learner(model.network, recipe)
    learner.set_rates(0)
    for step in range(40):
        part = task.test[step * 50 % 1000 :][:50]
        learner.step(model.encode(model.values(task.take(part))), torch.from_numpy(task.labels[part]))
    with torch.no_grad():
        for layer in model.network:
            layer.delay.uniform_(1, 1.1, generator=generator)
        if len(model.network) > 1:
            model.network[0].shift[:, 7] = 0  # a silent neuron
    model.network.eval()
    return Case(model, task, page(model, task, Check(0.5, 10, 1)))


@pytest.fixture(scope="session")
def make():
    return made


@pytest.fixture(scope="session")
def mnist():
    return made(layers=[784, 60, 10])
