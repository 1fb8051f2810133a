"""Rules, pathways, codings and datasets of one's own: the names they go by, and two rules against a plain loop."""

from __future__ import annotations

import json
import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from shiftlearn import coding, data, nn, recipes, to_time
from shiftlearn.data import tasks
from shiftlearn.errors import InputError
from shiftlearn.ops import rules
from shiftlearn.registry import CODINGS, DATASET_NAMES, FEEDBACK, Registry
from shiftlearn.training import callbacks, run

EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = pytest.mark.usefixtures("own_names", "one_thread")


def double(weight: Tensor, fixed: Tensor) -> Tensor:
    return 2 * weight


def reverse(x: Tensor, exponent: float) -> Tensor:
    return torch.exp(exponent * x)


def halves(split: str) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(40 if split == "train" else 10) % 2
    images = np.zeros((len(labels), 4, 4), np.uint8)
    images[labels == 0, :2] = 255
    images[labels == 1, 2:] = 255
    return images, labels


class TestRegistry:
    def test_names_come_in_order_and_lead_to_their_entries(self) -> None:
        registry = Registry("fruit", {"pear": 1})
        registry.register("wild-apple", len, 2)
        assert list(registry) == ["pear", "wild-apple"]
        assert len(registry) == 2
        assert "pear" in registry
        assert registry.get("wild-apple") == 2

    def test_an_unknown_name_is_told_the_nearest_and_all(self) -> None:
        with pytest.raises(InputError, match=r"unknown fruit 'peer'\. Did you mean 'pear'\? Valid: apple, pear\."):
            Registry("fruit", {"pear": 1, "apple": 2}).get("peer")

    def test_a_cell_may_run_again(self) -> None:
        registry: Registry[object] = Registry("fruit", {"pear": 1})
        for entry in (2, 3):

            def taste() -> None: ...

            taste.__module__, taste.__qualname__ = "__main__", "taste"
            registry.register("plum", taste, entry)
        assert registry.get("plum") == 3
        for name in ("plum", "pear"):
            with pytest.raises(InputError, match=f"fruit '{name}' is already registered"):
                registry.register(name, double, 4)

    @pytest.mark.parametrize("module", ["__main__", "elsewhere"])
    def test_another_function_needs_replace(self, module: str) -> None:
        registry: Registry[object] = Registry("fruit", {"pear": 1})
        first, second = (lambda: None for _ in range(2))
        first.__module__ = second.__module__ = module
        registry.register("plum", first, 2)
        registry.register("plum", first, 2)
        with pytest.raises(InputError, match=r"'plum' is already registered, for another function; .* replace=True"):
            registry.register("plum", second, 3)
        assert registry.get("plum") == 2
        registry.register("plum", second, 3, replace=True)
        assert registry.get("plum") == 3
        with pytest.raises(InputError, match="'pear' is already registered: it is built in"):
            registry.register("pear", second, 4, replace=True)


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (lambda: nn.pathways.register("direct", double), "'direct' is already registered"),
        (lambda: nn.pathways.register("random", double), "'random' is already registered"),
        (lambda: nn.pathways.register("x y", double), "name must be an identifier, got 'x y'"),
        (lambda: coding.register("latency", reverse), "coding 'latency' is already registered"),
        (lambda: coding.register("mine", reverse, width=0), "width must be an integer of 1 or more, got 0"),
        (lambda: coding.register("mine", "exp"), "function must be callable, got 'exp'"),
        (lambda: data.register("mnist", halves, "ab"), "classes must be two names or more, got 'ab'"),
        (lambda: data.register("mnist", halves, ["a", "b"]), "dataset 'mnist' is already registered"),
        (lambda: data.register("tca", halves, ["a", "b"]), "dataset 'tca' is already registered"),
    ],
)
def test_what_cannot_be_registered(register, message: str) -> None:
    with pytest.raises(InputError, match=message):
        register()


@pytest.mark.parametrize(
    ("register", "get"),
    [
        (rules.register, lambda name: rules.get(name)),
        (nn.pathways.register, lambda name: FEEDBACK.get(name)),
        (coding.register, lambda name: CODINGS.get(name).function),
        (lambda *given, **more: data.register(*given, ("a", "b"), **more), lambda name: data.own(name).loader),
    ],
    ids=["rule", "pathway", "coding", "dataset"],
)
def test_every_kind_can_be_replaced(register, get) -> None:
    first, second = (lambda *arguments: None for _ in range(2))
    register("mine", first)
    with pytest.raises(InputError, match="replace=True"):
        register("mine", second)
    register("mine", second, replace=True)
    assert get("mine") is second


def test_a_rule_by_its_place_is_imported_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a network can be read, and classify, without the code that its settings name."""
    (tmp_path / "rule_by_place.py").write_text("from shiftlearn.ops.rules import exact as mine\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "rule_by_place", raising=False)
    z = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)) + 1
    own, exact = (nn.ShiftLinear(4, 3, rule=rule, init_scale=30) for rule in ("rule_by_place:mine", "exact"))
    exact.load_state_dict(own.state_dict())
    with torch.no_grad():
        own(z)
    assert "rule_by_place" not in sys.modules
    for layer in (own, exact):
        fired = layer(z)
        fired[fired.isfinite()].sum().backward()
    assert "rule_by_place" in sys.modules
    assert (exact.shift.grad != 0).any()
    torch.testing.assert_close(own.shift.grad, exact.shift.grad)
    with pytest.raises(InputError, match="rule 'rule_by_place:yours': module 'rule_by_place' has no function 'yours'"):
        run.start(
            recipes.override(recipes.read("iris"), {"rule": "rule_by_place:yours"}),
            tmp_path / "run",
            0,
            callbacks.Silent(),
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["a b:c", "a:", ":a", "a:b c", "../a:b"])
def test_what_is_no_place_of_a_rule(name: str) -> None:
    with pytest.raises(InputError, match="unknown rule"):
        rules.get(name)


def test_recipes_know_the_names_and_errors_list_them() -> None:
    recipe = recipes.read("digits")
    for key in ("coding", "feedback"):
        with pytest.raises(InputError, match=f"{key} must be one of .*, got 'mine'"):
            recipes.override(recipe, {key: "mine"})
    coding.register("mine", reverse)
    nn.pathways.register("mine", double)
    assert recipes.override(recipe, {"coding": "mine", "feedback": "mine"}).coding == "mine"
    with pytest.raises(InputError, match=r"feedback must be one of symmetric, .*, mine, direct, got 'yours'"):
        recipes.override(recipe, {"feedback": "yours"})
    data.register("halves", halves, ("top", "bottom"))
    with pytest.raises(InputError, match=r"unknown dataset 'halve'\. Did you mean 'halves'\? Valid: .*halves"):
        tasks.read(recipes.override(recipe, {"dataset": "halve"}), 0, None, ["train"])


class TestPathway:
    def test_it_carries_the_error_instead_of_the_weights(self) -> None:
        nn.pathways.register("double", double)
        own, plain = (nn.ShiftLinear(4, 3, feedback=name) for name in ("double", "symmetric"))
        assert own.feedback_weight is not None
        plain.load_state_dict({"shift": own.shift, "delay": own.delay})
        z = [torch.rand(5, 4, generator=torch.Generator().manual_seed(0)).add_(1).requires_grad_() for _ in range(2)]
        for layer, x in zip((own, plain), z, strict=True):
            layer(x).sum().backward()
        assert plain.shift.grad is not None
        assert (z[1].grad != 0).any()
        torch.testing.assert_close(z[0].grad, 2 * z[1].grad)
        torch.testing.assert_close(own.shift.grad, plain.shift.grad)

    def test_a_matrix_of_another_shape_is_refused(self) -> None:
        nn.pathways.register("narrow", lambda weight, fixed: fixed[:1])
        with pytest.raises(InputError, match=r"feedback must have the shape of shift, \(4, 3\), got \(1, 3\)"):
            nn.ShiftLinear(4, 3, feedback="narrow")(torch.ones(2, 4))


class TestCoding:
    def test_bytes_arrive_as_values_from_0_to_1(self) -> None:
        coding.register("reverse", reverse)
        z = coding.encoder("reverse", 2.0)(torch.tensor([[0, 255]], dtype=torch.uint8))
        torch.testing.assert_close(z, torch.tensor([[1.0, math.exp(2)]]))

    def test_its_width_makes_the_network(self) -> None:
        coding.register("twice", lambda x, exponent: torch.exp(exponent * torch.cat([x, 1 - x], -1)), width=2)
        assert coding.coded_width("twice", 7, 6) == 14
        coding.register("less", reverse, width=2)
        with pytest.raises(InputError, match=r"a coding of width 2 must make \(1, 4\) of \(1, 2\), got \(1, 2\)"):
            coding.encoder("less", 1.0)(torch.zeros(1, 2))


class TestDataset:
    def test_it_trains_by_name(self, tmp_path: Path) -> None:
        data.register("halves", halves, ("top", "bottom"))
        settings = {"dataset": "halves", "layers": [0, 8, 0], "epochs": 8, "batch": 8, "lr": 0.02, "init_scale": 8.0}
        recipe = recipes.override(recipes.read("mnist"), settings)
        metrics = run.start(recipe, tmp_path / "run", 0, callbacks.Silent())
        assert metrics["test_accuracy"] == 1
        assert json.loads((tmp_path / "run" / "config.json").read_text())["classes"] == ["top", "bottom"]

    @pytest.mark.parametrize(
        ("made", "message"),
        [
            (([[1.0]], np.zeros(1, int)), r"samples must be an array .* got list"),
            ((np.zeros((3, 2)), np.zeros(2, int)), r"labels one \(n,\), got \(3, 2\).* and \(2,\)"),
            ((np.zeros((2, 2)), np.zeros(2)), "labels must be integers from 0 to 1, got .*float64"),
            ((np.zeros((2, 2)), np.array([0, 2])), "labels must be integers from 0 to 1, got .* from 0 to 2"),
        ],
    )
    def test_a_loader_that_breaks_its_word(self, made, message: str) -> None:
        data.register("broken", lambda split: made, ("a", "b"))
        with pytest.raises(InputError, match=f"broken: .*{message}"):
            data.load("broken", "train")


@pytest.mark.parametrize("delay", [1.0, 1.5])
def test_the_rules_of_the_example_are_what_they_say(delay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window of each, in times, pair by pair."""
    monkeypatch.setattr(run, "start", lambda *_: (_ for _ in ()).throw(InterruptedError))
    with pytest.raises(InterruptedError):  # the example's rules, without its training
        runpy.run_path(str(EXAMPLES / "plot_own_rule.py"))
    generator = torch.Generator().manual_seed(3)
    z = torch.exp(2 * torch.rand(6, 5, generator=generator, dtype=torch.float64))
    z[:, 4] = math.inf
    shift = torch.randn(5, 4, generator=generator, dtype=torch.float64) + 0.4
    error = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    for rule in ("sign-only", "exponential"):
        layer = nn.ShiftLinear(5, 4, rule, dtype=torch.float64)
        with torch.no_grad():
            layer.shift.copy_(shift)
            layer.delay.fill_(delay)
        fired = layer(z)
        heard = torch.where(fired.isfinite(), fired, 0.0)
        (heard * error).sum().backward()
        t_in, t_out = to_time(z), to_time(fired.detach())
        expected = torch.zeros_like(shift)
        for b in range(6):
            for j in range(4):
                t_crossing = t_out[b, j].item() - math.log(delay)
                for i in range(5):
                    if not (math.isfinite(t_crossing) and t_in[b, i] <= t_crossing):
                        continue
                    if rule == "sign-only":
                        expected[i, j] += error[b, j] * math.copysign(1, t_in[b, i] - t_out[b, j])
                    else:
                        causal = t_in[b] <= t_crossing
                        slope = shift[causal, j].sum() - 1
                        expected[i, j] -= error[b, j] / slope * math.exp(t_in[b, i] - t_out[b, j])
        assert (expected != 0).sum() > 8
        torch.testing.assert_close(layer.shift.grad, expected)


def test_the_names_of_datasets_are_those_that_can_be_read():
    assert set(DATASET_NAMES) == {*data.DATASETS, *data.tables.TABLES, "xor", "tca"}
