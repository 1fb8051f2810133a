"""What the report of layers says, of a network whose spikes are known, and how it is shown."""

from __future__ import annotations

import csv
import io
import math

import pytest
import torch
from torch import nn

from shiftlearn import SpikeEvents, ops, recipes
from shiftlearn.analysis.layers import condition, layer_report
from shiftlearn.data import tasks
from shiftlearn.errors import InputError
from shiftlearn.models.build import build
from shiftlearn.models.model import Model
from shiftlearn.nn import ShiftLinear
from shiftlearn.plots.layers import draw

inf = math.inf


def known() -> nn.Sequential:
    """Two inputs; neurons with u = 2 z₁, with u = z₁ + z₂, and one that never fires; then one that hears them."""
    first, second = ShiftLinear(2, 3), ShiftLinear(3, 1)
    with torch.no_grad():
        first.shift.copy_(torch.tensor([[2.0, 1.0, 0.1], [0.0, 1.0, 0.1]]))
        second.shift.copy_(torch.tensor([[0.8], [0.7], [9.0]]))
        second.delay.fill_(2.0)
    return nn.Sequential(first, second)


Z = torch.tensor([[1.0, 1.5], [2.0, 3.0], [1.0, inf]])


def test_a_single_sample_has_no_deviation():
    first, second = layer_report(known(), Z[:1])
    assert (first["neuron_sd"], first["spread"], second["t_sd"]) == (None, None, None)
    assert first["t_sd"] > 0


def test_a_network_whose_spikes_are_known():
    first, second = layer_report(known(), Z)
    # u = 2, 4, 2 and 2.5, 5, silent; the causal set is both inputs of two in samples 1 and 2, the only one in 3.
    times = torch.tensor([2.0, 4.0, 2.0, 2.5, 5.0]).log()
    assert (first["layer"], first["neurons"], first["silent"], first["always_silent"]) == pytest.approx(
        (1, 3, 4 / 9, 1 / 3)
    )
    assert first["causal_share"] == pytest.approx(1)
    assert first["drive"] == pytest.approx(1)
    assert first["t_mean"] == pytest.approx(times.mean().item())
    assert first["t_sd"] == pytest.approx(times.std(correction=0).item())
    assert first["t_50"] == pytest.approx(math.log(2.5))
    assert first["t_5"] < first["t_50"] < first["t_95"]
    sds = [torch.tensor(t).log().std(correction=0).item() for t in ([2.0, 4.0, 2.0], [2.5, 5.0])]
    assert first["neuron_sd"] == pytest.approx(sum(sds) / 2)
    # Less the means of the samples: ∓a and ∓a, and 0 where the first neuron fires alone; less those of the neurons:
    # −a/3, −a/3, 2a/3, and 0 twice.
    assert first["spread"] == pytest.approx(math.log(2.5 / 2) / 2 * math.sqrt(6 / 9 / 5))
    # 0.8 + 0.7 reach threshold in the first two samples, at (0.8 · 2 + 0.7 · 2.5) / 0.5 and twice that, delayed by 2.
    assert (second["layer"], second["neurons"], second["silent"], second["always_silent"]) == pytest.approx(
        (2, 1, 1 / 3, 0)
    )
    assert second["t_95"] - second["t_5"] == pytest.approx(0.9 * math.log(2))
    assert second["t_mean"] == pytest.approx(math.log(2 * 6.7) + math.log(2) / 2)
    assert second["drive"] == pytest.approx(0.5)


def test_shares_of_inputs():
    network = nn.Sequential(ShiftLinear(4, 2))
    with torch.no_grad():
        network[0].shift.copy_(torch.tensor([[3.0, 0.6]] * 4))
    (row,) = layer_report(network, torch.tensor([[1.0, 2.0, 4.0, 8.0]] * 2))
    assert row["causal_share"] == pytest.approx((1 / 4 + 3 / 4) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_times_that_rounding_decides_are_counted(dtype):
    """Three neurons with drives of 1, 1e-3 and 1e-5 that hear nothing else, and a silent one, each twice."""
    layer = ShiftLinear(1, 4, dtype=dtype)
    with torch.no_grad():
        layer.shift.copy_(torch.tensor([[2.0, 1.001, 1.00001, 0.5]]))
    z = torch.ones(2, 1, dtype=dtype)
    _, _, drive = ops.first_spike(SpikeEvents.from_dense(z), layer.shift)
    torch.testing.assert_close(condition(drive, layer.shift)[0], torch.tensor([3, 2.001e3, 2.00001e5, 0], dtype=dtype),
                               rtol=1e-2, atol=0)  # fmt: skip
    (row,) = layer_report(nn.Sequential(layer), z)
    assert row["imprecise"] == pytest.approx(1 / 3 if dtype == torch.float32 else 0)


def test_the_condition_bounds_what_a_disturbed_weight_does():
    """Weights of both signs, each moved by a millionth of itself, one way or the other."""
    generator = torch.Generator().manual_seed(0)
    shift = torch.randn(3, 20, 400, generator=generator, dtype=torch.float64) / 4 + 0.1
    z = torch.rand(3, 1, 20, generator=generator, dtype=torch.float64) + 1
    moved = shift * (1 + 1e-6 * torch.randn(shift.shape, generator=generator, dtype=torch.float64).sign())
    events = ops.sort_spikes(z)
    (u, count, drive), (other, again, _) = ops.first_spike(events, shift), ops.first_spike(events, moved)
    same = (count == again) & (count > 0)
    assert same.sum() > 500
    ratio = ((other - u).abs() / u)[same] / (1e-6 * condition(drive, shift)[same])
    assert 0.05 < ratio.max() < 1.01
    assert condition(drive[0], shift[0]).equal(condition(drive, shift)[0])


def test_the_condition_of_other_shapes_is_refused():
    with pytest.raises(InputError, match=r"drive must have shape .*batch, out.* for shift \(3, 4\), got \(2, 5\)"):
        condition(torch.ones(2, 5), torch.ones(3, 4))


def test_silence_throughout():
    network = known()
    with torch.no_grad():
        network[0].shift.zero_()
    rows = layer_report(network, Z)
    assert [list(row) for row in rows] == [list(layer_report(known(), Z)[0])] * 2
    for row in rows:
        assert (row["silent"], row["always_silent"]) == (1, 1)
        assert all(
            value is None for name, value in row.items() if name not in ("layer", "neurons", "silent", "always_silent")
        )


def test_events_and_dense_inputs_give_the_same():
    assert layer_report(known(), SpikeEvents.from_dense(Z)) == layer_report(known(), Z)


@pytest.mark.parametrize(
    ("network", "inputs", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2)), Z, "network must consist of single ShiftLinear layers, got Linear"),
        (nn.Sequential(ShiftLinear(2, 3, members=2)), Z, "single ShiftLinear layers"),
        (known(), Z[:0], "inputs must hold one sample or more, got none"),
    ],
)
def test_bad_input(network, inputs, message):
    with pytest.raises(InputError, match=message):
        layer_report(network, inputs)


def test_the_drawing_holds_the_rows():
    pytest.importorskip("matplotlib")
    silent = dict.fromkeys(layer_report(known(), Z)[0]) | {"layer": 3, "silent": 1.0}
    rows = [*layer_report(known(), Z), silent]
    times, spreads, shares = draw(rows, "title").axes
    assert times.lines[0].get_ydata()[:2].tolist() == [row["t_50"] for row in rows[:2]]
    assert spreads.lines[0].get_ydata()[:2].tolist() == [row["neuron_sd"] for row in rows[:2]]
    assert shares.lines[1].get_ydata().tolist() == [row["silent"] for row in rows]
    assert math.isnan(times.lines[0].get_ydata()[2])


# --------------------------------------------------------------------------------------------- command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved model of Iris that nothing has trained."""
    recipe = recipes.override(recipes.read("iris"), {"layers": [0, 7, 3]})
    task = tasks.read(recipe, 0, None, ["train"])
    features = task.scale(recipe, task.train)
    recipe = tasks.fitted(recipe, task, features)
    path = tmp_path_factory.mktemp("model") / "iris"
    network = build(recipe, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in network:
            layer.shift.mul_(3)  # so that all fire although inputs are silent
    Model(recipe, network, 0, task.classes, features, task.digest).save(path)
    return path


def test_inspect_prints_and_writes_the_report(folder, tmp_path, call):
    code, out, err = call("inspect", folder, "--samples", 50, "--out", tmp_path / "layers.csv")
    assert (code, err) == (0, "")
    with io.StringIO((tmp_path / "layers.csv").read_text()) as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["neurons"]) for row in rows] == [("1", "7"), ("2", "3")]
    assert "50 training samples of iris" in out
    for row in rows:
        assert f"{float(row['t_mean']):.3f}" in out
        assert f"{float(row['causal_share']):.2%}" in out
    again = call("inspect", folder, "--samples", 100_000)
    assert "120 training samples of iris" in again[1]  # there are no more
    pytest.importorskip("matplotlib")
    assert call("inspect", folder, "--out", tmp_path / "layers.png")[0] == 0
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--samples", 0), "--samples must be 1 or more, got 0"),
        (("--out", "layers.txt"), "--out must end in .csv or .png, got 'layers.txt'"),
    ],
)
def test_mistakes(folder, call, arguments, message):
    code, _, err = call("inspect", folder, *arguments)
    assert (code, len(err.splitlines())) == (2, 1)
    assert message in err
