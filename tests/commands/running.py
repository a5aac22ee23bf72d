"""Running commands as users do, and one training that most tests look at."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_cli.cli import main
from recsys_cli.config.words import layered

SMOKE = ("debug=smoke", "evaluation.baselines=[random]")
RECSYS = (sys.executable, "-m", "recsys_cli")
# Long enough to be hit in the middle, with a checkpoint every 1,000 steps.
LONG = (
    *SMOKE,
    "steps=6000",
    "report_every=250",
    "evaluation.every=2000",
    "checkpoint.every=1000",
    "algo.batch_size=64",
    "algo.replay_ratio=8",
)


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    def words_after(self, label: str) -> list[str]:
        """Return the words of the first line that begins with `label`, after it."""
        found = re.search(rf"^{re.escape(label)} (.+)$", self.out, re.MULTILINE)
        assert found, f"no line begins with {label!r}:\n{self.out}\n{self.err}"
        return found[1].split()


@dataclass
class Recsys:
    """`recsys` in a folder of its own, as a process."""

    folder: Path

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*RECSYS, *layered(words)], cwd=self.folder, start_new_session=True, **pipes)  # type: ignore[call-overload]

    def finish(self, process: subprocess.Popen[str], timeout: float = 150.0) -> Outcome:
        """Wait for a command's end."""
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"the command did not end:\n{out}\n{err}") from None
        return Outcome(process.returncode, out, err)

    def __call__(self, *words: str) -> Outcome:
        """Run a command to its end."""
        return self.finish(self.start(*words))

    def here(self, *words: str) -> Outcome:
        """Run a command in this process, which saves its start."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            code = main(layered(words))
        return Outcome(code, out.getvalue(), err.getvalue())

    def wait_for(self, condition: Callable[[], Any], process: subprocess.Popen[str], timeout: float = 120.0) -> None:
        """Wait until something holds while the command runs."""
        end = time.monotonic() + timeout
        while not condition():
            assert process.poll() is None, f"ended too soon: {process.communicate()}"
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    recsys: Recsys
    outcome: Outcome
    run_dir: Path

    @property
    def seed(self) -> Path:
        """The only seed's folder."""
        return self.run_dir / "seed_0"

    @property
    def run_id(self) -> str:
        """The MLflow run id."""
        return str(read(self.seed / "seed.json")["mlflow_run_id"])


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def policy_bytes(seed: Path, alias: str = "last") -> bytes:
    """Return the file of a seed's policy."""
    pointer = read(seed / "checkpoints" / f"{alias}.json")
    return (seed / "checkpoints" / pointer["path"] / "policy.safetensors").read_bytes()


def ray_processes_of(pid: int) -> list[str]:
    """Return the command lines of the Ray processes whose session a process of that id began."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(rf"session_[\d_-]+_{pid}\b", line):
            found.append(line[:200])
    return found


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def assert_nothing_is_left(pid: int, seconds: float = 15.0) -> None:
    """Check that no Ray process outlives its command."""
    end = time.monotonic() + seconds
    while ray_processes_of(pid) and time.monotonic() < end:
        time.sleep(0.2)
    assert not ray_processes_of(pid)
