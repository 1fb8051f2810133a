"""``shiftlearn robustness`` prints, writes and draws what the function finds."""

from __future__ import annotations

import csv
import json

import pytest

from shiftlearn.analysis.robustness import robustness
from shiftlearn.data import tasks
from shiftlearn.models.model import load

pytestmark = pytest.mark.usefixtures("one_thread")


def test_it_says_what_the_function_finds(call, trained, tmp_path):
    model = load(trained)
    task = tasks.read(model.recipe, 0, None, ["test"])
    rows = robustness(model, model.values(task.take(task.test)), task.labels[task.test], ["dead", "bits"], 3)
    path = tmp_path / "x.csv"
    arguments = ("robustness", trained, "--kinds", "dead, bits", "--seed", 3)
    code, out, _ = call(*arguments, "--out", path)
    assert code == 0
    assert all(f"{row['accuracy']:.2%}" in out for row in rows)
    with open(path, encoding="utf-8", newline="") as file:
        assert [float(row["accuracy"]) for row in csv.DictReader(file)] == [row["accuracy"] for row in rows]
    code, out, _ = call(*arguments, "--json")
    assert (code, json.loads(out)) == (0, rows)


def test_it_draws(call, trained, tmp_path):
    pytest.importorskip("matplotlib")
    assert call("robustness", trained, "--kinds", "clock", "--out", tmp_path / "x.svg")[0] == 0
    assert "time step" in (tmp_path / "x.svg").read_text() or b"<svg" in (tmp_path / "x.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--kinds", "jiter"), "unknown disturbance 'jiter'. Did you mean 'jitter'?"),
        (("--kinds", ","), "--kinds must name one or more"),
        (("--out", "x.txt"), "--out must end in .csv"),
    ],
)
def test_mistakes(call, trained, arguments, message):
    code, out, err = call("robustness", trained, *arguments)
    assert (code, out) == (2, "")
    assert message in err
