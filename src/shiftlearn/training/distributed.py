"""Data-parallel training: the processes that torchrun starts, and what each of them does.

Every process holds all samples and the whole network, and learns from its part of each batch; the adjustments are
summed over the processes, so that all take the same step, and homeostasis too, which follows from the weights. The
first one alone touches the run folder. The processors should be of one kind: where they round differently, the copies
of the weights drift apart by as much.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InputError, PeerError
from ..nn.shard import Shard

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["ALONE", "World", "join"]

T = TypeVar("T")
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class World:
    """One of ``size`` processes that train together.

    All of them must call :meth:`first`, :meth:`agreed`, :meth:`parallel` and :meth:`sum`, in the same order.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_writer(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def shard(self, total: int) -> Shard:
        """This process's part of ``total`` samples."""
        return Shard(total, self.rank, self.size, self.sum)

    def sum(self, value: Tensor) -> Tensor:
        """The sum of the values of all processes."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        value = value.clone()
        dist.all_reduce(value)
        return value

    def first(self, work: Callable[[], T]) -> T:
        """What ``work`` returns in the first process, which alone does it.

        Raises:
            PeerError: in the other processes, where it fails.
        """
        result: T = self._gathered(work if self.is_writer else None)[0]
        return result

    def agreed(self, work: Callable[[], T]) -> T:
        """What ``work`` returns here; it is done in every process, without collective operations within it.

        Raises:
            PeerError: it fails in another process. Where it fails in several, the first of them raises the cause.
        """
        result = []
        self._gathered(lambda: result.append(work()))
        return result[0]

    def _gathered(self, work: Callable[[], T] | None) -> list[Any]:
        """The results of all processes, or the first error."""
        if self.size == 1:
            assert work is not None
            return [work()]
        import torch.distributed as dist

        result, cause, message = None, None, None
        try:
            result = work() if work else None
        except Exception as error:
            cause, message = error, f"{type(error).__name__}: {error}"
        told: list[Any] = [None] * self.size
        dist.all_gather_object(told, (result, message))
        for rank, (_, failure) in enumerate(told):
            if failure is not None:
                if rank == self.rank and cause is not None:
                    raise cause
                raise PeerError(f"process {rank} of {self.size} failed: {failure}")
        return [result for result, _ in told]

    def parallel(self, network: nn.Module, unused: bool) -> nn.Module:
        """The network, whose backward averages ``.grad`` over the processes; it begins as it is in the first.

        ``unused`` says whether there are parameters that no error reaches.
        """
        if self.size == 1:
            return network
        from torch.nn.parallel import DistributedDataParallel

        together = DistributedDataParallel(network, find_unused_parameters=unused)
        together.broadcast_buffers = False  # the constructor has sent the feedback matrices: they stay, or change alike
        return together


ALONE = World()


@contextlib.contextmanager
def join(device: str) -> Iterator[tuple[World, str]]:
    """Meet the other processes, and part at the end: the world, and the device that is this one's.

    Where torchrun (or another that sets its environment variables) started one process or none, that is ALONE. Several
    talk by gloo on the CPU and by NCCL on "cuda", where each has the GPU of its LOCAL_RANK. To meet again they need
    another MASTER_PORT: at the old one a process may still find what the others said the first time, and wait for ever.

    Raises:
        InputError: several processes, and another device than "cpu" or "cuda".
    """
    if not all(name in os.environ for name in _TORCHRUN) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE, device
        return
    import torch.distributed as dist

    world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    # What is not a tensor goes by gloo in any case.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" and dist.is_nccl_available() else "gloo")
    try:
        yield world, world.agreed(lambda: _own(device, int(os.environ["LOCAL_RANK"])))
    finally:
        dist.destroy_process_group()


def _own(device: str, local_rank: int) -> str:
    """The device of a process, by its number among those of its machine."""
    if device not in ("cpu", "cuda"):
        raise InputError(f"device must be 'cpu' or 'cuda' for several processes, got {device!r}")
    if device == "cpu":
        return device
    import torch

    if local_rank >= (count := torch.cuda.device_count()):
        raise InputError(f"device 'cuda' needs a GPU for each process of a machine, here are {count}")
    torch.cuda.set_device(local_rank)
    return f"cuda:{local_rank}"
