"""Files are whole or absent, whatever happens to their writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from recsys_cli import files

WRITER = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from recsys_cli import files
from recsys_cli.config.structured import load
from recsys_cli.tracking.bundle import write_bundle

root = Path(sys.argv[1])

def write(step):
    path = root / f"step_{step}"
    with files.atomic_dir(path) as temporary:
        state = {"w": np.full(50_000, float(os.getpid()))}
        spec = load("env", "interest_evolution").spec
        write_bundle(temporary, config={"pid": os.getpid()}, spec=spec, policy_state=state, info={})
    files.write_json(root / "last.json", {"path": path.name})
    files.append_jsonl(root / "metrics.jsonl", {"step": step, "filler": "x" * 5000})

def die_at(call, counter=[0]):
    def count(*args, real, **kwargs):
        counter[0] += 1
        if counter[0] == call:
            os._exit(9)
        return real(*args, **kwargs)
    for name in ("fsync", "mkdir", "open", "rename", "replace", "sendfile", "write"):
        real = getattr(os, name)
        setattr(os, name, lambda *args, real=real, **kwargs: count(*args, real=real, **kwargs))

def child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid

write(0)
died = 0
for call in range(1, 50):  # at every single call that touches the disk, for a new folder and in place of an old one
    pid = child(lambda: (die_at(call), write(call)))
    died += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    pid = child(lambda: (die_at(call), write(0)))
    died += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    print("checked", call, flush=True)
    sys.stdin.readline()
for index in range(12):  # and anywhere
    pid = child(lambda: [write(step % 5) for step in range(1000)])
    time.sleep(random.Random(index).uniform(0.0, 0.03))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print("checked", index, flush=True)
    sys.stdin.readline()
print("died", died, flush=True)
"""


def test_a_killed_writer_leaves_no_half_bundle(tmp_path: Path) -> None:
    from recsys_cli.tracking.bundle import read_bundle

    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout is not None and process.stdin is not None
        for line in process.stdout:
            if not line.startswith("checked"):
                break
            # What the round may have touched; all of them in every round would be 5,000 bundles.
            touched = [tmp_path / f"step_{step}" for step in {*range(5), int(line.split()[1])}]
            assert {read_bundle(path).tensors["w"].size for path in touched if path.exists()} == {50_000}
            json.loads((tmp_path / "last.json").read_text())
            files.read_jsonl(tmp_path / "metrics.jsonl")
            process.stdin.write("\n")
        assert line.startswith("died") and int(line.split()[1]) >= 30
    assert process.returncode == 0
    assert {read_bundle(path).tensors["w"].size for path in tmp_path.glob("step_*")} == {50_000}
    files.write_json(tmp_path / "last.json", {})
    assert not list(tmp_path.glob(".tmp-*")), "the next writer removes what killed ones left"


def test_leftovers_of_living_or_foreign_writers_stay(tmp_path: Path) -> None:
    mine = tmp_path / f".tmp-{files.HOST}-{os.getpid()}-01234567-step_1"
    foreign = tmp_path / ".tmp-otherhost-1-01234567-step_1"
    for path in (mine, foreign):
        path.mkdir()
    files.write_text(tmp_path / "a.txt", "a")
    assert mine.exists() and foreign.exists()
    os.utime(foreign, (0, 0))
    files.write_text(tmp_path / "a.txt", "a")
    assert mine.exists() and not foreign.exists()


def test_atomic_dir_after_an_error_leaves_all_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "step_1"
    with files.atomic_dir(target) as temporary:
        (temporary / "a").write_text("old")

    def fail() -> None:
        with files.atomic_dir(target) as temporary:
            (temporary / "a").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    with files.atomic_dir(target) as temporary:
        (temporary / "b").write_text("new")
    assert list(target.iterdir()) == [target / "b"] and list(tmp_path.iterdir()) == [target]


def test_arrays_are_read_as_they_were_written_and_stay_when_a_write_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, returns = tmp_path / "evaluation.npz", np.array([1.5, np.pi])
    files.write_arrays(path, {"slateq": returns})

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        files.write_arrays(path, {"slateq": returns + 1})
    assert (np.load(path)["slateq"] == returns).all() and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_torn_last_line_is_no_row_and_is_cut_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert files.read_jsonl(path) == []
    files.append_jsonl(path, {"steps": 1})
    with path.open("ab") as file:
        file.write(b'{"steps": 2, "metr')
    assert files.read_jsonl(path) == [{"steps": 1}]
    files.append_jsonl(path, {"steps": 3})
    assert files.read_jsonl(path) == [{"steps": 1}, {"steps": 3}]
    rows = files.read_jsonl_from(path, 0)
    assert files.read_jsonl_from(path, rows[0][1]) == rows[1:]


def test_a_torn_line_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"a": 1}\n' + "x" * 200_000)
    files.append_jsonl(path, {"a": 2})
    assert files.read_jsonl(path) == [{"a": 1}, {"a": 2}]


def test_a_damaged_line_within_the_journal_is_left_out_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"a": 1}\nnonsense\n[3]\n{"a": 2}\n')
    assert files.read_jsonl(path) == [{"a": 1}, {"a": 2}]
    assert "metrics.jsonl is damaged before byte 18" in capsys.readouterr().err


def test_update_json_loses_no_change_among_threads(tmp_path: Path) -> None:
    path = tmp_path / "seed.json"

    def add(index: int) -> None:
        files.update_json(path, lambda value: value.update({f"k{index}": index}))

    threads = [threading.Thread(target=add, args=(index,)) for index in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files.read_json(path)) == 16


def test_a_lock_is_held_once_and_ends_with_its_process(tmp_path: Path) -> None:
    holder = "import sys, pathlib; from recsys_cli.files import locked\n"
    holder += "with locked(pathlib.Path(sys.argv[1]), wait=False) as mine: print(mine, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holder, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with files.locked(tmp_path / "lock", wait=False) as mine:
            assert not mine
        process.kill()
    with files.locked(tmp_path / "lock", wait=False) as mine:
        assert mine
