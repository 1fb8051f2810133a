"""Mutations of valid files: every loader returns something sound or raises an InputError, soon and in little memory.

``pytest tests/fuzz --fuzz 4000`` tries 4,000 files of each kind, 116,000 in all.
"""

from __future__ import annotations

import copy
import json
import random
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from formats import FORMATS, Format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shiftlearn.errors import InputError

MEMORY = 2**30  # bytes of address space beyond what the tests take at their start
SECONDS = 10  # of processor time for one file

WORDS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1]
PIECES = [
    b"\0",
    b"\xff\xfe",
    b'"',
    b"\n",
    b",",
    b"[" * 3000,
    b"{" * 3000,
    b"9" * 5000,
    b"1e999",
    b"nan",
    b"-1",
    b"\0" * 9,
]
VALUES: list[Any] = [
    None, True, -1, 0, 2**31 - 1, 2**31, 10**400, 1e308, float("inf"), float("nan"), "", "x", "9" * 5000, [], [[]],
    {}, [0, 0], [2**31 - 1] * 3, [1, 2**31 - 1, 2**31 - 1], {"x": 1}, "population", "direct", "tca", "x.npz",
]  # fmt: skip


class Hang(BaseException):
    """A file takes too long. Not an Exception, which loaders turn into an InputError."""


@pytest.fixture(scope="module", autouse=True)
def limits() -> Iterator[None]:
    """Memory blow-ups become a MemoryError."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, before[1]))

    def stop(*_: Any) -> None:
        raise Hang

    handler = signal.signal(signal.SIGPROF, stop)
    yield
    signal.signal(signal.SIGPROF, handler)
    resource.setrlimit(resource.RLIMIT_AS, before)


def mutated(valid: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, taken away, doubled or put in."""
    content = bytearray(valid)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        # Headers come first in most formats, and are what a reader believes.
        at = draw.randrange(min(len(content), 64) if draw.random() < 0.4 else len(content)) if content else 0
        kind = draw.randrange(8)
        if kind == 0 and content:
            content[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            content[at : at + 1] = bytes([draw.randrange(256)])
        elif kind in (2, 3):
            word = draw.choice(WORDS) + draw.choice((-1, 0, 0, 1))
            size = draw.choice((1, 2, 4, 8))
            content[at : at + size] = (word % 256**size).to_bytes(size, draw.choice(("big", "little")))
        elif kind == 4:
            del content[at:]
        elif kind == 5:
            del content[at : at + draw.randrange(1, 40)]
        elif kind == 6:
            piece = content[at : at + draw.randrange(1, 200)]
            content[at:at] = piece * draw.choice((1, 2, 50))
        else:
            content[at:at] = draw.choice(PIECES)
    return bytes(content)


def revalued(valid: bytes, draw: random.Random) -> bytes:
    """JSON with other values, keys taken away, or keys put in."""
    top = json.loads(valid)
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = top
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw.choice(keys)
            if isinstance(place[key], dict | list) and draw.random() < 0.8:
                place = place[key]
                continue
            if draw.random() < 0.15:
                del place[key]
            else:
                place[key] = copy.deepcopy(draw.choice(VALUES))
            break
    return json.dumps(top).encode()


def outcome(kind: Format, content: bytes, folder: Path) -> None:
    path = folder / kind.name
    path.write_bytes(content)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # processor time: the machine may be busy
    refusal = None
    try:
        assert kind.read(path), "what was returned is not sound"
    except InputError as error:
        refusal = error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if refusal:
        assert not isinstance(refusal.__cause__ or refusal.__context__, MemoryError), "more memory than the limit"
        assert str(refusal), "an InputError must say something"


@pytest.mark.parametrize("name", FORMATS)
def test_a_valid_file_is_read(tmp_path: Path, name: str) -> None:
    kind = FORMATS[name]
    (tmp_path / kind.name).write_bytes(kind.packed(kind.valid))
    assert kind.read(tmp_path / kind.name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FORMATS)
def test_mutations(tmp_path: Path, name: str, fuzz: int) -> None:
    kind = FORMATS[name]
    change = revalued if kind.is_json else mutated

    @settings(max_examples=fuzz, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=True))
    def attempt(draw: random.Random) -> None:
        content = kind.packed(change(kind.valid, draw))
        try:
            outcome(kind, content, tmp_path)
        except BaseException:
            (tmp_path / "found").write_bytes(content)
            raise

    attempt()
