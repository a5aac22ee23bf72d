"""The log of a service: written by several processes, killed at any moment, on a disk that fills up."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_cli.files import locked
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.log import segments as module
from recsys_cli.serving.log.reading import read_from
from recsys_cli.serving.log.reading import segments as files_of
from recsys_cli.serving.log.records import (
    ActivationRecord,
    DecisionRecord,
    EpochRecord,
    PoliciesRecord,
    RewardRecord,
    decode,
    encode_lines,
    pack,
)
from recsys_cli.serving.log.segments import Segment

DURABILITIES = ["process", "machine"]


def reward(number: int) -> RewardRecord:
    return RewardRecord(event_id=f"e{number}", time_ms=number, reward=float(number))


def decision(rng: np.random.Generator, candidates: int = 10, features: int = 20) -> DecisionRecord:
    return DecisionRecord(
        event_id="e",
        session="s",
        first=True,
        step=0,
        time_ms=1,
        policy="a",
        version="v",
        explore="epsilon:0.1",
        epoch=3,
        versions={"a": "v", "b": "w"},
        weights={"a": 0.5, "b": 0.5},
        user=rng.normal(size=features).astype(np.float32).tolist(),
        ids=[f"d{i}" for i in range(candidates)],
        doc=pack(rng.normal(size=(candidates, features))),
        excluded=[1],
        slate=[2, 0],
        log_propensity=[-0.5, float("nan")],
        log_total=-1.5,
        by_policy={"a": 0.25, "b": None},
        scores=[0.25, None],
        state=pack(rng.normal(size=7)),
    )


def read(folder, offsets=None) -> list:
    return list(read_from(folder, offsets or {}))


def test_a_record_comes_back_as_it_was_and_unknown_numbers_as_none():
    record = decision(np.random.default_rng(0))
    others = [
        RewardRecord(event_id="e", time_ms=2, clicked="d2", response={"click": [0.0, 1.0]}, reward_id="r", final=True),
        ActivationRecord(event_id="e", time_ms=3),
        PoliciesRecord(time_ms=4, policies={"a": ("v", "runs/a")}),
        EpochRecord(time_ms=5, epoch=4, state={"a": [1, 2]}, offsets={"x.jsonl": 10}),
    ]
    back = [decode(line) for line in encode_lines([record, *others]).splitlines()]
    assert back[1:] == others
    assert back[0].log_propensity == [-0.5, None] and back[0].scores == [0.25, None]
    assert (back[0].documents() == record.documents()).all() and back[0].documents().shape == (10, 20)
    assert back[0].state == record.state and np.float32(back[0].user) == pytest.approx(np.float32(record.user), abs=0)


@pytest.mark.parametrize("durability", DURABILITIES)
def test_accepted_records_are_in_the_log_in_order_across_files(tmp_path, durability):
    async def write() -> None:
        segment = Segment(tmp_path, durability, most_bytes=500)
        await asyncio.gather(*(segment.append(reward(i)) for i in range(100)))
        await segment.append(reward(100), reward(101))
        segment.close()

    asyncio.run(write())
    assert [record for _, _, record in read(tmp_path)] == [reward(i) for i in range(102)]
    assert len(files_of(tmp_path)) > 1


def test_records_of_a_group_share_a_sync(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(descriptor))

    async def write() -> None:
        segment = Segment(tmp_path, "machine")
        await asyncio.gather(*(segment.append(reward(i)) for i in range(640)))
        segment.close()

    asyncio.run(write())
    assert 1 <= len(synced) <= 20 and len(read(tmp_path)) == 640


def test_a_machine_proof_append_waits_for_its_sync(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(time.sleep(0.02)))

    async def write() -> None:
        segment = Segment(tmp_path, "machine")
        await segment.append(reward(0))
        assert synced
        segment.close()

    asyncio.run(write())


def test_closing_writes_what_still_waits(tmp_path):
    async def write() -> None:
        segment = Segment(tmp_path, "machine")
        task = asyncio.create_task(segment.append(reward(0)))
        await asyncio.sleep(0)
        segment.close()
        await task

    asyncio.run(write())
    assert len(read(tmp_path)) == 1


def test_a_cancelled_request_does_not_take_the_others_with_it(tmp_path):
    async def write() -> None:
        segment = Segment(tmp_path, "machine")
        tasks = [asyncio.create_task(segment.append(reward(i))) for i in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.gather(*tasks[1:])
        segment.close()

    asyncio.run(write())
    assert len(read(tmp_path)) == 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["whole", "damaged", "binary"]), max_size=20), st.integers(0, 60), st.integers(0, 20))
def test_reading_goes_on_from_any_offset_and_leaves_damage_out(tmp_path_factory, lines, torn, split):
    folder = tmp_path_factory.mktemp("log")
    texts = {"whole": encode_lines([reward(1)]), "damaged": b'{"kind":"reward"}\n', "binary": b"\x00\xff\xfe\n"}
    path, last = folder / "00000000000001-a-1.jsonl", encode_lines([reward(2)])
    path.write_bytes(b"".join(texts[line] for line in lines) + last[: min(torn, len(last) - 1)])
    damaged: Counter[str] = Counter()
    found = list(read_from(folder, {}, damaged))
    assert len(found) == lines.count("whole") and damaged.total() == len(lines) - len(found)
    if found:
        name, end, _ = found[min(split, len(found) - 1)]
        assert read(folder, {name: end}) == found[min(split, len(found) - 1) + 1 :]
    with path.open("ab") as file:
        file.write(last[min(torn, len(last) - 1) :])
    assert [record for _, _, record in read(folder)][len(found) :] == [reward(2)]


def test_the_order_of_files_follows_their_writer_not_the_clock(tmp_path, monkeypatch):
    segment, now = Segment(tmp_path, "process", most_bytes=1), time.time()
    for number, offset in enumerate([0, -3600, 90_000, -90_000, 0]):
        monkeypatch.setattr(
            module, "time", SimpleNamespace(time=lambda offset=offset: now + offset, monotonic=time.monotonic)
        )
        segment.write(reward(number))
    segment.close()
    assert [record.time_ms for _, _, record in read(tmp_path)] == [0, 1, 2, 3, 4]


def test_a_new_day_begins_a_file(tmp_path, monkeypatch):
    segment, now = Segment(tmp_path, "process"), time.time()
    segment.write(reward(0))
    segment.write(reward(1))
    assert len(files_of(tmp_path)) == 1
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now + 86_400, monotonic=time.monotonic))
    segment.write(reward(2))
    assert len(files_of(tmp_path)) == 2
    segment.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_writer_holds_its_file_and_no_others(tmp_path):
    segment = Segment(tmp_path, "process", most_bytes=100)
    before = open_files()
    for number in range(50):
        segment.write(reward(number))
    assert open_files() <= before + 1
    *done, current = files_of(tmp_path)
    with locked(done[-1], wait=False) as free, locked(current, wait=False) as held_by_nobody:
        assert free and not held_by_nobody
    segment.close()
    with locked(current, wait=False) as free:
        assert free


class FullDisk:
    """`os.write` that takes so many bytes in all, then raises after a partial write."""

    def __init__(self, monkeypatch, room: int, code: int) -> None:
        self.room, self.code, self.write = room, code, os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, descriptor: int, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(self.code, os.strerror(self.code))
        written = self.write(descriptor, bytes(data)[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_full_disk_refuses_and_recovers(tmp_path, monkeypatch, code, durability):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)

    async def fill() -> tuple[int, list[Refused]]:
        segment, accepted, refused = Segment(tmp_path, durability), 0, []
        disk = FullDisk(monkeypatch, 500, code)
        for number in range(20):
            try:
                await segment.append(reward(number))
                accepted += 1
            except Refused as error:
                refused.append(error)
            assert all(line.endswith(b"\n") for path in files_of(tmp_path) for line in path.open("rb"))
        disk.room = 10_000
        await segment.append(reward(99))
        segment.close()
        return accepted, refused

    accepted, refused = asyncio.run(fill())
    records = [record for _, _, record in read(tmp_path)]
    assert all(error.status == 503 and error.retry_after is not None for error in refused)
    assert refused[0].message == f"the log cannot be written: {os.strerror(code)}"
    assert len(records) == accepted + 1 and records[-1] == reward(99)
    assert len(files_of(tmp_path)) == 1


def test_offsets_stay_valid_when_a_batch_is_written_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    segment = Segment(tmp_path, "process")
    disk = FullDisk(monkeypatch, len(encode_lines([reward(0)])) + 5, errno.ENOSPC)
    with pytest.raises(Refused):
        segment.write(reward(0), reward(1))
    (name, end, record), disk.room = read(tmp_path)[0], 10_000
    assert record == reward(0)
    segment.write(reward(0), reward(1))
    segment.close()
    assert [record for _, _, record in read(tmp_path, {name: end})] == [reward(0), reward(1)]


def test_a_file_system_that_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("only root may mount")
    try:
        (tmp_path / "something else").write_bytes(bytes(40_000))
        segment, accepted = Segment(tmp_path / "log", "process"), 0
        with suppress(Refused):
            while accepted < 10_000:
                segment.write(reward(accepted))
                accepted += 1
        assert 0 < accepted == len(read(tmp_path / "log")) < 10_000
        (tmp_path / "something else").unlink()
        segment.write(reward(accepted))
        segment.close()
        assert [record for _, _, record in read(tmp_path / "log")] == [reward(i) for i in range(accepted + 1)]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_after_a_failed_sync_a_new_file_is_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    segment, sync = Segment(tmp_path, "machine"), os.fdatasync

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "")

    segment.write(reward(0))
    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(Refused):
        segment.write(reward(1))
    monkeypatch.setattr(os, "fdatasync", sync)
    segment.write(reward(2))
    segment.close()
    assert len(files_of(tmp_path)) == 2 and read(tmp_path)[-1][2] == reward(2)


def test_while_the_disk_fails_it_is_left_alone_for_a_second(tmp_path, monkeypatch):
    segment, disk = Segment(tmp_path, "process"), FullDisk(monkeypatch, 0, errno.ENOSPC)
    with pytest.raises(Refused, match="No space left"):
        segment.write(reward(0))
    disk.room = 10_000
    with pytest.raises(Refused, match="at the moment"):
        segment.write(reward(0))
    later = time.monotonic() + 1.1
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: later, time=time.time))
    segment.write(reward(0))
    segment.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from types import SimpleNamespace
from recsys_cli.serving.log.records import RewardRecord
from recsys_cli.serving.log.segments import Segment

async def main():
    segment = Segment(Path(sys.argv[1]), sys.argv[2], most_bytes=20_000)
    number = 0
    async def client():
        nonlocal number
        while True:
            number += 1
            record = RewardRecord(event_id=f"e{number}", time_ms=number, reward=1.0)
            await segment.append(record)
            print(record.event_id, flush=True)
    await asyncio.gather(*(client() for _ in range(8)))

asyncio.run(main())
"""


@pytest.mark.parametrize("durability", DURABILITIES)
def test_kill_9_loses_no_accepted_record(tmp_path, durability):
    rng = np.random.default_rng(len(durability))
    accepted: set[str] = set()
    for _ in range(2):
        command = [sys.executable, "-c", WRITER, str(tmp_path), durability]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            accepted.add(process.stdout.readline().strip())
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            accepted |= {line.strip() for line in process.stdout if line.endswith("\n")}
    logged = Counter(record.event_id for _, _, record in read(tmp_path))
    assert len(accepted) > 8 and accepted <= logged.keys()


def test_a_missing_folder_has_no_records(tmp_path):
    assert read(tmp_path / "none") == []


def test_damage_is_warned_of_once_a_file(tmp_path, capsys):
    (tmp_path / "1.jsonl").write_bytes(b"x\n" * 7)
    assert read(tmp_path) == []
    assert capsys.readouterr().err == f"recsys: {tmp_path / '1.jsonl'}: 7 damaged lines left out\n"
