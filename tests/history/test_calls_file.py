"""Calls on their way to disk and back: of any number of workers they are as those of one, whole records only."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcp_chaos.history.calls import CALL, RECORD, Calls, Outcome, Reason, in_parts, outcome_of, read_calls
from mcp_chaos.history.calls_file import CallsFile, StepReader
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.results import Tally, burst_result
from mcp_chaos.verdict.measure import figures

S = 1_000_000_000
START_NS = 1_790_000_000 * S
ONE_PART = 65_536


def some_calls(total: int, seed: int = 1) -> Calls:
    """Calls with every reason, in the order they ended."""
    random = np.random.default_rng(seed)
    calls = np.zeros(total, dtype=CALL)
    calls["intended_ns"] = START_NS + random.integers(0, 60 * S, total)
    calls["sent_ns"] = calls["intended_ns"] + random.integers(0, S // 1000, total)
    calls["done_ns"] = calls["sent_ns"] + random.integers(0, 2 * S, total)
    calls["bytes"] = random.integers(0, 2**32, total)
    calls["reason"] = random.choice([int(reason) for reason in Reason] + [0] * 20, total)
    reasons = list(Reason)
    calls["outcome"] = [outcome_of(reasons[number], sent=True) for number in calls["reason"]]
    calls["user"] = np.arange(total) % 1000  # with the moments, tells them apart
    return calls[np.lexsort((calls["user"], calls["done_ns"]))]  # of a million, two may end at the same moment


def same(left: Any, right: Any) -> bool:
    return bool(np.array_equal(left, right)) and left.dtype == right.dtype == CALL


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def spread(root: Path, calls: Calls, workers: int, seed: int = 1) -> RunFolder:
    """A run folder with calls dealt to several workers at random, each in the order they ended."""
    folder = RunFolder(Path(tempfile.mkdtemp(dir=root)))
    folder.write_manifest({"thresholds": {}})
    dealt = np.random.default_rng(seed).integers(0, workers, len(calls))
    for worker in range(workers):
        file = CallsFile(folder.calls_path("a-load", worker))
        file.write(calls[dealt == worker].tobytes())
        file.close()
    return folder


@settings(max_examples=40, deadline=None)
@given(total=st.integers(0, 400), workers=st.integers(1, 12), seed=st.integers(0, 1000))
@example(total=3 * ONE_PART + 5, workers=2, seed=1)
@example(total=5, workers=12, seed=1)
def test_calls_of_several_workers_are_those_of_one(root: Path, total: int, workers: int, seed: int) -> None:
    calls = some_calls(total, seed)
    folder = spread(root, calls, workers, seed)
    read = folder.calls("a-load")
    assert np.all(np.diff(read["done_ns"]) >= 0)
    assert same(
        np.sort(read, order=["done_ns", "user", "intended_ns"]),
        np.sort(calls, order=["done_ns", "user", "intended_ns"]),
    )
    assert figures(read, 60) == figures(calls, 60)

    parts, whole = Tally(StepReader(folder, "a-load").take()), Tally([calls])
    assert (parts.calls, parts.ok_calls, parts.received_bytes) == (whole.calls, whole.ok_calls, whole.received_bytes)
    assert (parts.reasons.tolist(), parts.outcomes.tolist()) == (whole.reasons.tolist(), whole.outcomes.tolist())
    assert parts.latency_ms() == whole.latency_ms()
    told, expected = burst_result(parts, 3, 2.0), burst_result(whole, 3, 2.0)
    averages = [result.pop("avg_response_time") or 0 for result in (told, expected)]
    assert averages[0] == pytest.approx(averages[1], rel=1e-12)  # a sum of floats depends on its order
    assert told == expected


def test_asking_a_tally_changes_nothing_in_it() -> None:
    calls = some_calls(500)
    tally = Tally([calls[:1], calls[1:1], calls[1:]])
    first = (tally.latency_ms(), tally.times_s().tolist())
    assert (tally.latency_ms(), tally.times_s().tolist()) == first
    assert same(calls, some_calls(500))


def test_figures_and_tally_agree_on_latencies_from_the_intended_moment() -> None:
    calls = some_calls(1000)
    told, seen = figures(calls, 60), Tally([calls]).latency_ms()["from_intended_send"]
    assert [told.p50_ms, told.p95_ms, told.p99_ms, told.max_ms] == pytest.approx(
        [seen["p50"], seen["p95"], seen["p99"], seen["max"]], rel=1e-12
    )
    assert told.calls == told.ok_calls + told.failed_calls + told.unknown_calls


def test_a_load_without_calls_has_none(folder: RunFolder) -> None:
    assert same(folder.calls("none"), np.empty(0, dtype=CALL))
    assert Tally(StepReader(folder, "none").take()).calls == 0
    assert all(value in (0, None) for value in figures(folder.calls("none"), 0).as_dict().values())


def test_the_calls_of_another_load_are_not_mixed_in(folder: RunFolder) -> None:
    loads = ("load", "load-1", "load_1", "1", "my-load")
    for load in loads:
        for worker in (3, 12):
            folder.calls_path(load, worker).write_bytes(some_calls(3).tobytes())
    assert [len(folder.calls(load)) for load in loads] == [6] * 5


@pytest.mark.parametrize("torn_bytes", [1, CALL.itemsize - 1])
def test_a_torn_last_record_of_each_worker_is_left_out(root: Path, torn_bytes: int) -> None:
    calls = some_calls(50)
    folder = spread(root, calls, 3)
    for path in folder.calls_paths("a-load"):
        with path.open("ab") as file:
            file.write(b"\xff" * torn_bytes)
    assert same(folder.calls("a-load"), calls)
    assert sum(len(part) for part in StepReader(folder, "a-load").take()) == 50


@pytest.mark.parametrize("total", [0, 1, ONE_PART - 1, ONE_PART, ONE_PART + 1, 2 * ONE_PART])
def test_a_file_is_read_in_parts_of_bounded_size(tmp_path: Path, total: int) -> None:
    calls = np.zeros(total, dtype=CALL)
    calls["intended_ns"] = np.arange(total)
    path = tmp_path / "calls.bin"
    path.write_bytes(calls.tobytes())
    parts = list(in_parts(path))
    assert all(0 < len(part) <= ONE_PART for part in parts)
    assert np.array_equal(np.concatenate([np.empty(0, dtype=CALL), *parts]), calls)
    for first in (total // 2, total, total + 5):
        rest = [moment for part in in_parts(path, first) for moment in part["intended_ns"].tolist()]
        assert rest == list(range(first, total))
    assert read_calls(path, most=2)["intended_ns"].tolist() == list(range(min(2, total)))


def test_each_step_reads_what_was_written_since_the_last(folder: RunFolder) -> None:
    calls = some_calls(30)
    files = [CallsFile(folder.calls_path("load", worker)) for worker in (0, 1)]
    reader = StepReader(folder, "load")
    taken = []
    for step in range(3):
        for worker, file in enumerate(files):
            start = 10 * step + 5 * worker
            file.write(calls[start : start + 5].tobytes())
            file.flush()
        taken.append(np.concatenate(list(reader.take())))
    assert all(same(part, calls[10 * step : 10 * step + 10]) for step, part in enumerate(taken))
    assert list(reader.take()) == []
    for file in files:
        file.close()


def test_a_worker_that_comes_later_is_read_from_its_start(folder: RunFolder) -> None:
    calls = some_calls(8)
    reader = StepReader(folder, "load")
    folder.calls_path("load").write_bytes(calls[:3].tobytes())
    assert sum(map(len, reader.take())) == 3
    folder.calls_path("load", 10).write_bytes(calls[3:].tobytes())
    assert same(np.concatenate(list(reader.take())), calls[3:])


def test_nothing_is_on_disk_before_it_is_flushed_and_all_of_it_after(tmp_path: Path) -> None:
    path = tmp_path / "calls.bin"
    path.write_bytes(b"of an earlier load")
    file = CallsFile(path)
    record = RECORD.pack(1, 2, 3, 4, 5, 6, 7, Reason.TOOL_ERROR, Outcome.FAIL, 1, 9)
    file.write(record)
    assert path.read_bytes() == b""
    file.flush()
    file.flush()
    assert read_calls(path).tolist() == [(1, 2, 3, 4, 5, 6, 7, Reason.TOOL_ERROR, Outcome.FAIL, 1, 9)]
    file.write(record)
    file.close()
    assert path.read_bytes() == record * 2
    assert len(record) == CALL.itemsize


class ShortWrites:
    """A disk that takes a few bytes at a time."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: bytes) -> int:
        self.taken += bytes(data[:7])
        return len(data[:7])

    def close(self) -> None:
        pass


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_each_byte_once(tmp_path: Path) -> None:
    file = CallsFile(tmp_path / "calls.bin")
    file._file.close()
    slow_disk: Any = ShortWrites()
    file._file = slow_disk
    file.write(some_calls(20).tobytes())
    file.close()
    assert slow_disk.taken == some_calls(20).tobytes()
