"""Shared by all tests: processes and threads, the Hypothesis profiles, and fixtures that restore what they change."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # there are as many workers as cores; before the imports of NumPy and torch
    os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import Phase, settings

with warnings.catch_warnings():  # "installed without C++ kernels" must not stop the tests of the reference
    warnings.simplefilter("ignore", UserWarning)
    import shiftlearn.ops  # noqa: F401

if not torch.cuda.is_available():  # the GPU kernels then run on the CPU, in Triton's interpreter; before its import
    os.environ["TRITON_INTERPRET"] = "1"

settings.register_profile(
    "shiftlearn", deadline=None, max_examples=20, derandomize=bool(os.environ.get("CI")), print_blob=True
)
settings.register_profile("thorough", settings.get_profile("shiftlearn"), max_examples=150)
# A mutant need not be killed by the simplest example.
settings.register_profile("mutation", settings.get_profile("shiftlearn"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("shiftlearn")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.hasplugin("xdist"):  # pyproject.toml gives its options: then they mean nothing
        for name in ("--numprocesses", "--maxprocesses", "--dist"):
            parser.addoption(name, help="(pytest-xdist is not loaded)")
    parser.addoption("--kills", type=int, default=5, help="times that test_interruption.py kills a run at random")
    parser.addoption("--fuzz", type=int, default=15, help="damaged files of each kind that tests/fuzz tries")


def pytest_configure(config: pytest.Config) -> None:
    if any("::" in argument for argument in config.args) and config.option.markexpr == "not slow":
        config.option.markexpr = ""  # a test that is named runs, slow or not


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often a run is killed at a random moment."""
    number: int = request.config.getoption("--kills")
    return number


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> int:
    """How many damaged files of each kind are tried."""
    number: int = request.config.getoption("--fuzz")
    return number


@pytest.fixture
def threads() -> Iterator[None]:
    """The test may call torch.set_num_threads; the number is put back afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test registers under a name is gone afterwards."""
    from shiftlearn import data
    from shiftlearn.ops import rules
    from shiftlearn.registry import CODINGS, FEEDBACK

    for registry in (rules._RULES, FEEDBACK, CODINGS, data.DATASET_NAMES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        monkeypatch.setattr(registry, "_functions", dict(registry._functions))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks of a few neurons are slower on several threads, much slower where other work wants the cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], threads: None
) -> Callable[..., tuple[int, str, str]]:
    """The command line within this process: exit code, standard output, standard error."""
    from shiftlearn import cli

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["shiftlearn", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """The C++ kernels run with this instruction set; the widest one is put back afterwards."""
    kernels = pytest.importorskip("shiftlearn.ops._kernels", reason="installed without C++ kernels")
    try:
        kernels.use_instruction_set(request.param)
    except ValueError:
        pytest.skip(f"this machine does not run {request.param}")
    yield request.param
    kernels.use_instruction_set(kernels.instruction_set())


@pytest.fixture
def triton_wanted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What runs on a GPU gets the Triton kernels."""
    from shiftlearn.ops import dispatch

    monkeypatch.setenv(dispatch.TRITON, "1")
    dispatch._gpu.cache_clear()
    yield
    dispatch._gpu.cache_clear()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder of some name: the first process that asks fills it, for the whole session; the others wait for it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of all workers

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        path = root / f"once-{name}"
        with FileLock(f"{path}.lock"):
            if not (path / "made").exists():
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                make(path)
                (path / "made").touch()
        return path

    return folder


@pytest.fixture(scope="session")
def trained(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """The run folder of digits with 20 hidden neurons; all of its delays are above 1 in part. Not to be changed."""
    from shiftlearn import recipes
    from shiftlearn.training import callbacks, run

    def train(folder: Path) -> None:
        settings = {"layers": [0, 20, 0], "epochs": 8, "validation": 100, "delay_lr": 3e-3, "delay_lr_final": 3e-4}
        run.start(recipes.override(recipes.read("digits"), settings), folder / "digits", 0, callbacks.Silent())

    return made_once("trained", train) / "digits"


@pytest.fixture(scope="session")
def mnist_files() -> Path:
    """The folder of MNIST's files. A source distribution has none: the test is then skipped."""
    from shiftlearn import data

    folder = data.find("mnist")
    if folder is None:
        pytest.skip("MNIST is not here: name the folder that holds mnist/ in SHIFTLEARN_DATA")
    return folder.absolute()


@pytest.fixture(scope="session")
def digits(mnist_files: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A slice of the real digits: 1,000 images and labels to train on, 300 to test."""
    from shiftlearn import data

    train, test = data.load("mnist", "train"), data.load("mnist", "test")
    return {"train": (train[0][:1000], train[1][:1000]), "test": (test[0][:300], test[1][:300])}


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch, digits: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """Small splits instead of the whole ones; the list of those that were read."""
    from shiftlearn import data

    read = []

    def load(
        name: str, split: str, data_dir: str | None = None, progress: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        read.append(split)
        return digits[split]

    monkeypatch.setattr(data, "load", load)
    return read
