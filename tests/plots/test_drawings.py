"""What is drawn is what was found."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from shiftlearn import plots, recipes
from shiftlearn.errors import InputError
from shiftlearn.models import class_figures
from shiftlearn.models.build import build
from shiftlearn.models.evaluation import judge
from shiftlearn.models.model import Model

pytest.importorskip("matplotlib")
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

inf = math.inf


def make(**settings):
    recipe = recipes.override(recipes.read("mnist"), {"layers": [784, 12, 10]} | settings)
    return Model(recipe, build(recipe, torch.Generator().manual_seed(0)).eval(), seed=0)


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture(scope="module")
def image(digits):
    return digits["test"][0][:1]


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_importing_draws_nothing_in():
    code = "import sys, shiftlearn, shiftlearn.plots, shiftlearn.cli; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------------------------------------------------ inside the network


@pytest.mark.parametrize("settings", [{}, {"layers": [784, 10], "maps": [3]}], ids=["linear", "convolution"])
def test_the_raster_holds_every_spike_and_the_race(image, settings):
    model = make(**settings)
    layers = plots.activity(model, image)
    axes = plots.raster(model, image).axes
    assert len(axes) == len(layers) + 1
    times = model.z_out(image)[0]
    for ax, one in zip(axes[1:-1], layers[:-1], strict=True):
        drawn = ax.collections[0].get_offsets()
        z = one.z.flatten()
        assert len(drawn) == z.isfinite().sum()
        found = np.full(len(z), inf)
        found[drawn[:, 1].astype(int)] = drawn[:, 0]
        np.testing.assert_allclose(found, z.double().log().numpy(), rtol=1e-6)
    race, winner = axes[-1].lines[:2]
    np.testing.assert_allclose(np.sort(race.get_xdata()), np.sort(np.log(times)), rtol=1e-5)
    assert winner.get_ydata().tolist() == model.predict(image).tolist()
    assert [text.get_text() for text in axes[-1].texts][times.argmin()] == f"{np.log(times.min()):.3f}  first"
    assert all(ax.lines[-1].get_xdata()[0] == pytest.approx(np.log(times.min())) for ax in axes)


def test_a_race_that_nobody_runs(model, image):
    silent = make()
    with torch.no_grad():
        silent.network[1].shift.zero_()
    figure = plots.raster(silent, image)
    assert [text.get_text() for text in figure.axes[-1].texts] == ["silent"] * 10
    assert "no output neuron fires" in figure.get_suptitle()


def test_the_drawn_potential_touches_threshold_and_its_causal_set_is_that_of_the_operation(model, image):
    one = plots.activity(model, image)[0]
    figure = plots.potential(model, image, layer=1, neurons=[4, 7])
    assert len(figure.axes) == 4
    for neuron, above, below in zip((4, 7), figure.axes[::2], figure.axes[1::2], strict=True):
        found = plots.membrane_potential(one, neuron)
        drawn = lines(above)
        t, v = drawn["membrane potential"].get_data()
        assert t[-1] == pytest.approx(math.log(found.u))
        assert v[-1] == pytest.approx(1)
        assert (v[:-1] < 1).all()
        assert drawn["crossing"].get_xdata()[0] == pytest.approx(math.log(found.u))
        marked = [s[0][0] for c in below.collections if "causal" in c.get_label() for s in c.get_segments()]
        np.testing.assert_allclose(np.sort(marked), np.log(found.z[found.causal]))


def test_by_default_the_first_three_of_the_read_out(model, image):
    order = model.z_out(image)[0].argsort(kind="stable")[:3]
    titles = [ax.get_title(loc="left") or ax.get_title() for ax in plots.potential(model, image).axes[::2]]
    assert [title.split(":")[0] for title in titles] == [f"class {k}" for k in order]


def test_a_silent_neuron_is_drawn_to_the_last_input(image):
    model = make()
    with torch.no_grad():
        model.network[0].shift.mul_(0.01)
    above, below = plots.potential(model, image, 1, [0]).axes
    assert "crossing" not in lines(above)
    assert "silent" in above.get_title(loc="left") + above.get_title()
    assert lines(above)["membrane potential"].get_xdata()[-1] >= 2
    assert sum(len(c.get_segments()) for c in below.collections) == 784


@pytest.mark.parametrize(
    ("layer", "neurons", "message"),
    [
        (3, None, "layer must lie in 1 to 2, got 3"),
        (0, None, "layer must lie in 1 to 2, got 0"),
        (1, [12], "neuron must lie in 0 to 11, got 12"),
        (1, [], "neurons must be 1 to 8 of them, got 0"),
    ],
)
def test_no_such_neuron(model, image, layer, neurons, message):
    with pytest.raises(InputError, match=message):
        plots.potential(model, image, layer, neurons)


def test_histograms_count_every_synapse_and_neuron(model):
    axes = plots.weights(model).axes
    for left, right, one in zip(axes[::2], axes[1::2], model.network, strict=True):
        assert sum(bar.get_height() for bar in left.patches) == one.shift.numel()
        assert sum(bar.get_height() for bar in right.patches) == one.delay.numel()
        negative = sum(bar.get_height() for bar in left.patches if bar.get_x() + bar.get_width() < 1e-9)
        assert negative == (one.shift < 0).sum()


def test_fields_are_the_shifts_of_a_pixel(digits):
    model = make()
    assert np.array_equal(
        plots.receptive_fields(model)[5], model.network[0].shift[:, 5].detach().double().numpy().reshape(28, 28)
    )
    pair = make(coding="on-off", layers=[1568, 12, 10])
    shift = pair.network[0].shift.detach().double().numpy()
    assert np.array_equal(plots.receptive_fields(pair)[3].ravel(), shift[:784, 3] - shift[784:, 3])
    kernels = plots.receptive_fields(make(layers=[784, 10], maps=[6]))
    assert kernels.shape == (6, 5, 5)
    figure = plots.fields(model, [7, 2])
    sheet = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(
        np.corrcoef(sheet[:, :28].ravel(), plots.receptive_fields(model)[7].ravel())[0, 1], 1, rtol=1e-9
    )
    assert [text.get_text() for text in figure.axes[0].texts] == ["7", "2"]


@pytest.mark.parametrize(
    ("settings", "neurons", "message"),
    [
        ({}, [12], "neurons must lie in 0 to 11, got 12"),
        ({}, [], "neurons must be 1 to 400 of them, got 0"),
        ({"coding": "population", "layers": [4704, 12, 10]}, None, "one input per pixel or an on/off pair"),
        ({"dataset": "iris"}, None, "fields are for networks of images, this one is of iris"),
    ],
)
def test_no_such_field(settings, neurons, message):
    with pytest.raises(InputError, match=message):
        plots.fields(make(**settings), neurons)


# ------------------------------------------------------------------------------------------------------ results


def test_curves_hold_the_records():
    rows = [{"epoch": k, "loss": 1 / k, "train_accuracy": 0.9, "validation_accuracy": 0.8} for k in (1, 2, 3)]
    left, right = plots.curves(rows).axes
    assert left.lines[0].get_ydata().tolist() == [1, 1 / 2, 1 / 3]
    assert [line.get_ydata()[0] for line in right.lines] == [90, 80]
    only = [{k: v for k, v in row.items() if k != "validation_accuracy"} for row in rows]
    assert len(plots.curves(only).axes[1].lines) == 1
    with pytest.raises(InputError, match="records must hold one epoch or more"):
        plots.curves([])


def test_the_confusion_matrix_has_its_counts():
    matrix = [[8, 2], [0, 5]]
    ax = plots.confusion(matrix, ["no", "yes"]).axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), [[80, 20], [0, 100]])
    assert [text.get_text() for text in ax.texts] == ["8", "2", "5"]
    assert "86.67%" in ax.get_title() + ax.get_title(loc="left")
    for bad in ([[1, 2]], [[0, 0], [0, 0]]):
        with pytest.raises(InputError, match="matrix must be"):
            plots.confusion(bad)
    with pytest.raises(InputError, match="classes must name 2 of them, got 3"):
        plots.confusion(matrix, ["a", "b", "c"])


TIMES = np.array([[1.0, 2.0], [4.0, 3.0], [inf, 2.0], [inf, inf], [5.0, 6.0]], np.float32)
LABELS = np.array([0, 1, 0, 0, 0])


def test_roc_curves_have_the_area_of_the_records():
    found = judge(np.delete(TIMES, 3, 0), np.delete(LABELS, 3), recipes.read("xor"))
    figure = plots.roc(class_figures.roc(found.labels, found.scores, ("0", "1")))
    for row in found.per_class(("0", "1"))[:-1]:
        assert f"{row['class']}: {row['auc']:.4f}" in {text.get_text() for text in figure.axes[0].get_legend().texts}
    with pytest.raises(InputError, match="points must hold one curve or more"):
        plots.roc([])


def test_decision_times_worked_by_hand():
    """First spikes at 1 (right), 3 (right), 2 (wrong), never, 5 (right)."""
    t, known, right = plots.decided(TIMES, LABELS)
    np.testing.assert_allclose(np.exp(t), [1, 2, 3, 5])
    np.testing.assert_allclose(known, [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(right, [0.2, 0.2, 0.4, 0.6])
    drawn = lines(plots.decision_time(TIMES, LABELS, last_input=1.5).axes[0])
    assert drawn["decided and right: 60.00 % at the end"].get_ydata()[-1] == pytest.approx(60)
    assert drawn["last input, 1.500 τ"].get_xdata()[0] == 1.5
    marks = next(line for label, line in drawn.items() if label.startswith("half of the right"))
    np.testing.assert_allclose(np.exp(marks.get_xdata()), [3, 5])
    for times, labels in ((TIMES, LABELS[:2]), (TIMES[:0], LABELS[:0]), (TIMES[0], LABELS)):
        with pytest.raises(InputError, match="times must be"):
            plots.decided(times, labels)
    with pytest.raises(InputError, match="got silence alone"):
        plots.decision_time(np.full((2, 2), inf), LABELS[:2])


def test_at_the_end_the_accuracy_is_the_evaluated_one(model, digits):
    images, labels = digits["test"]
    times = model.z_out(images)
    assert plots.decided(times, labels)[2][-1] == judge(times, labels.astype(int), model.recipe).accuracy


# -------------------------------------------------------------------------------------------------- where it goes


def test_axes_and_parts_of_figures_can_be_drawn_into(model, image):
    figure = Figure()
    left, right = figure.subfigures(1, 2)
    assert plots.weights(model, figure=left) is left
    assert to_hex(left.axes[1].patches[0].get_facecolor()) == "#009e73"
    assert to_hex(left.axes[0].patches[-1].get_facecolor()) == "#d55e00"  # for a white background
    ax = right.subplots()
    assert plots.decision_time(TIMES, LABELS, ax=ax) is right
    assert ax.lines


def test_colours_follow_the_background():
    with plots.style(dark=True):
        dark = plots.decision_time(TIMES, LABELS).axes[0]
    with plots.style():
        light = plots.decision_time(TIMES, LABELS).axes[0]
    assert to_hex(light.get_facecolor()) == "#ffffff"
    assert to_hex(dark.get_facecolor()) != "#ffffff"
    assert light.lines[0].get_color() != dark.lines[0].get_color()
    assert to_hex(dark.title.get_color()) != to_hex(light.title.get_color())


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (lambda: plots.decision_time(TIMES, LABELS), lambda: plots.style().__enter__()):
        with pytest.raises(InputError, match=r"pip install 'shiftlearn\[plots\]'"):
            draw()
