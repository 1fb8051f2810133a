"""Spike trains: reading, writing and generating the task of temporal credit assignment, and trials as events."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat
from test_tca import SMALL, check_laws, same
from torch.utils.data import DataLoader

from shiftlearn.data.spike_trains import matfile
from shiftlearn.data.spike_trains.tca import REWARDS
from shiftlearn.data.spike_trains.tca_read import read_mat
from shiftlearn.data.spike_trains.tca_write import write_mat
from shiftlearn.data.spike_trains.trials import from_arrays, joined, to_events
from shiftlearn.errors import IndexInputError, InputError

one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def published() -> Path:
    folder = os.environ.get("SHIFTLEARN_SPIKE_DATA") or Path(__file__).parents[4] / "shared" / "data" / "spike"
    files = sorted(Path(folder).glob("*.mat"))
    if not files:
        pytest.skip(f"no published file in {folder}")
    return files[0]


def row(x: Any) -> np.ndarray:
    return np.array(x, np.float64).reshape(1, -1)


def cell(items: list[Any]) -> np.ndarray:
    result = np.empty((1, len(items)), object)
    result[0, :] = items
    return result


def content(**changes: Any) -> dict[str, Any]:
    """A file of one trial and two synapses; the template (begins at 3 s) occurs at 0.25 s."""
    columns = [
        cell([row([0.5, 0.375]), row([0.75])]),
        cell([row([0.5]), row([])]),
        cell([row([0.375]), row([0.75])]),
        row([0.25]),
        np.array([[4]], np.uint8),
        np.array([[10]], np.uint8),
        np.array([[1]], np.uint8),
        row([0.001]),
    ]
    pattern = [cell([row([3.125]), row([3.5])]), row([4]), row([1])]
    for name, value in changes.items():
        (columns if name[0] == "c" else pattern)[int(name[1:])] = value
    return {"data": cell(columns), "pattern_data": cell(pattern)}


def fails(path: Path, made: bytes | dict[str, Any], reason: str) -> None:
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        savemat(path, made)
    with pytest.raises(InputError, match=f"(?s){re.escape(path.name)}.*{reason}"):
        read_mat(path)


@pytest.mark.parametrize("compressed", [True, False])
def test_reads_what_scipy_writes(tmp_path: Path, compressed: bool) -> None:
    savemat(tmp_path / "x.mat", content() | {"other": {"a": 1}, "text": "abc"}, do_compression=compressed)
    trials = read_mat(tmp_path / "x.mat")
    assert trials.times.tolist() == [0.375, 0.5, 0.75]
    assert trials.synapses.tolist() == [0, 0, 1]
    assert trials.from_feature.tolist() == [True, False, True]
    assert (trials.offsets.tolist(), trials.onsets.tolist(), trials.features.tolist()) == ([0, 3], [0.25], [0])
    assert (trials.target.tolist(), trials.lengths.tolist(), trials.dt) == ([4], [10.0], 0.001)
    np.testing.assert_allclose(trials.templates.times, [0.125, 0.5], atol=1e-12)


def test_reads_big_endian(tmp_path: Path) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(value: Any, name: bytes = b"") -> bytes:
        array = np.asarray(value)
        head = element(6, struct.pack(">II", 1 if array.dtype == object else 6, 0))
        head += element(5, struct.pack(">ii", *array.shape)) + element(1, name)
        items = array.ravel(order="F")
        body = b"".join(map(matrix, items)) if array.dtype == object else element(9, items.astype(">f8").tobytes())
        return element(14, head + body)

    start = b"MATLAB 5.0".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    variables = b"".join(matrix(value, name.encode()) for name, value in content().items())
    (tmp_path / "big.mat").write_bytes(start + variables)
    savemat(tmp_path / "little.mat", content())
    same(read_mat(tmp_path / "big.mat"), read_mat(tmp_path / "little.mat"))


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.mat", tmp_path):
        with pytest.raises(InputError, match=rf"{re.escape(str(path))}: cannot be read \("):
            read_mat(path)


def test_foreign_and_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    fails(path, b"", "is empty")
    fails(path, b"<html></html>" * 50, "is not a MATLAB file of version 5 to 7")
    fails(path, b"\x89HDF\r\n\x1a\n" + bytes(600), "version 7.3 .HDF5.")
    fails(path, b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(512), "version 7.3 .HDF5.")
    fails(path, {"pattern_data": content()["pattern_data"]}, "lacks the variable 'data'")
    fails(path, {"data": content()["data"]}, "lacks the variable 'pattern_data'")
    savemat(path, content())
    whole = path.read_bytes()
    for length in range(1, len(whole), 97):
        fails(path, whole[:length], "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"c0": row([1, 2])}, "trial 0, column 0: is an array of numbers, expected a cell array"),
        ({"c0": cell(["abc", row([1])])}, "column 0, synapse 0: is a text, expected numbers"),
        ({"c0": cell([row([1]), {"a": 1}])}, "column 0, synapse 1: is a struct, expected numbers"),
        ({"c0": cell([row([1]), np.array([[1j]])])}, "column 0, synapse 1: holds complex numbers"),
        ({"c0": cell([row([0.5, 0.375]), row([-0.75])])}, "column 0, synapse 1: holds -0.75"),
        ({"c0": cell([row([np.nan]), row([0.75])])}, "column 0, synapse 0: holds nan"),
        ({"c7": row([1e-300])}, "column 7: a resolution of 1e-300 s is below"),
        ({"c0": cell([row([0.375, 11]), row([0.75])])}, r"a time of 11 s is beyond its length, 10 s"),
        ({"c2": cell([row([0.4]), row([0.75])])}, "some feature spikes .column 2. are not among"),
        ({"c2": cell([row([0.375, 0.375]), row([0.75])])}, "some feature spikes .column 2. are not among"),
        ({"c2": cell([row([0.375])])}, "column 2: has 1 synapse, expected 2"),
        ({"c3": row([0.25, 0.5])}, "has 2 onsets .column 3. and 1 rewards"),
        ({"c3": row([0.5, 0.25]), "c4": row([1, 1])}, "the onsets do not ascend"),
        ({"c4": row([1.5])}, "column 4: holds 1.5, rewards are integers"),
        ({"c4": row([-1])}, "column 4: holds -1"),
        ({"c5": row([])}, "column 5: expected one positive number"),
        ({"c7": row([0])}, "column 7: expected one positive number"),
        ({"p0": cell([row([3.125])])}, "feature 0, column 0: has 1 synapse, expected 2"),
        ({"p1": row([1, 2])}, "feature 0, column 1: holds 2 numbers, expected one"),
    ],
)
def test_wrong_content(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    fails(tmp_path / "x.mat", content(**changes), reason)


def test_wrong_shapes(tmp_path: Path) -> None:
    made = content()
    fails(tmp_path / "x.mat", made | {"data": made["data"][:, :7]}, "data: has shape 1 x 7, expected n x 8")
    fails(tmp_path / "x.mat", made | {"data": np.ones((3, 8))}, "data: is an array of numbers, expected a cell")
    fails(tmp_path / "x.mat", made | {"data": np.empty((0, 8), object)}, "data: .*")
    fails(tmp_path / "x.mat", made | {"pattern_data": made["data"]}, "pattern_data: has shape 1 x 8, expected n x 3")


def test_hostile_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nesting that overflows the stack of scipy, cells that are not there, a file that unpacks to too much."""
    start = b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM"

    def variable(name: bytes, rows: int, columns: int, elements: bytes) -> bytes:
        padded = name + bytes(-len(name) % 8)
        body = struct.pack("<IIIIIIiiII", 6, 8, 1, 0, 5, 8, rows, columns, 1, len(name)) + padded + elements
        return struct.pack("<II", 14, len(body)) + body

    path, pattern, empty = tmp_path / "x.mat", variable(b"pattern_data", 0, 3, b""), struct.pack("<II", 14, 0)
    one = struct.pack("<IIIIIIiiII", 6, 8, 1, 0, 5, 8, 1, 1, 1, 0)
    nested = b"".join(struct.pack("<II", 14, 48 * k - 8) + one for k in range(10**5, 0, -1))
    data = variable(b"data", 1, 8, nested + 5 * empty + nested + empty)
    fails(path, start + data + pattern, "trial 0, column 6: is a cell array, expected numbers")
    data = variable(b"data", 2**28, 8, b"")
    fails(path, start + data + pattern, "declares 268435456 x 8 cells, more than it can hold")
    monkeypatch.setattr(matfile, "MAX_BYTES", 2**16)
    packed = zlib.compress(bytes(2**16 + 1))
    fails(path, start + struct.pack("<II", 15, len(packed)) + packed, "unpacks to more than the 65536 bytes")
    fails(path, start + bytes(2**16), "is larger than the 65536 bytes")


@one_folder
@given(data=st.data())
def test_random_mutations(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "x.mat"
    savemat(path, content())
    mutated = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        mutated[data.draw(st.integers(120, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(mutated)
    try:
        trials = read_mat(path)
    except InputError as error:
        message = str(error)
    else:
        assert np.isfinite(trials.times).all()
        assert trials.times.min(initial=0) >= 0
        return
    assert path.name in message


def test_round_trip_of_features(tmp_path: Path) -> None:
    write_mat(tmp_path / "x.mat", SMALL)
    same(SMALL, read_mat(tmp_path / "x.mat"))
    assert [p.name for p in tmp_path.iterdir()] == ["x.mat"]


@st.composite
def spike_trains(draw: st.DrawFn) -> tuple[list[float], list[int], list[int], list[int]]:
    n = draw(st.integers(1, 4))
    spikes = draw(st.lists(st.tuples(st.floats(0, 9, allow_subnormal=False), st.integers(0, 5), st.integers(0, n - 1))))
    times, synapses, trial = ([s[i] for s in spikes] for i in range(3))
    return times, synapses, trial, draw(st.lists(st.integers(0, 30), min_size=n, max_size=n))


@one_folder
@given(spike_trains())
def test_round_trip_of_arrays(tmp_path: Path, given_: tuple[list[float], list[int], list[int], list[int]]) -> None:
    trials = from_arrays(*given_, num_synapses=6, length=9)
    write_mat(tmp_path / "x.mat", trials)
    same(trials, read_mat(tmp_path / "x.mat"))


@one_folder
@given(spike_trains())
def test_arrays_keep_every_spike_in_order(given_: tuple[list[float], list[int], list[int], list[int]]) -> None:
    times, synapses, trial, target = given_
    trials = from_arrays(times, synapses, trial, target, num_synapses=6)
    row = np.repeat(np.arange(len(target)), np.diff(trials.offsets))
    found = list(zip(row.tolist(), trials.times.tolist(), trials.synapses.tolist(), strict=True))
    assert found == sorted(zip(trial, times, synapses, strict=True))
    assert trials.target.tolist() == target
    events = to_events(trials, slice(None), torch.float64)
    np.testing.assert_allclose(events.z.log().numpy(), trials.times, atol=1e-12)


def test_scipy_reads_what_is_written(tmp_path: Path) -> None:
    write_mat(tmp_path / "x.mat", SMALL)
    found = loadmat(tmp_path / "x.mat")
    data, patterns = found["data"], found["pattern_data"]
    assert (data.shape, patterns.shape, data[0, 0].shape) == ((3, 8), (9, 3), (1, 40))
    assert [data[k, 4].sum() for k in range(3)] == SMALL.target.tolist()
    assert [p.item() for p in patterns[:, 1]] == list(REWARDS)
    for synapse in range(40):
        every, noise, features = (data[1, column][0, synapse].ravel() for column in range(3))
        np.testing.assert_array_equal(np.sort(every), np.sort(np.concatenate((noise, features))))
    assert (data[0, 5].item(), data[0, 6].item(), data[0, 7].item()) == (10, 1, 0.001)


def test_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.txt: the name must end in \.mat"):
        write_mat(tmp_path / "x.txt", SMALL)
    with pytest.raises(InputError, match=r"x\.mat: cannot be written \(No such file"):
        write_mat(tmp_path / "nowhere" / "x.mat", SMALL)


def test_published_file() -> None:
    trials = read_mat(published())
    check_laws(trials)
    assert (len(trials), trials.num_synapses, len(trials.times)) == (50, 500, 197012)
    assert trials.templates.rewards.tolist() == list(REWARDS)
    assert np.bincount(trials.features).tolist() == [19, 14, 20, 22, 25, 15, 17, 19, 18]
    assert trials.templates.times.min() >= 0
    assert trials.templates.times.max() <= 1
    # Every feature spike is its template's, moved to the onset.
    first = slice(0, trials.feature_offsets[1])
    t, parts = trials.templates, []
    for onset, m in zip(trials.onsets[first], trials.features[first], strict=True):
        parts.append(onset + t.times[t.offsets[m] : t.offsets[m + 1]])
    spikes = trials.times[: trials.offsets[1]][trials.from_feature[: trials.offsets[1]]]
    np.testing.assert_allclose(spikes, np.sort(np.concatenate(parts)), atol=1e-9)


def test_published_file_round_trip(tmp_path: Path) -> None:
    trials = read_mat(published())
    write_mat(tmp_path / "x.mat", trials)
    same(trials, read_mat(tmp_path / "x.mat"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_events(dtype: torch.dtype) -> None:
    events = to_events(SMALL, [2, 0, 2], dtype)
    a, b, c, d = SMALL.offsets.tolist()
    assert (events.batch, events.num_channels, events.z.dtype) == (3, 40, dtype)
    assert events.offsets.tolist() == [0, d - c, d - c + b, 2 * (d - c) + b]
    expected = np.exp(np.concatenate((SMALL.times[c:d], SMALL.times[a:b], SMALL.times[c:d])))
    np.testing.assert_allclose(events.z.numpy(), expected, rtol=1e-6)
    assert events.channel[: d - c].tolist() == SMALL.synapses[c:d].tolist()
    assert events.rest.isinf().all()


def test_events_of_every_index() -> None:
    for index in (1, slice(1, 2), [1], np.array([1]), np.array([False, True, False])):
        assert torch.equal(to_events(SMALL, index).z, to_events(SMALL, [-2]).z)
    assert to_events(SMALL, []).batch == 0
    for index in ([3], 3, [0.5], [[0]], [True]):
        with pytest.raises(InputError, match="index must"):
            to_events(SMALL, index)
    with pytest.raises(InputError, match="dtype must be"):
        to_events(SMALL, 0, torch.float16)
    with pytest.raises(InputError, match="dtype"):
        to_events(from_arrays([100.0], [0], [0], [0]), 0, torch.float32)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (([-1.0], [0], [0], [0]), "times must be finite and 0 or more, got -1"),
        (([np.inf], [0], [0], [0]), "times must be finite"),
        ((["a"], [0], [0], [0]), "times must hold real numbers"),
        (([[1.0], [1.0, 2.0]], [0], [0], [0]), "times must be an array of numbers"),
        (([1.0], [0, 1], [0], [0]), r"synapses must have shape \(1,\)"),
        (([1.0], [0.5], [0], [0]), "synapses must be integers"),
        (([1.0], [0], [1], [0]), "trial must lie in 0 … 0, got 1"),
        (([1.0], [0], [0], [-1]), "target must be integers"),
        (([], [], [], []), "target is empty"),
    ],
)
def test_wrong_arrays(arguments: tuple[Any, Any, Any, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        from_arrays(*arguments)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"num_synapses": 1}, "synapses must lie in 0 … 0, got 1"),
        ({"length": 0.5}, "times must lie within the trial's length, 0.5 s, got 1"),
        ({"length": [1, 2]}, r"length must have shape \(1,\)"),
        ({"length": 0}, "length must be positive"),
        ({"dt": 0}, "dt must be positive"),
    ],
)
def test_wrong_options(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        from_arrays([1.0], [1], [0], [0], **arguments)


@pytest.mark.parametrize("tau", [0.5, 20.0])
def test_events_of_another_time_constant_with_a_cue(tau: float) -> None:
    trials = from_arrays([0.5, 0.2, 3.0], [1, 0, 1], [0, 0, 2], [4, 5, 6], num_synapses=2, length=[2.0, 1.0, 3.0])
    events = to_events(trials, [2, 1, 0], torch.float64, tau, cue=True)
    assert events.num_channels == 3
    assert events.offsets.tolist() == [0, 2, 3, 6]
    assert events.channel.tolist() == [1, 2, 2, 0, 1, 2]
    times = np.array([3.0, 3.0, 1.0, 0.2, 0.5, 2.0])
    np.testing.assert_allclose(events.z.numpy(), np.exp(times / tau), rtol=1e-14)
    assert to_events(trials, cue=False).num_channels == 2
    with pytest.raises(InputError, match="tau must be positive"):
        to_events(trials, tau=0)


def test_some_trials_and_trials_joined() -> None:
    some = SMALL[[2, 0]]
    assert (len(some), some.target.tolist()) == (2, SMALL.target[[2, 0]].tolist())
    assert torch.equal(to_events(some).z, to_events(SMALL, [2, 0]).z)
    assert [some.rewards[slice(*some.feature_offsets[k : k + 2])].sum() for k in (0, 1)] == some.target.tolist()
    same(joined([SMALL[:1], SMALL[1:]]), SMALL)
    same(SMALL[np.array([True, False, True])], joined([SMALL[0], SMALL[2]]))
    for number in (3, -4):
        with pytest.raises(IndexInputError, match="index must tell some of 3 trials"):
            SMALL[number]
    assert issubclass(IndexInputError, InputError)
    assert issubclass(IndexInputError, IndexError)
    wider, unlabelled = from_arrays([1.0], [40], [0], [0]), from_arrays([1.0], [39], [0])
    with pytest.raises(InputError, match=r"several must be trials of one number of synapses .* got \[40, 41\]"):
        joined([SMALL, wider])
    with pytest.raises(InputError, match="several must all have a target, or none"):
        joined([SMALL, unlabelled])


def test_iteration_and_data_loaders_give_trials() -> None:
    one_by_one = list(SMALL)
    assert [len(trials) for trials in one_by_one] == [1, 1, 1]
    same(joined(one_by_one), SMALL)
    first, second = DataLoader(SMALL, batch_size=2)
    same(first, SMALL[:2])
    same(second, SMALL[2:])
    [(trials, labels)] = DataLoader(list(zip(SMALL, SMALL.target, strict=True)), batch_size=3)
    same(trials, SMALL)
    assert labels.tolist() == SMALL.target.tolist()
