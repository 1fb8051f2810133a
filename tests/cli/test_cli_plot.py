"""``shiftlearn plot``, as a user types it."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

from shiftlearn import recipes
from shiftlearn.errors import InputError
from shiftlearn.runs import results
from shiftlearn.training import callbacks
from shiftlearn.training.cross_validation import cross_validate
from shiftlearn.training.repeats import repeat
from shiftlearn.training.run import start

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("curves", "raster", "potential", "weights", "confusion", "roc", "fields", "time")
BEGINNINGS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, trained):
    """Finished runs: of small images from a table, of XOR, repeated ones of XOR, a cross-validation, spike trains."""
    folder = tmp_path_factory.mktemp("runs")
    quiet = callbacks.Silent()

    def settings(name, **changes):
        return recipes.override(recipes.read(name), {"epochs": 2, **changes})

    shutil.copytree(trained, folder / "digits")
    start(settings("xor"), folder / "xor", 0, quiet)
    repeat(settings("xor"), folder / "many", 0, 2, quiet)
    cross_validate(settings("iris"), folder / "folds", 0, 2, 1, quiet, compare=False)
    target = np.arange(20) % 2
    trains = folder / "trains.npz"
    np.savez(trains, times=np.linspace(0.1, 0.9, 20), synapses=target, trial=np.arange(20), target=target)
    start(settings("tca-published", dataset=str(trains), layers=[0, 6, 0]), folder / "trains", 0, quiet)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_a_run_of_images(runs, tmp_path, call, kind):
    before = sorted(path.name for path in (runs / "digits").iterdir())
    assert call("plot", runs / "digits", kind) == (0, f"drawn: digits-{kind}.png\n", "")
    assert (tmp_path / f"digits-{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == [f"digits-{kind}.png"]
    assert sorted(path.name for path in (runs / "digits").iterdir()) == before


@pytest.mark.parametrize("suffix", BEGINNINGS)
def test_the_kind_of_file_is_its_ending(runs, tmp_path, call, suffix):
    out = tmp_path / f"a{suffix.upper()}"
    out.write_text("old")
    assert call("plot", runs / "xor", "time", "--dark", "--out", out)[0] == 0
    first = out.read_bytes()
    assert first.startswith(BEGINNINGS[suffix])
    assert call("plot", runs / "xor", "time", "--out", out)[0] == 0
    assert out.read_bytes() != first
    assert call("plot", runs / "xor", "time", "--dark", "--out", out)[0] == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("run", "drawn", "refused"),
    [
        ("xor", ("curves", "raster", "potential", "weights", "roc"), ("fields",)),
        ("folds", ("raster", "confusion", "time"), ("curves", "fields")),
        ("trains", ("raster", "potential", "time"), ("fields",)),
        ("many", (), KINDS),
    ],
    ids=["xor", "folds", "trains", "many"],
)
def test_every_other_run_is_drawn_or_refused_in_a_line(runs, tmp_path, call, run, drawn, refused):
    for kind in drawn:
        assert call("plot", runs / run, kind) == (0, f"drawn: {run}-{kind}.png\n", "")
    for kind in refused:
        code, _, err = call("plot", runs / run, kind)
        assert (code, len(err.splitlines())) == (2, 1)
        reasons = ("networks of images", "keeps no learning curves", "keep nothing to draw")
        assert any(reason in err for reason in reasons)
    assert len(list(tmp_path.iterdir())) == len(drawn)


def test_samples_and_neurons_can_be_chosen(runs, tmp_path, call):
    digits, trains = runs / "digits", runs / "trains"
    pictures = set()
    for arguments in (
        (digits, "potential", "--sample", 3),
        (digits, "potential", "--sample", 4),
        (digits, "potential", "--sample", 3, "--layer", 1),
        (digits, "potential", "--sample", 3, "--layer", 1, "--neurons", "0, 2-3"),
        (trains, "raster", "--input", runs / "trains.npz", "--sample", 5),
        (digits, "fields", "--neurons", "1-8"),
    ):
        assert call("plot", *arguments, "--out", "a.png")[0] == 0
        pictures.add((tmp_path / "a.png").read_bytes())
    assert len(pictures) == 6


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("digits", "curve"), "unknown kind 'curve'. Did you mean 'curves'? Valid: confusion, curves,"),
        (("digits", "curves", "--out", "a.jpg"), "--out must end in .png, .svg or .pdf, got 'a.jpg'"),
        (("digits", "curves", "--out", "no/a.png"), "--out: the folder 'no' does not exist"),
        (("digits", "curves", "--sample", 3), "--sample is for raster, potential, not for curves"),
        (("digits", "raster", "--neurons", 3), "--neurons is for potential, fields, not for raster"),
        (("digits", "raster", "--sample", 360), "--sample must lie in 0 to 359"),
        (("digits", "raster", "--sample", -1), "--sample must lie in 0 to 359"),
        (("digits", "raster", "--input", "no.csv"), "no.csv"),
        (("trains", "raster", "--input", "{runs}/trains.npz", "--sample", 20), "must lie in 0 to 19"),
        (("digits", "potential", "--layer", 3), "layer must lie in 1 to 2, got 3"),
        (("digits", "potential", "--neurons", 10), "neuron must lie in 0 to 9, got 10"),
        (("digits", "potential", "--neurons", "1;2"), "--neurons takes numbers from 0"),
        (("digits", "potential", "--neurons", "3-1"), "neurons must be 1 to 8 of them, got 0"),
        (("digits", "fields", "--neurons", "0-99999999999"), "--neurons must be at most"),
        (("nowhere", "curves"), "no run folder"),
    ],
)
def test_mistakes_leave_no_file(runs, tmp_path, call, arguments, part):
    name, *rest = (str(argument).replace("{runs}", str(runs)) for argument in arguments)
    code, _, err = call("plot", runs / name, *rest)
    assert (code, len(err.splitlines())) == (2, 1)
    assert part in err
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_run_has_curves_alone(runs, tmp_path, call):
    shutil.copytree(runs / "digits", tmp_path / "begun")
    for name in ("metrics.json", "weights.safetensors", "test_predictions.csv"):
        (tmp_path / "begun" / name).unlink()
    for kind in KINDS:
        code, _, err = call("plot", "begun", kind)
        assert code == (0 if kind == "curves" else 2)
        assert kind == "curves" or "test_predictions.csv" in err or "the run is not finished" in err
    (tmp_path / "begun/metrics.jsonl").write_text("")
    assert "holds no epoch" in call("plot", "begun", "curves")[2]
    (tmp_path / "begun/metrics.jsonl").write_text('{"epoch": 1}\n')
    assert "metrics.jsonl is damaged" in call("plot", "begun", "curves")[2]


def test_without_matplotlib_nothing_is_read(runs, tmp_path, call, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = call("plot", runs / "digits", "raster")
    assert (code, err) == (2, "shiftlearn: drawing needs matplotlib: pip install 'shiftlearn[plots]'\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("run", ["digits", "folds"])
def test_predictions_are_read_as_they_were_written(runs, run):
    found = results.read_predictions(runs / run)
    metrics = json.loads((runs / run / "metrics.json").read_text())
    if run == "digits":
        assert found.accuracy == metrics["test_accuracy"]
    assert (found.silent, found.ties) == (metrics["silent_samples"], metrics["tied_samples"])
    rows = (runs / run / "confusion_matrix.csv").read_text().splitlines()[1:]
    assert found.confusion().tolist() == [[int(cell) for cell in row.split(",")[1:]] for row in rows]
    np.testing.assert_allclose(found.scores.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "content", ["", "label\n", "label,predicted,score_0,z_0\n0,0,1,1\n0,0\n", "label,predicted,score_0,z_0\n0,1,1,1\n"]
)
def test_damaged_predictions_are_named(tmp_path, content):
    (tmp_path / results.PREDICTIONS).write_text(content)
    with pytest.raises(InputError, match=r"test_predictions\.csv is damaged"):
        results.read_predictions(tmp_path)
