from torch import Tensor

def sort_spikes(dense: Tensor, z: Tensor, channel: Tensor, rest: Tensor, threads: int) -> int: ...
def first_spike(
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    shift: Tensor,
    u: Tensor,
    count: Tensor,
    drive: Tensor,
    threads: int,
) -> None: ...
def plasticity(
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    count: Tensor,
    a: Tensor,
    c: Tensor,
    result: Tensor,
    threads: int,
) -> None: ...
def feedback(
    z: Tensor,
    channel: Tensor,
    offsets: Tensor,
    rest: Tensor,
    count: Tensor,
    f: Tensor,
    weight: Tensor,
    result: Tensor,
    threads: int,
) -> None: ...
def coefficients(
    rule: int,
    delta: Tensor,
    u: Tensor,
    drive: Tensor,
    delay: Tensor,
    min_drive: float,
    a: Tensor,
    c: Tensor,
    f: Tensor,
    g: Tensor,
    threads: int,
) -> None: ...
def instruction_set() -> str: ...
def use_instruction_set(isa: str) -> None: ...
