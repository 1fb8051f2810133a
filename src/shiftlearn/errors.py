"""Errors a user can mend. The command line prints their message alone, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["InputError", "PeerError", "RunWarning", "unknown_name"]


class InputError(ValueError):
    """An argument, setting or file is not what it must be; the message names it, what was given and what fits."""


class RunWarning(UserWarning):
    """A run goes on, but not as its owner will have wished. The command line prints the message alone."""


def unknown_name(kind: str, given: str, valid: Iterable[str]) -> InputError:
    """The error for a name that is not among ``valid``, with the nearest valid name first."""
    names = sorted(valid)
    near = difflib.get_close_matches(given, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"unknown {kind} {given!r}.{hint} Valid: {', '.join(names)}.")


class PeerError(RuntimeError):
    """Another process of a distributed run failed, and says why itself."""
