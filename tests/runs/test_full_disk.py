"""A folder that cannot be written: refused before anything is made; in the middle of a run, three lines and exit 1."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys_cli import files
from recsys_cli.cli import main
from recsys_cli.runs import folder
from recsys_cli.tracking import folder as tracked

SMOKE = ("debug=smoke", "resources=inline", "progress=plain", "tracking=off", "evaluation.baselines=[]", "name=a")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def full(times: int, act: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does the same so many times, then finds the disk full."""
    left = [times]

    def do(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return act(*arguments)

    return do


@pytest.mark.parametrize("command", [("train",), ("sweep", "algo.lr=1e-3,1e-4")])
@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("output_dir=/dev/null", "output_dir=/dev/null: /dev/null/a cannot be made: Not a directory"),
        ("output_dir=x/y", "output_dir=x/y: nothing can be written to"),
        ("tracking.uri=notauri", "tracking.uri='notauri' is not an MLflow address: it must begin with one of"),
        ("tracking.uri=sqlite:a.db", "tracking.uri='sqlite:a.db' is not an MLflow address: write sqlite:///<path>"),
        ("tracking.uri=http:/host", "tracking.uri='http:/host' is not an MLflow address: write http://<host>"),
        ("tracking.uri=sqlite:///", "is a folder: write sqlite:///<path of a file>"),
    ],
)
def test_nothing_is_left_of_a_run_that_cannot_begin(
    command: tuple[str, ...],
    word: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "x/y" in word:
        monkeypatch.setattr(folder, "write_json", full(0, files.write_json))
    assert main([*command, "debug=smoke", "name=a", word]) == 2
    assert line in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_a_full_disk_ends_a_training_that_then_continues(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tracked, "append_jsonl", full(1, files.append_jsonl))
        assert main(["train", *SMOKE]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-3:] == [
        "stopped: [Errno 28] No space left on device",
        "in runs/a: seed_0 at 2,032 steps",
        "continue: recsys train resume=a",
    ]
    assert "Traceback" not in printed.err
    assert main(["train", "resume=a"]) == 0
    assert [row["steps"] for row in files.read_jsonl(Path("runs/a/seed_0/metrics.jsonl"))] == [1024, 2032]
