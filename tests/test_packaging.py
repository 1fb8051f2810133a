"""The source distribution, and what is built of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("scikit_build_core", reason="the build back end is not installed: pip install 'shiftlearn[test]'")
ROOT = Path(__file__).parents[1]
MEGABYTE = 10**6


def attempt(kind, source, out, **environment):
    """The finished process of the build back end."""
    script = f"from scikit_build_core.build import build_{kind}; print(build_{kind}({str(out)!r}))"
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=source,
        env=os.environ | {"SHIFTLEARN_REQUIRE_KERNELS": ""} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def build(kind, source, out, **environment):
    """The file that the build back end makes of a source tree in a process of its own."""
    done = attempt(kind, source, out, **environment)
    assert done.returncode == 0, done.stdout
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    out = tmp_path_factory.mktemp("sdist")
    return build("sdist", ROOT, out, SOURCE_DATE_EPOCH="1700000000")


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


def test_the_sdist_has_what_is_needed_and_no_more(sdist, unpacked):
    assert sdist.stat().st_size < 2 * MEGABYTE
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE", "src/shiftlearn/ops/cpu/module.cpp"} <= names
    assert {"src/shiftlearn/recipes/mnist.toml", "tests/conftest.py", "tests/training/golden/layer_12x7.npz"} <= names
    unwanted = (".ci/", ".git/", ".venv/", "build/", "dist/", "runs/", "datasets/mnist/", "datasets/fashion-mnist/")
    assert not [name for name in names if name.startswith(unwanted) or "cache__" in name or "_cache/" in name]
    assert not [name for name in names if name.endswith((".gz", ".so", ".pyc"))]
    weights = [name for name in names if name.endswith(".safetensors")]
    assert all(name.startswith("tests/runs/old_runs/") for name in weights)  # small, and read by the tests


def test_the_sdist_is_reproducible(sdist, unpacked, tmp_path):
    """Built again, of another folder, later and with other permissions: the same bytes."""
    copy = tmp_path / "copy"
    shutil.copytree(unpacked, copy)
    for path in copy.rglob("*"):
        os.utime(path, (time.time() + 5,) * 2)
        path.chmod(0o700 if path.is_dir() else 0o600)
    again = build("sdist", copy, tmp_path, SOURCE_DATE_EPOCH="1700000000")
    assert again.name == sdist.name
    assert again.read_bytes() == sdist.read_bytes()


NO_COMPILER = {"CXX": "/bin/false", "CC": "/bin/false"}


@pytest.fixture
def failing(unpacked, tmp_path):
    """A compiler that passes CMake's tests and finds an error in the kernels."""
    if shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler")
    script = tmp_path / "failing"
    error = f"{unpacked}/src/shiftlearn/ops/cpu/module.cpp:7:3: error: 'boom' was not declared in this scope"
    script.write_text(
        f"""#!/bin/sh
case "$*" in
  *ops/cpu*|*nanobind*) echo "{error}" >&2; exit 1;;
  *) exec c++ "$@";;
esac
"""
    )
    script.chmod(0o755)
    return {"CXX": str(script)}


@pytest.mark.parametrize(
    ("compiler", "why"),
    [
        pytest.param(
            "none", 'CMake: The C++ compiler "/bin/false" is not able to compile a simple test program',
            marks=pytest.mark.slow, id="no compiler",
        ),
        pytest.param(
            "failing", "src/shiftlearn/ops/cpu/module.cpp:7:3: error: 'boom' was not declared in this scope",
            id="compile error",
        ),
    ],
)  # fmt: skip
def test_without_kernels(compiler, why, unpacked, tmp_path, request):
    """The reference kernels alone: they give the same spike times, and the warning says once what went wrong."""
    environment = NO_COMPILER if compiler == "none" else request.getfixturevalue("failing")
    before = sorted(unpacked.rglob("*"))
    wheel = build("wheel", unpacked, tmp_path, **environment)
    assert sorted(unpacked.rglob("*")) == before  # another build of the same tree may be at work
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if "_kernels." in name and not name.endswith(".pyi")]
        assert [name for name in archive.namelist() if "/cpu/" in name] == ["shiftlearn/ops/cpu/__init__.py"]
        assert "shiftlearn/recipes/mnist.toml" in archive.namelist()
        archive.extractall(tmp_path / "site")
    script = """
import warnings, torch
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import shiftlearn as sl
    z = sl.ops.fire(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0], [1.0]]), torch.ones(1))
    sl.ops.fire(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0], [1.0]]), torch.ones(1))
from shiftlearn.cli.doctor import findings
print(sl.__file__, z.item(), findings()["kernels"]["why_not"], sep="\\n")
print(*(w.message for w in caught if "shiftlearn" in str(w.message)), sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    file, z, told, *warned = done.stdout.splitlines()
    assert file == str(tmp_path / "site/shiftlearn/__init__.py")
    assert float(z) == 3.0  # (1 + 2) / (2 - 1)
    assert len(warned) == 1
    assert "without its C++ kernels" in warned[0]
    assert f"since they could not be built: {why}" in warned[0]
    assert why in told


def test_kernels_that_are_required(unpacked, tmp_path):
    """The build fails, and its last words hold the first error."""
    done = attempt("wheel", unpacked, tmp_path, SHIFTLEARN_REQUIRE_KERNELS="1", **NO_COMPILER)
    assert done.returncode != 0
    assert "C++ kernels could not be built" in done.stdout
    assert not list(tmp_path.glob("*.whl"))
