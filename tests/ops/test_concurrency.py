"""The kernels among Python threads, after a fork, in the workers of a DataLoader, and where memory runs out."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from problems import needs_kernels, random_dense
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from shiftlearn import ops

PATIENCE = 120  # seconds, after which a process counts as hanging


def learn(seed: int) -> list[Tensor]:
    """All that a step of learning asks of the kernels; enough work for several threads."""
    problem = random_dense(seed, 40, 60, 70)
    events = ops.sort_spikes(problem.tensor(torch.float32))
    weight = problem.weight(torch.float32)
    u, count, drive = ops.first_spike(events, weight)
    return [u, count, ops.plasticity(events, count, drive, drive), ops.feedback(events, count, drive, weight)]


def learn_by_gradient(seed: int) -> list[Tensor]:
    """The same as one op and its backward pass."""
    problem = random_dense(seed, 40, 60, 70)
    z, shift = (x.requires_grad_() for x in (problem.tensor(torch.float32), problem.weight(torch.float32)))
    ops.fire(z, shift, torch.ones(70), rule="exact", min_drive=0.1).nan_to_num(posinf=0).sum().backward()
    return [z.grad, shift.grad]


def equal(got: list[Tensor], want: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("teams", [1, 2])
@pytest.mark.parametrize("act", [learn, learn_by_gradient])
@needs_kernels
def test_eight_threads_do_not_know_each_other(threads: None, act: Callable[[int], list[Tensor]], teams: int) -> None:
    torch.set_num_threads(teams)
    want = [act(seed) for seed in range(8)]
    start, right = threading.Barrier(8), [0] * 8

    def work(seed: int) -> None:
        start.wait()
        for _ in range(10):
            right[seed] += equal(act(seed), want[seed])

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert right == [10] * 8


@needs_kernels
def test_a_kernel_lets_other_threads_run(threads: None) -> None:
    """While one thread is in a kernel for long, another one wakes again and again."""
    torch.set_num_threads(1)
    problem = random_dense(0, 300, 1000, 1000, ties=0, silent=0)
    events = ops.sort_spikes(problem.tensor(torch.float64))
    count, a = torch.full((300, 1000), 1000, dtype=torch.int32), torch.ones(300, 1000, dtype=torch.float64)
    worker = threading.Thread(target=ops.plasticity, args=(events, count, a, a))
    worker.start()
    woken = 0
    while worker.is_alive():
        time.sleep(0.001)
        woken += 1
    assert woken > 5


def learn_in_child(want: list[Tensor]) -> None:
    assert equal(learn(0), want)


@needs_kernels
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
def test_a_forked_process_does_not_wait_for_threads_that_it_lacks(threads: None) -> None:
    torch.set_num_threads(2)
    want = learn(0)  # starts the parent's pool of threads
    child = multiprocessing.get_context("fork").Process(target=learn_in_child, args=(want,))
    child.start()
    child.join(PATIENCE)
    child.kill()
    assert child.exitcode == 0
    assert equal(learn(0), want)


def sort_in_too_little_memory(z: Tensor) -> None:
    """Enough for the results, 8 bytes an input, but not for what the kernel needs itself, 16 bytes."""
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 12 * z.numel(), resource.RLIM_INFINITY))
    with pytest.raises(MemoryError):
        ops.sort_spikes(z)


@needs_kernels
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="not Linux")
@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="AddressSanitizer ends the process where memory runs out")
def test_a_kernel_without_memory_raises(threads: None) -> None:
    """An exception must not leave a parallel region, or the process ends."""
    z = torch.ones(1, 8_000_000)
    child = multiprocessing.get_context("fork").Process(target=sort_in_too_little_memory, args=(z,))
    child.start()
    child.join(PATIENCE)
    child.kill()
    assert child.exitcode == 0


class Outputs(Dataset):
    """Item i: what a layer makes of samples that it sorts itself."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Tensor:
        return learn(i)[0]


@needs_kernels
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_the_workers_of_a_loader(threads: None, start: str) -> None:
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start}")
    torch.set_num_threads(2)
    want = [learn(i)[0] for i in range(4)]
    loader = DataLoader(Outputs(), batch_size=None, num_workers=2, multiprocessing_context=start, timeout=PATIENCE)
    assert equal(list(loader), want)
