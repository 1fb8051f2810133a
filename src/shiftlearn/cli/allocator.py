"""Memory of the command line's processes."""

from __future__ import annotations

import os

_BLOCK = 31 * 2**20  # bytes; glibc's bounds follow blocks of up to 32 MiB


def keep_freed_memory() -> None:
    """Let glibc keep up to 62 MiB of freed memory, in this process and in those that it starts.

    It returns freed memory to the system beyond twice the largest block it ever unmapped, and a training step would
    then pay for fresh pages every time. Freeing one block of 31 MiB, never touched, raises that bound to 62 MiB. Other
    C libraries take no notice. A program that imports the package sets this itself, if it wants to.
    """
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(_BLOCK))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2 * _BLOCK))
    bytes(_BLOCK)
