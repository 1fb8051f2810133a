"""What all drawings begin with and end in: figures of matplotlib (an optional dependency), colours, and files.

Categories have the colours of Okabe & Ito, which colour-blind people tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

__all__ = ["PICTURES", "Palette", "new_figure", "palette", "picture", "require_matplotlib", "style"]

PICTURES = (".png", ".svg", ".pdf")
"""How the names of files end that :func:`picture` can fill."""


@dataclass(frozen=True)
class Palette:
    """Colours for one background: text, what is to stand back, categories, and the signs of synapses."""

    paper: str
    ink: str
    faint: str
    categories: tuple[str, ...]
    excitatory: str
    inhibitory: str

    @property
    def signed(self) -> Colormap:
        """From inhibitory over nothing, which is the background, to excitatory."""
        from matplotlib.colors import LinearSegmentedColormap

        map_ = LinearSegmentedColormap.from_list("signed", [self.inhibitory, self.paper, self.excitatory])
        return map_.with_extremes(bad=self.paper)

    def category(self, number: int) -> dict[str, Any]:
        """Colour and dashes of a line; they repeat after 3 times the number of colours."""
        turn, colour = divmod(number, len(self.categories))
        return {"color": self.categories[colour], "linestyle": ("-", "--", ":")[turn % 3]}


_LIGHT = Palette(
    paper="#ffffff",
    ink="#222222",
    faint="#9a9a9a",
    categories=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222"),
    excitatory="#D55E00",
    inhibitory="#0072B2",
)
_DARK = Palette(
    paper="#15181d",
    ink="#e8e8e8",
    faint="#7d828a",
    categories=("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#e8e8e8"),
    excitatory="#E69F00",
    inhibitory="#56B4E9",
)


def require_matplotlib() -> None:
    """InputError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("drawing needs matplotlib: pip install 'shiftlearn[plots]'") from None


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches.

    Raises:
        InputError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


@contextmanager
def style(dark: bool = False) -> Iterator[None]:
    """What is drawn within has the look of the library's own pictures: ``with style(dark=True): …``.

    Raises:
        InputError: matplotlib is not installed.
    """
    require_matplotlib()
    from cycler import cycler
    from matplotlib import rc_context

    colours = _DARK if dark else _LIGHT
    ink = ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor", "axes.titlecolor")
    lines = ("axes.edgecolor", "xtick.color", "ytick.color")
    settings: Any = {
        **dict.fromkeys(("figure.facecolor", "axes.facecolor"), colours.paper),
        **dict.fromkeys(ink, colours.ink),
        **dict.fromkeys(lines, colours.faint),
        "axes.prop_cycle": cycler(color=colours.categories),
        **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
        "axes.titlelocation": "left",
        "axes.axisbelow": True,
        "font.size": 9.5,
        "axes.titlesize": 10.5,
        "figure.titlesize": 11.5,
        "legend.fontsize": 8.5,
        "savefig.dpi": 150,
        "svg.hashsalt": "shiftlearn",  # the same drawing is the same file
    }
    with rc_context(settings):
        yield


def palette(of: Axes | Figure | SubFigure) -> Palette:
    """The colours that are seen on the background of axes or a figure."""
    from matplotlib.colors import to_rgba

    red, green, blue, opacity = to_rgba(of.get_facecolor())
    if opacity == 0:  # as parts of figures are
        red, green, blue, _ = to_rgba(of.figure.get_facecolor())
    return _DARK if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else _LIGHT


def picture(figure: Figure | SubFigure, suffix: str) -> bytes:
    """The content of a file that ends in ``suffix``, one of :data:`PICTURES`."""
    content = io.BytesIO()
    undated: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})
    figure.figure.savefig(content, format=suffix[1:], metadata=undated)
    return content.getvalue()
