"""The names that settings may take, without the cost of importing what they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .errors import InputError, unknown_name

if TYPE_CHECKING:
    from .coding import Coding
    from .nn.pathways import Pathway

T = TypeVar("T")


class Registry(Generic[T]):
    """The names of one kind of thing, those built in first, and what each stands for; iterates over the names.

    Args:
        kind: what is named, for error messages.
        built_in: may map to None, where the module concerned knows its own names.
    """

    def __init__(self, kind: str, built_in: Mapping[str, T]) -> None:
        self.kind = kind
        self._entries = dict(built_in)
        self._functions: dict[str, Callable[..., Any]] = {}

    def register(self, name: str, function: Callable[..., Any], entry: T) -> None:
        """Let ``name`` stand for ``entry``, at whose core is ``function``.

        A function that is defined anew, as when a notebook's cell runs again, takes the place of the former one.

        Raises:
            InputError: ``name`` is no identifier or stands for something else, or ``function`` is not callable.
        """
        if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
            raise InputError(f"name must be an identifier, got {name!r}")
        if not callable(function):
            raise InputError(f"function must be callable, got {function!r}")
        if name in self._entries and _defined(self._functions.get(name)) != _defined(function):
            raise InputError(f"{self.kind} {name!r} is already registered; choose another name")
        self._entries[name], self._functions[name] = entry, function

    def get(self, name: str) -> T:
        """What ``name`` stands for; InputError with the valid names if it is unknown."""
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _defined(function: Callable[..., Any] | None) -> object:
    """Where a function was defined; of other callables, which one it is."""
    name = getattr(function, "__qualname__", None)
    return (getattr(function, "__module__", None), name) if name else id(function)


FEEDBACK: Registry[Pathway | None] = Registry(
    "feedback", dict.fromkeys(("symmetric", "random", "aligning", "sign", "none"))
)  # of a layer; "direct" is one of a network
CODINGS: Registry[Coding | None] = Registry(
    "coding", dict.fromkeys(("latency", "ink", "on-off", "population", "binarised"))
)
MODULATORS = ("error", "reward")
BASELINES = ("mean", "confidence")  # of the reward
LOSSES = ("cross-entropy", "published")
READOUTS = ("z", "t")
SCHEDULES = ("geometric", "cosine")
INITIALISATIONS = ("uniform", "data")
PREPROCESSING = ("none", "edges")
SCALINGS = ("minmax", "quantile", "robust", "global")
DISTURBANCES = ("jitter", "deletion", "dead", "bits", "clock")
SPIKE_FILES = (".mat", ".npz")
HEADERS = ("auto", "yes", "no")
DECIMALS = ("auto", ".", ",")
MISSING = ("", "?", "-", "na", "n/a", "nan", "none", "null")  # cells of a table, in lower case, unless others are named
RULES = ("shifting", "normalized", "exact")  # those built in
