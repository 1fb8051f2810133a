"""``shiftlearn data`` and its subcommands."""

from __future__ import annotations

import io
from typing import cast

from ..data import DATASETS, Split, find
from ..data.tables.table import TABLES
from ..errors import counted
from .printing import Voice
from .target import target


def listing(data_dir: str | None, voice: Voice) -> None:
    rows = []
    for name, dataset in DATASETS.items():
        folder = find(name, data_dir)
        place = str(folder) if folder else "not found: downloaded when first used" if data_dir is None else "not there"
        voice.say(f"{name:14} {place}\n{'':14} {dataset.origin}")
        rows.append({"dataset": name, "folder": None if folder is None else str(folder), "origin": dataset.origin})
    voice.say(f"{'tables':14} {', '.join(TABLES)}\n{'':14} come with scikit-learn; or any CSV file")
    voice.result([*rows, *({"dataset": name, "folder": None, "origin": "scikit-learn"} for name in TABLES)])


def make_tca(trials: int, seed: int, templates: str | None, out: str) -> None:
    from ..data.spike_trains.tca import generate
    from ..data.spike_trains.tca_read import read_mat
    from ..data.spike_trains.tca_write import write_mat

    target(out, ".mat")
    if templates is None:
        made = generate(trials, seed)
    else:
        source = read_mat(templates)
        made = generate(trials, seed, source.templates, source.num_synapses)
    write_mat(out, made)
    print(
        f"{out}: {counted(trials, 'trial')}, {counted(len(made.times), 'spike')}, "
        f"targets {made.target.min()} to {made.target.max()}"
    )


def show(
    dataset: str,
    split: str,
    count: int,
    seed: int,
    coding: str,
    preprocess: str,
    data_dir: str | None,
    out: str,
) -> None:
    path = target(out, ".png")
    from ..files import write
    from ..plots.datasets import show as draw

    picture = draw(dataset, cast(Split, split), count, seed, coding, preprocess, data_dir=data_dir)
    content = io.BytesIO()
    picture.save(content, "PNG")
    write(path, content.getvalue())
    print(f"{path}: {counted(count, 'sample')} of {dataset} ({split}), {picture.width} x {picture.height} pixels")
