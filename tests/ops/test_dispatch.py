"""Which kernels the ops run, and what is said where these are slow ones."""

from __future__ import annotations

import importlib.machinery
import sys
import warnings
from pathlib import Path

import pytest
import torch

from shiftlearn import ops
from shiftlearn.ops import build, dispatch, reference

GIVEN = torch.tensor([[1.0, 2.0]])


@pytest.mark.parametrize("setting", [None, "", "0"])
def test_a_gpu_gets_the_reference_and_says_so_once(setting: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown on the CPU: what is registered for GPUs is called."""
    monkeypatch.delenv(dispatch.TRITON, raising=False)
    if setting is not None:
        monkeypatch.setenv(dispatch.TRITON, setting)
    run = dispatch.on_gpu("sort_spikes")
    dispatch._gpu.cache_clear()
    with pytest.warns(UserWarning, match="never run on a GPU.*SHIFTLEARN_TRITON=1"):
        got = run(GIVEN)
    assert all(map(torch.equal, got, reference.sort_spikes(GIVEN)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(GIVEN)
    dispatch._gpu.cache_clear()


def test_a_gpu_gets_the_triton_kernels_where_that_is_asked_for(triton_wanted: None) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")

    from shiftlearn.ops import gpu

    assert dispatch._gpu() is gpu


# ----------------------------------------------------------------------------------- why no C++ kernels


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a package without its kernels."""
    monkeypatch.setattr(ops, "__path__", [str(tmp_path / "source"), str(tmp_path)])
    monkeypatch.delitem(sys.modules, "shiftlearn.ops._kernels", raising=False)
    monkeypatch.delattr(ops, "_kernels", raising=False)
    return tmp_path


def test_kernels_that_were_never_built(missing: Path) -> None:
    assert build.why_no_kernels() == "they have not been built (install the package: pip install .)"


def test_kernels_that_could_not_be_built(missing: Path) -> None:
    (missing / "_build_error.txt").write_text("module.cpp:1:1: error: 'é' is no token.\n", encoding="utf-8")
    assert build.why_no_kernels() == "they could not be built: module.cpp:1:1: error: 'é' is no token"


def test_kernels_that_cannot_be_loaded(missing: Path) -> None:
    """Built, but a library of theirs is not there, say."""
    (missing / f"_kernels{importlib.machinery.EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    (missing / "_build_error.txt").write_text("of an earlier build\n")
    assert "they could not be loaded: " in build.why_no_kernels()
