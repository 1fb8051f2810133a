"""Numbers in messages."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str, form: str = "") -> str:
    """``1 epoch``, ``2 epochs``, and with the format ``","``: ``1,000 epochs``."""
    return f"{number:{form}} {noun}{'' if number == 1 else 's'}"
