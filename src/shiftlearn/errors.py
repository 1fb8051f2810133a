"""Errors a user can mend. The command line prints their message alone, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

__all__ = ["IndexInputError", "InputError", "PeerError", "RunWarning", "nearest", "unknown_name"]


class InputError(ValueError):
    """An argument, setting or file is not what it must be; the message names it, what was given and what fits."""


class IndexInputError(InputError, IndexError):
    """There is no item of that number. As an IndexError it also ends an iteration over numbers."""


class RunWarning(UserWarning):
    """A run goes on, but not as its owner will have wished. The command line prints the message alone."""


def unknown_name(kind: str, given: str, valid: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> InputError:
    """The error for a name that is not among ``valid``, with the one that :func:`nearest` finds first."""
    names = sorted(valid)
    return InputError(f"unknown {kind} {given!r}.{nearest(given, names, elsewhere)} Valid: {', '.join(names)}.")


def nearest(given: str, valid: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """The sentence that asks whether the nearest valid name was meant, upper case or lower; "" if none is near.

    ``elsewhere`` maps names that other libraries use to valid ones.
    """
    names = {**(elsewhere or {}), **{name.lower(): name for name in valid}}
    near = difflib.get_close_matches(str(given).lower(), names, n=1)
    return f" Did you mean {names[near[0]]!r}?" if near else ""


class PeerError(RuntimeError):
    """Another process of a distributed run failed, and says why itself."""


def counted(number: int, noun: str, form: str = "") -> str:
    """``1 epoch``, ``2 epochs``, and with the format ``","``: ``1,000 epochs``."""
    return f"{number:{form}} {noun}{'' if number == 1 else 's'}"
