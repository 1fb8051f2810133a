"""Shared by the tests of the command line."""

from __future__ import annotations

import pytest
from trees import cells, write


@pytest.fixture
def fails(call, tmp_path):
    """A mistake: exit code 2, one line alone that says ``part``, and no new files in the current folder."""

    def fails(part, *arguments):
        before = sorted(tmp_path.rglob("*"))
        code, out, err = call(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("shiftlearn: ")
        assert len(err.splitlines()) == 1
        assert part.lower() in err.lower()
        assert sorted(tmp_path.rglob("*")) == before

    return fails


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with trees.csv."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "trees.csv", cells())
    return tmp_path
