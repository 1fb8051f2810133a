"""A folder has one owner at a time, whatever starts at once, fails, or is killed. Its processes load no torch."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import filelock
import pytest

from shiftlearn.models.stored import CONFIG
from shiftlearn.runs.folder import Taken, hold, hold_next

# Waits for a line, so that all start at once; claims, and holds until its input ends.
CHILD = """
import sys
from pathlib import Path
from shiftlearn.runs.folder import hold, hold_next
assert "torch" not in sys.modules
way, name, fate = sys.argv[1:]
print("up", flush=True)
sys.stdin.readline()
with (hold_next(Path(name)) if way == "next" else hold(Path(name), new=way == "new")) as claim:
    if fate == "succeed":
        (claim.folder / "config.json").write_text(sys.argv[3])
    print(claim.folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def starts(tmp_path):
    """Start processes that claim a folder at once; what each says first: its folder, or the error."""
    with ExitStack() as stack:

        def start(way, name, fate="succeed", number=8):
            command = [sys.executable, "-c", CHILD, way, str(name), fate]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            children = [subprocess.Popen(command, cwd=tmp_path, **pipes) for _ in range(number)]
            for child in children:
                stack.callback(child.communicate)
                stack.callback(child.kill)
            assert [child.stdout.readline() for child in children] == ["up\n"] * number
            for child in children:
                child.stdin.write("\n")
                child.stdin.flush()
            said = [child.stdout.readline().strip() or child.stderr.read().splitlines()[-1] for child in children]
            return children, said

        yield start


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_eight_starts_at_once_get_eight_folders(starts, tmp_path):
    children, said = starts("next", "runs/my-seed0")
    names = ["runs/my-seed0", *(f"runs/my-seed0-{k}" for k in range(2, 9))]
    assert sorted(said) == names
    for child in children:
        child.communicate()
        assert child.returncode == 0
    assert tree(tmp_path) == sorted(["runs", *names, *(f"{name}/config.json" for name in names)])


@pytest.mark.parametrize("way", ["new", "shared"])
def test_of_four_starts_in_one_folder_one_goes_on(starts, way):
    _, said = starts(way, "runs/x", number=4)
    said.remove("runs/x")
    refusal = "'runs/x' is in use by a running process|'runs/x' exists and is not an empty folder"
    assert all(re.search(refusal if way == "new" else refusal.partition("|")[0], text) for text in said)


def test_starts_that_fail_leave_nothing(starts, tmp_path):
    children, said = starts("next", "runs/x", fate="fail", number=4)
    assert len(set(said)) == 4
    for child in children:
        child.communicate()
    assert tree(tmp_path) == []


@pytest.mark.parametrize("fate", ["succeed", "fail"])
def test_a_lock_left_by_a_killed_process_blocks_nobody(starts, tmp_path, fate):
    children, _ = starts("new", "run", fate, number=1)
    folder = tmp_path / "run"
    with pytest.raises(Taken, match=f"in use by a running process .pid {children[0].pid} on"), hold(folder):
        pass
    os.kill(children[0].pid, signal.SIGKILL)
    children[0].wait()
    assert {".lock", ".owner"} <= set(tree(folder))
    if fate == "succeed":
        with pytest.raises(Taken, match="exists and is not an empty folder"), hold(folder, new=True):
            pass
    with hold(folder, new=fate == "fail"):
        assert (folder / ".owner").read_text().startswith(f"pid {os.getpid()} ")
    assert tree(folder) == (["config.json"] if fate == "succeed" else [])


def test_threads_exclude_each_other(tmp_path):
    together = threading.Barrier(8)

    def claim(_):
        together.wait()
        with hold_next(tmp_path / "runs/x") as claim:
            together.wait()
            return claim.folder.name

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(claim, range(8)))
    assert sorted(found) == ["x", *(f"x-{k}" for k in range(2, 9))]
    assert tree(tmp_path) == []


def test_one_holds_while_others_come_and_go(tmp_path):
    """The lock and the folders are removed and made again at any moment; never do two hold the folder at once."""
    holders = []

    def claim(_):
        try:
            with hold(tmp_path / "deep/run", new=True):
                holders.append(None)
                number = len(holders)
                holders.pop()
                return number
        except Taken:
            return 0

    with ThreadPoolExecutor(6) as threads:
        numbers = list(threads.map(claim, range(600)))
    assert max(numbers) == 1


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_was_made_is_removed_and_nothing_else(tmp_path, error):
    def fail(folder, content=None):
        with hold(folder, new=True) as claim:
            assert (claim.folder / ".lock").exists()
            if content:
                (claim.folder / CONFIG).write_text(content)
            raise error

    (tmp_path / "there").mkdir()
    for name in ("there/new/run", "there"):
        with pytest.raises(error):
            fail(tmp_path / name)
        assert tree(tmp_path) == ["there"]
    with pytest.raises(error):
        fail(tmp_path / "there/run", "{}")
    assert tree(tmp_path) == ["there", "there/run", "there/run/config.json"]


def test_a_claim_is_not_claimed_again(tmp_path):
    with hold(tmp_path / "run") as claim:
        with hold(claim, new=True) as again:
            assert again is claim
        with (
            pytest.raises(Taken, match=f"run' is in use by a running process .pid {os.getpid()} on"),
            hold(claim.folder),
        ):
            pass
    assert not claim.folder.exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = tmp_path.stat().st_mtime_ns
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(Taken, match="exists and is not an empty folder"), hold(path, new=True):
            pass
    assert tmp_path.stat().st_mtime_ns == before


@pytest.mark.parametrize("place", ["file/run", "file"])
def test_an_error_of_the_file_system_names_its_path(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=f"(Not a directory|File exists): '{tmp_path / place}'"), hold(tmp_path / place):
        pass
    assert tree(tmp_path) == ["file"]


def test_a_lock_that_the_file_system_refuses(tmp_path, monkeypatch):
    def refuse(self, **_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.raises(OSError, match=r"No locks available: .*run/\.lock'"), hold(tmp_path / "run"):
        pass
    assert tree(tmp_path) == []


def test_without_flock_a_lock_is_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(filelock, "FileLock", filelock.SoftFileLock)
    with hold(tmp_path / "run"), pytest.raises(Taken, match="in use"), hold(tmp_path / "run"):
        pass
    assert tree(tmp_path) == []
