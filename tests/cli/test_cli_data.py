"""``shiftlearn data`` as a user types it."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("one_thread", "place")


def test_data_make_tca(call, place, fails):
    from shiftlearn.data.spike_trains.tca_read import read_mat

    for name, more in (("a", ()), ("b", ("--seed", 1, "--templates", "a.mat"))):
        code, out, _ = call("data", "make", "tca", "--trials", 3, "--out", f"{name}.mat", *more)
        assert code == 0
        assert f"{name}.mat: 3 trials" in out
    a, b = read_mat("a.mat"), read_mat("b.mat")
    assert len(a) == len(b) == 3
    assert a.templates.times.tolist() == b.templates.times.tolist()
    assert a.times.tolist() != b.times.tolist()
    fails("--out must end in .mat", "data", "make", "tca", "--out", "a.txt")
    fails("does not exist", "data", "make", "tca", "--out", "no/a.mat")
    fails("no.mat", "data", "make", "tca", "--out", "c.mat", "--templates", "no.mat")
    fails("trials must be an integer of 1 or more, got 0", "data", "make", "tca", "--out", "c.mat", "--trials", 0)


def test_data(call, place, mnist_files, monkeypatch):
    monkeypatch.setenv("SHIFTLEARN_DATA", str(mnist_files.parent))
    code, out, err = call("data")
    assert (code, err) == (0, "")
    assert f"mnist          {mnist_files}" in out
    code, out, _ = call("data", "--json")
    found = {row["dataset"]: row["folder"] for row in json.loads(out)}
    assert found["mnist"] == str(mnist_files)
    assert found["iris"] is None
    code, out, err = call("data", "show", "mnist", "--out", "grid.png", "--count", 4, "--split", "test")
    assert (code, err) == (0, "")
    assert "grid.png: 4 samples of mnist (test)" in out
    assert (place / "grid.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("mnist",), "--out"),
        (("mnits", "--out", "a.png"), "Did you mean 'mnist'"),
        (("mnist", "--out", "a.jpg"), "must end in .png"),
        (("mnist", "--out", "no/a.png"), "does not exist"),
        (("mnist", "--out", "a.png", "--count", "0"), "count"),
        (("mnist", "--out", "a.png", "--split", "all"), "split"),
        (("iris", "--out", "a.png"), "unknown dataset 'iris'"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else "",
)
def test_mistakes_with_pictures(fails, arguments, part):
    fails(part, "data", "show", *arguments)
