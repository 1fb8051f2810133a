"""A trained network, small enough to simulate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shiftlearn import recipes
from shiftlearn.training import callbacks, run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of digits with 20 hidden neurons; all of its delays are above 1 in part."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "digits"
    settings = {"layers": [0, 20, 0], "epochs": 8, "delay_lr": 3e-3, "delay_lr_final": 3e-4}
    run.start(recipes.override(recipes.read("digits"), settings), folder, 0, callbacks.Silent())
    return folder
