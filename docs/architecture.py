"""The picture of docs/architecture.md: the folders, what each imports, and the way of one training step through them.

Everything in it is read from the code: the order of the folders from the contract that import-linter checks, their
sentences from their docstrings, the imports from the sources, the way of the step from a step that is run and traced::

    python docs/architecture.py docs/_static/architecture.svg
"""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path
from types import FrameType
from typing import Any

import matplotlib.pyplot as plt
import torch

import shiftlearn

ROOT = Path(__file__).parents[1]
PACKAGE = Path(shiftlearn.__file__).parent
_EVERYWHERE = ("registry", "files", "errors")  # looked into from everywhere: no part of the way
INK, FAINT, BOX, WAY = "#222222", "#9a9a9a", "#e8f1f8", "#d55e00"


def layers() -> list[list[str]]:
    """Rows of names, top first, as import-linter's contract has them."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    return [[name.strip().removeprefix("shiftlearn.") for name in row.split("|")] for row in contract["layers"]]


def sources(name: str) -> list[Path]:
    folder = PACKAGE / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def sentence(name: str) -> str:
    """The first of a docstring."""
    folder = PACKAGE / name
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "").replace(":mod:`shiftlearn.ops`", "ops")


def imports(name: str) -> set[str]:
    """The other folders that its import statements name."""
    found: set[str] = set()
    for path in sources(name):
        here = ("shiftlearn", *path.relative_to(PACKAGE).parts[:-1])
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                target = (*here[: len(here) - node.level + 1], *(node.module or "").split("."))
                targets = [target] if node.module else [(*target[:-1], alias.name) for alias in node.names]
                found.update(parts[1] for parts in targets if len(parts) > 1 and parts[1] not in (name, ""))
    return found


def step() -> list[tuple[str, str]]:
    """The crossings from folder to folder of one training step on Iris: (folder, function), in order."""
    from shiftlearn import recipes
    from shiftlearn.data import tasks
    from shiftlearn.models.build import build
    from shiftlearn.models.model import Model
    from shiftlearn.training.step import Learner, random_state

    crossings: list[tuple[str, str]] = []

    def folder(frame: FrameType | None) -> str:
        path = Path(frame.f_code.co_filename) if frame else Path()
        return path.relative_to(PACKAGE).parts[0].removesuffix(".py") if PACKAGE in path.parents else ""

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or not (here := folder(frame)) or here in _EVERYWHERE or here.startswith("_"):
            return
        caller = frame.f_back
        while caller is not None and folder(caller) in ("", *_EVERYWHERE):
            caller = caller.f_back
        name = frame.f_code.co_qualname.replace(".<locals>.", ".").replace(".__init__", "")
        if folder(caller) != here and "<" not in name and (here, name) not in crossings:
            crossings.append((here, name))

    sys.setprofile(trace)
    try:
        recipe = recipes.read("iris")
        task = tasks.read(recipe, 0, None, ["train"])
        features = task.scale(recipe, task.train)
        recipe = tasks.fitted(recipe, task, features)
        network = build(recipe, random_state(0, 0))
        model = Model(recipe, network, 0, task.classes, features)
        learner = Learner(network, recipe)
        rows = task.train[: recipe.batch]
        learner.set_rates(0.0)
        learner.step(model.encode(model.values(task.take(rows))), torch.from_numpy(task.labels[rows]))
    finally:
        sys.setprofile(None)
    return crossings


def draw(path: Path) -> None:
    rows = layers()
    place = {name: y for y, row in enumerate(reversed(rows)) for name in row}
    way = step()
    figure, (house, steps) = plt.subplots(
        1, 2, figsize=(18, 9.5), width_ratios=(1, 1.3), sharey=True, layout="constrained"
    )
    for row in rows:
        y = place[row[0]]
        for k, name in enumerate(row):
            x, width = 10 * k / len(row), 10 / len(row) - 0.1
            house.add_patch(plt.Rectangle((x, y - 0.42), width, 0.84, color=BOX))
            lines = sum(len(source.read_text().splitlines()) for source in sources(name))
            below = sorted(imports(name), key=lambda other: -place.get(other, -1))
            house.text(x + 0.1, y + 0.2, name, weight="bold", color=INK, va="center")
            house.text(x + width - 0.1, y + 0.2, f"{lines:,}", color=FAINT, va="center", ha="right", fontsize=8)
            if len(row) == 1:
                house.text(x + 2.0, y + 0.2, _short(sentence(name), 100), color=INK, va="center", fontsize=7.5)
                names = _short(", ".join(other for other in below if other in place), 105)
                house.text(x + 0.1, y - 0.2, f"imports {names or 'nothing'}", color=FAINT, va="center", fontsize=7.5)
    house.set(xlim=(0, 10), ylim=(-0.6, len(rows) - 0.4))
    house.set_title("the folders: each imports only what lies below it (grey: lines of Python)", loc="left")
    house.axis("off")
    for name in {name for name, _ in way}:
        steps.axhline(place[name], color=BOX, lw=14, zorder=0)
    steps.plot(range(len(way)), [place[name] for name, _ in way], "-o", color=WAY, lw=1, ms=4)
    for x, (name, function) in enumerate(way):
        steps.text(x, place[name] + 0.14, function, rotation=38, fontsize=7.5, color=INK, va="bottom")
    steps.set(xlim=(-0.5, len(way) + 3), xticks=[])
    steps.axis("off")
    steps.set_title("one training step: each call from one folder into another, in order", loc="left")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rsplit(" ", 1)[0] + " …"


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
