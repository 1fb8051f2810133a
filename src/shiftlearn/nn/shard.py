"""The part of a batch that a layer or loss is given, where several processes share the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Shard"]


def _itself(value: Tensor) -> Tensor:
    return value


@dataclass(frozen=True)
class Shard:
    """Part number ``rank`` of ``size`` parts of a batch.

    Attributes:
        total: number of samples in the whole batch.
        sum: sums a tensor over all parts; called by every part, in the same order.
    """

    total: int
    rank: int = 0
    size: int = 1
    sum: Callable[[Tensor], Tensor] = _itself

    @property
    def rows(self) -> slice:
        """Its samples, in the batch's order; parts differ by at most one sample, and can be empty."""
        least, more = divmod(self.total, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))
