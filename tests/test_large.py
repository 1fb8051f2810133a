"""Long and large: data beyond the memory, and memory and open files that stay as they are."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from shiftlearn import ShiftClassifier, data, load, recipes
from shiftlearn.training import callbacks, run

LINUX = Path("/proc/self/statm").exists()
pytestmark = [pytest.mark.usefixtures("own_names", "one_thread"), pytest.mark.skipif(not LINUX, reason="not Linux")]

SMALL = {"dataset": "large", "layers": [64, 8, 2], "epochs": 2, "batch": 16, "lr": 5e-3, "validation": 40}
BEYOND = """
import resource, sys
from pathlib import Path
import numpy as np
from shiftlearn import data, load, recipes, train
from shiftlearn.models.evaluation import evaluate, task_of

folder = Path(sys.argv[1])
x = np.load(folder / "x.npy", mmap_mode="r")
y = np.arange(len(x)) % 2
parts = {"train": slice(0, -500), "test": slice(-500, None)}
data.register("large", lambda part: (x[parts[part]], y[parts[part]]), ("even", "odd"))
settings = {"dataset": "large", "layers": [x.shape[1], 8, 2], "epochs": 1, "batch": 100, "validation": 500}
# Libraries and threads take their share of the address space first.
small = [np.array(x[:100, :50]), np.arange(100) % 2]
data.register("small", lambda part: small, ("even", "odd"))
few = {"dataset": "small", "layers": [50, 8, 2], "epochs": 1, "batch": 100, "validation": 10}
train(recipes.override(recipes.read("mnist"), few), folder / "small")
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + x.nbytes // 2, resource.RLIM_INFINITY))
if sys.argv[2] == "copied":
    x = np.array(x)
train(recipes.override(recipes.read("mnist"), settings), folder / "run")
model = load(folder / "run")
found = [evaluate(model, task_of(model, None, [part]), part).accuracy for part in ("test", "train")]
print(*found, model.predict(x).shape)
"""


NOISE = 2**24  # bytes that the allocator may keep or not


def resident() -> int:
    """Bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def held() -> tuple[int, int]:
    """Tensors that Python knows, and open files."""
    gc.collect()
    tensors = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
    return len(tensors), len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["mapped", "copied"])
def test_data_beyond_the_address_space_are_streamed(how: str, tmp_path: Path) -> None:
    """Training, evaluation and prediction may take half the data's size more than the mapping; a copy does not fit."""
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (20_000, 20_000))  # a sparse file of 400 MB
    x[1::2, :50] = 255
    x[::2, -50:] = 255
    del x
    # Large blocks are mapped one by one: in a heap that they share with small ones they may find no room though it is
    # free.
    settings = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    command = [sys.executable, "-c", BEYOND, str(tmp_path), how]
    ran = subprocess.run(command, capture_output=True, text=True, env=settings)
    if how == "copied":
        assert "MemoryError" in ran.stderr
    else:
        assert ran.stdout == "1.0 1.0 (20000,)\n", ran.stderr


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_memory_map_gives_the_same_bits(dtype: type, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (200, 8, 8), np.uint8) if dtype is np.uint8 else rng.random((200, 8, 8), np.float32)
    y = rng.integers(0, 2, 200)
    np.save(tmp_path / "x.npy", x)
    found = []
    for name, samples in (("memory", x), ("map", np.load(tmp_path / "x.npy", mmap_mode="r"))):
        data.register("large", lambda part, samples=samples: (samples, y), ("even", "odd"), replace=True)
        run.start(recipes.override(recipes.read("mnist"), SMALL), tmp_path / name, 0, callbacks.Silent())
        found.append([*load(tmp_path / name).network.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_samples_are_not_written_to(tmp_path: Path) -> None:
    """What is not copied must not change: moved images and disturbed spikes are made of copies."""
    x = np.random.default_rng(0).random((60, 8, 8), np.float32)
    before = x.copy()
    data.register("large", lambda part: (x, np.arange(60) % 2), ("even", "odd"))
    changes = {"validation": 10, "translate": 1, "jitter": 0.1, "deletion": 0.1}
    recipe = recipes.override(recipes.read("mnist"), SMALL | changes)
    run.start(recipe, tmp_path / "run", 0, callbacks.Silent())
    load(tmp_path / "run").predict(x)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("side", [8, pytest.param(28, marks=pytest.mark.slow)])
def test_training_holds_memory_and_descriptors(side: int, tmp_path: Path) -> None:
    """After the first epochs a run takes no more: a step of 100 large images, and its events, take 0.9 MB."""
    x = np.random.default_rng(0).integers(0, 256, (1000, side, side), np.uint8)
    data.register("large", lambda part: (x, np.arange(1000) % 2), ("even", "odd"))
    seen: list[tuple[int, tuple[int, int]]] = []

    class Watch(callbacks.Silent):
        def epoch(self, record: dict) -> None:
            seen.append((resident(), held()))

    recipe = recipes.override(recipes.read("mnist"), SMALL | {"layers": [side**2, 32, 2], "epochs": 8, "batch": 100})
    run.start(recipe, tmp_path / "run", 0, Watch())
    (early, few), (late, then) = seen[2], seen[-1]
    assert then == few
    assert late - early < NOISE  # not 5 epochs of 10 steps, 45 MB


@pytest.mark.parametrize("hidden", [16, pytest.param(20_000, marks=pytest.mark.slow)])
def test_fits_leave_nothing_behind(hidden: int) -> None:
    """Weights of a large network and its optimizer's take 2.6 MB."""
    x, y = load_iris(return_X_y=True)
    classifier = ShiftClassifier((hidden,), max_iter=1, random_state=0, n_members=1)
    for _ in range(4):
        classifier.fit(x, y)
    memory, few = resident(), held()
    for _ in range(20):
        classifier.fit(x, y)
    assert held() == few
    assert resident() - memory < NOISE  # not 52 MB
