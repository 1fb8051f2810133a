"""``shiftlearn doctor``, and the allocator of the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from shiftlearn.ops import dispatch


def test_it_shows_what_is_found(call, tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist/train-images-idx3-ubyte").touch()
    monkeypatch.setenv("SHIFTLEARN_DATA", str(tmp_path))
    code, out, err = call("doctor", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["torch"] == torch.__version__
    assert found["threads"] == {"torch": torch.get_num_threads(), "cores": os.cpu_count()}
    assert found["kernels"]["compiled"] == (dispatch.cpu is not None)
    assert found["data"] == {"mnist": str(tmp_path / "mnist"), "fashion-mnist": None}
    code, out, err = call("doctor")
    lines = dict(line.strip().split("  ", 1) for line in out.splitlines())
    assert (code, err) == (0, "")
    assert lines["torch"].strip() == torch.__version__
    assert lines["mnist"].strip() == str(tmp_path / "mnist")
    assert lines["fashion-mnist"].strip() == "not found: downloaded when first used"


def test_it_shows_the_instruction_set_in_use(call, instruction_set):
    found = json.loads(call("doctor", "--json")[1])["kernels"]
    assert found["instruction_set"] == instruction_set
    assert {"baseline", instruction_set} <= set(found["instruction_sets"])
    assert f"instruction set {instruction_set} (this machine runs: baseline" in " ".join(call("doctor")[1].split())


def test_it_says_why_there_are_no_kernels(call, monkeypatch):
    monkeypatch.setattr(dispatch, "WHY_NO_KERNELS", "they could not be built: x.cpp:1:1: error: boom")
    monkeypatch.setitem(sys.modules, "shiftlearn.ops._kernels", None)
    monkeypatch.delattr("shiftlearn.ops._kernels", raising=False)
    code, out, _ = call("doctor")
    assert code == 0
    assert "C++ kernels none, since they could not be built: x.cpp:1:1: error: boom" in " ".join(out.split())
    assert json.loads(call("doctor", "--json")[1])["kernels"]["why_not"].endswith("error: boom")


@pytest.mark.parametrize(("setting", "kernels"), [("0", "reference"), ("1", "Triton")])
def test_it_says_which_kernels_a_gpu_gets(call, monkeypatch, setting, kernels):
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some card")
    monkeypatch.setenv("SHIFTLEARN_TRITON", setting)
    out = call("doctor")[1]
    assert json.loads(call("doctor", "--json")[1])["gpu"]["kernels"] == kernels
    assert "Some card, with the " in out
    assert ("SHIFTLEARN_TRITON=1 asks" in out) == (kernels == "reference")


def test_a_folder_of_data_that_is_not_there_is_no_mistake(call, monkeypatch, tmp_path):
    monkeypatch.setenv("SHIFTLEARN_DATA", str(tmp_path / "nowhere"))
    code, out, err = call("doctor")
    assert (code, err) == (0, "")
    assert "nowhere does not exist" in out


ALLOCATOR = """
import ctypes
import sys

import torch

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]


class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd u f o c k".split()]


libc.mallinfo2.restype = Info


def is_mapped():
    "Whether glibc asks the system for a block of 20 MiB, as it does until larger ones were freed."
    before = libc.mallinfo2().hblks
    block = libc.malloc(20 * 2**20)
    mapped = libc.mallinfo2().hblks > before
    if not mapped:
        libc.free(block)  # to free a mapped one would raise the bound
    return mapped


print(is_mapped())
import shiftlearn as sl

z = sl.nn.ShiftLinear(6, 3)(torch.rand(4, 6) + 1)
z[z.isfinite()].sum().backward()
print(is_mapped())
from shiftlearn.cli.allocator import keep_freed_memory

keep_freed_memory()
print(is_mapped())
"""


def test_only_the_command_line_changes_the_allocator():
    if not hasattr(__import__("ctypes").CDLL(None), "mallinfo2"):
        pytest.skip("not glibc")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    done = subprocess.run([sys.executable, "-c", ALLOCATOR], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False"]
