"""The names that settings may take, without the cost of importing what they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from .errors import InputError, unknown_name

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

    def register(self, name: str, function: Callable[..., Any], entry: T, replace: bool = False) -> None:
        """Let ``name`` stand for ``entry``, at whose core is ``function``.

        A function takes the place of another one only with ``replace``, or if a notebook's cell or a line of the
        interpreter defines it anew: both are then of that name at the top level of ``__main__``.

        Raises:
            InputError: ``name`` is no identifier or stands for something else, or ``function`` is not callable.
        """
        if not isinstance(name, str) or not name.replace("-", "_").isidentifier():
            raise InputError(f"name must be an identifier, got {name!r}")
        if not callable(function):
            raise InputError(f"function must be callable, got {function!r}")
        if name in self._entries:
            former = self._functions.get(name)
            if former is None:
                raise InputError(f"{self.kind} {name!r} is already registered: it is built in; choose another name")
            if not (replace or former is function or _defined_anew(former, function)):
                raise InputError(
                    f"{self.kind} {name!r} is already registered, for another function; choose another name, or give "
                    "replace=True"
                )
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


def _defined_anew(former: Callable[..., Any], function: Callable[..., Any]) -> bool:
    """Whether both are of one name at the top level of ``__main__``. Lambdas and closures share their names."""
    name = getattr(function, "__qualname__", "<")
    main = getattr(function, "__module__", None) == getattr(former, "__module__", None) == "__main__"
    return main and "<" not in name and name == getattr(former, "__qualname__", None)


FEEDBACK: Registry[Any] = Registry(
    "feedback", dict.fromkeys(("symmetric", "random", "aligning", "sign", "none"))
)  # of a layer; "direct" is one of a network
CODINGS: Registry[Any] = Registry("coding", dict.fromkeys(("latency", "ink", "on-off", "population", "binarised")))
TABLES = ("breast-cancer", "digits", "iris", "wine")  # with scikit-learn
DATASET_NAMES: Registry[Any] = Registry(
    "dataset", dict.fromkeys(("mnist", "fashion-mnist", *TABLES, "xor", "tca"))
)  # without a file
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
TIME_UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}  # how many make a second
PLOTS = ("curves", "raster", "potential", "weights", "confusion", "roc", "fields", "time")
ELSEWHERE = {
    "batch_size": "batch",
    "ema_decay": "averaging",
    "hidden_layer_sizes": "layers",
    "kernel_size": "kernel",
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "lr_scheduler": "schedule",
    "max_epochs": "epochs",
    "max_iter": "epochs",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "test_size": "test_share",
}  # other libraries' names of settings, and ours
HEADERS = ("auto", "yes", "no")
DECIMALS = ("auto", ".", ",")
MISSING = ("", "?", "-", "na", "n/a", "nan", "none", "null")  # cells of a table, in lower case, unless others are named
RULES = ("shifting", "normalized", "exact")  # those built in


def coded_width(name: str, features: int, cells: int) -> int:
    """Number of inputs that the coding called ``name`` makes of ``features`` values."""
    own = CODINGS.get(name)
    if own is not None:
        width: int = own.width
        return features * width
    return features * {"on-off": 2, "population": cells}.get(name, 1)
