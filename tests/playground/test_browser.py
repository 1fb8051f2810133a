"""The page in a real browser: the library's numbers, and all in reach of mouse, finger, keyboard and screen reader."""

from __future__ import annotations

import math
import re
import shutil

import numpy as np
import pytest
import torch

from shiftlearn import ops
from shiftlearn.coding import encoder
from shiftlearn.models.build import of_recipe
from shiftlearn.nn import first_to_fire
from shiftlearn.playground import Check
from shiftlearn.playground import page as write
from shiftlearn.playground.quantise import dequantised

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page is not looked at")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CASES = {
    "latency": {"layers": [784, 60, 10]},
    "binarised": {"layers": [784, 60, 10], "coding": "binarised"},
    "deep": {"layers": [784, 40, 30, 10]},
    "on-off, three levels": {"layers": [1568, 40, 10], "coding": "on-off", "coding_levels": 3},
    "read-out alone": {"layers": [784, 10]},
    "digits, on-off": {"recipe_name": "digits"},
    "digits, quantile": {"recipe_name": "digits", "coding": "latency", "scaling": "quantile"},
}


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no browser: the page is not looked at (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path)
        yield started
        started.close()


@pytest.fixture
def visit(browser, tmp_path):
    """Open a page; that nothing was asked of the network, and nothing went wrong, is checked afterwards."""
    troubles, contexts = [], []

    def run(html, **options):
        path = tmp_path / "race.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(
            **{"reduced_motion": "reduce", "viewport": {"width": 1200, "height": 900}} | options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if request.url != path.as_uri() else None)
        page.goto(path.as_uri())
        page.wait_for_selector("#announce:not(:empty)", state="attached")
        return page

    yield run
    for context in contexts:
        context.close()
    assert troubles == []


@torch.no_grad()
def library(case, count):
    """Pixels (0 to 1) of test images, and the library's float64 spike times of all layers with the page's weights."""
    model, index = dequantised(case.model, torch.float64), case.task.test[:count]
    samples = case.task.take(index)
    if case.model.features is None:
        pixels = np.asarray(samples).reshape(len(index), -1) / 255
        values = torch.from_numpy(pixels)
    else:
        pixels = np.stack(samples, 1) / 16
        values = torch.from_numpy(case.model.features.transform(samples)).double()
    recipe = case.model.recipe
    stages = [of_recipe(recipe)(values).double()]
    for layer in model.network:
        stages.append(layer(stages[-1]))
    return pixels, stages


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_spike_times_are_those_of_the_library(visit, make, settings):
    case = make(**settings)
    pixels, stages = library(case, 100)
    page = visit(case.html)
    found = page.evaluate("images => images.map((image) => window.shiftlearn.classify(image))", pixels.tolist())
    times = np.array([result["times"] for result in found])
    np.testing.assert_allclose(times, stages[-1].numpy(), rtol=1e-9, atol=0)
    assert [result["winner"] for result in found] == first_to_fire(stages[-1]).tolist()
    assert len(np.unique(times)) > 500  # and they say something


def test_silent_outputs(visit, make):
    case = make(layers=[784, 20, 10])
    with torch.no_grad():
        case.model.network[1].shift.mul_(0.01)
    seen = visit(write(case.model, case.task, Check(0.1, 10, 0)))
    assert seen.evaluate("window.shiftlearn.classify(new Array(784).fill(0.5))") == {
        "winner": 0,
        "times": [math.inf] * 10,
    }
    assert seen.inner_text("#verdict") == "No output fires"
    assert seen.inner_text("#announce") == "The race is over: no output fires"
    assert "Silent" in seen.inner_text("#neuron-text")


def test_the_causal_set_of_a_neuron_is_the_librarys(visit, mnist):
    sample = int(np.flatnonzero(mnist.task.labels == 3)[0])  # on the pad when the page opens
    images = torch.from_numpy(np.asarray(mnist.task.samples[sample]).reshape(1, -1) / 255)
    layer = dequantised(mnist.model, torch.float64).network[0]
    events = ops.sort_spikes(encoder("latency", 2.0)(images))
    u, count, drive = ops.first_spike(events, layer.shift)
    # Rows in the page: the library counts all inputs at the last time as one.
    early = [j for j in range(60) if 0 < count[0, j] <= (events.z < events.rest[0]).sum()]
    assert len(early) > 5
    page = visit(mnist.html)
    for j in early[:5]:
        page.select_option("#layer", "1")
        page.fill("#number", str(j))
        page.press("#number", "Enter")
        assert page.inner_text("#neuron") == f"Hidden neuron {j}"
        assert page.locator("#causal tbody tr").count() == count[0, j]
        S, N, crossing = page.locator("#formula dd").all_inner_texts()[:3]
        assert float(S.replace("−", "-")) == pytest.approx(drive[0, j].item() + 1, abs=6e-4)
        assert float(N.replace("−", "-")) == pytest.approx((u * drive)[0, j].item(), abs=6e-4)
        assert float(crossing.split(",")[0]) == pytest.approx(u[0, j].item(), abs=6e-4)
        ts = [float(t) for t in page.locator("#causal tbody td:nth-child(3)").all_inner_texts()]
        assert ts == sorted(ts)


def test_clicking_a_neuron_shows_it(visit, mnist):
    page = visit(mnist.html)
    box = page.locator("#hidden canvas").bounding_box()
    page.locator("#hidden canvas").click(position={"x": box["width"] * 0.99, "y": 3})
    columns = math.ceil(math.sqrt(60 * 0.82))
    assert page.inner_text("#neuron") == f"Hidden neuron {columns - 1}"
    page.press("#hidden canvas", "ArrowDown")
    assert page.inner_text("#neuron") == f"Hidden neuron {2 * columns - 1}"
    assert page.inner_text("#announce").startswith(f"Neuron {2 * columns - 1}: ")
    page.get_by_role("button", name=re.compile("^5")).click()
    assert page.inner_text("#neuron") == "Output 5"


def draw(page, points):
    box = page.locator("#pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def test_drawing_with_the_mouse_and_clearing(visit, mnist):
    page = visit(mnist.html)
    before = page.inner_text("#announce")
    assert re.fullmatch(r"\d wins, at t = \d\.\d\d, \d\.\d\d before \d", before)
    assert page.locator("#samples [aria-pressed=true]").count() == 1
    draw(page, [(0.5, 0.2), (0.5, 0.8)])
    page.wait_for_selector(f"#announce:not(:text-is('{before}'))", state="attached")
    assert page.locator("#samples [aria-pressed=true]").count() == 0
    drawn = page.inner_text("#pixels-fired")
    page.get_by_role("button", name="Clear").click()
    assert page.inner_text("#announce") == "The pad is empty"
    page.get_by_role("button", name="Sample: 7").click()
    assert drawn.endswith("of 784 fired")
    assert "wins" in page.inner_text("#announce")


def test_drawing_and_time_by_keyboard(visit, mnist):
    page = visit(mnist.html)
    page.get_by_role("button", name="Clear").click()
    page.focus("#pad")
    empty = page.inner_text("#neuron-text")
    page.keyboard.press("ArrowUp")
    assert page.inner_text("#neuron-text") == empty  # the pen is up
    page.keyboard.press("Space")
    assert page.inner_text("#announce") == "Pen down"
    for key in ["ArrowDown"] * 6 + ["ArrowRight"] * 6:
        page.keyboard.press(key)
    page.keyboard.press("Space")
    assert page.inner_text("#announce") == "Pen up"
    assert page.inner_text("#neuron-text") != empty
    page.wait_for_selector("#announce:has-text('wins')", state="attached")
    page.focus("#time")
    page.keyboard.press("Home")
    assert page.get_attribute("#time", "aria-valuetext").startswith("t = 0.00; fired: ")
    assert page.inner_text("#verdict") == "No output has fired yet"
    page.keyboard.press("ArrowRight")
    assert float(page.inner_text("#now")) > 0


def test_a_touch_draws(visit, mnist):
    page = visit(mnist.html, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    page.get_by_role("button", name="Clear").click()
    empty = page.inner_text("#neuron-text")
    page.locator("#pad").tap(position={"x": 90, "y": 90})
    assert page.inner_text("#neuron-text") != empty


def test_play_pause_and_the_end(visit, mnist):
    page = visit(mnist.html)
    page.select_option("#speed", "2")
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Play").count() == 1
    assert 0 <= float(page.get_attribute("#time", "value") or 0) <= 1000
    page.evaluate("document.getElementById('announce').textContent = ''")
    page.get_by_role("button", name="Play").click()
    page.wait_for_selector("#announce:has-text('wins')", state="attached")
    assert page.get_attribute("#verdict", "data-over") == "true"


@pytest.mark.parametrize("width", [1200, 700, 360])
def test_no_width_needs_scrolling_sideways(visit, mnist, width):
    page = visit(mnist.html, viewport={"width": width, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_theme_follows_the_system_and_the_button(visit, mnist):
    page = visit(mnist.html, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light colours").click()
    light = page.evaluate(ground)
    assert dark != light
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(ground) == dark
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == dark  # chosen by hand


def test_everything_has_a_name(visit, mnist):
    page = visit(mnist.html)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, canvas, input, select")].filter((element) => {
             const button = element.closest("button");
             const named = [element, button].some((one) => one?.getAttribute("aria-label") || one?.innerText.trim());
             return !named && !element.labels?.length;
           }).map((element) => element.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator("#announce[aria-live=polite]").count() == 1
    assert page.locator("html[lang=en]").count() == 1
