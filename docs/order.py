"""The order of the gallery."""

from pathlib import Path

_EXAMPLES = (
    "first_network",
    "neuron_by_hand",
    "three_factors",
    "own_rule",
    "own_pathway",
    "own_coding",
    "own_dataset",
    "own_data",
    "spike_trains",
    "export",
)


def as_listed(filename: str) -> int:
    """The place of ``plot_NAME.py`` in the list; ValueError if it is not there."""
    return _EXAMPLES.index(Path(filename).stem.removeprefix("plot_"))
