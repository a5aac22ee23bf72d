"""Kills at random moments between the return key and the prompt: is anything half-written, and does all resume?

    uv run python -m experiments.kills.run --kills 40

Commands are ended by SIGKILL, Ctrl-C or SIGTERM: a training, one without Ray, a sweep of two points, and an evaluation.
After each kill no process may be left and no file half-written; then the run is resumed (or begun again, if it was
killed before it had a folder) and must finish, with the weights of the undisturbed run, to the bit. Prints a markdown
table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

RECSYS = (sys.executable, "-m", "recsys_cli")
SMALL = ("debug=smoke", "steps=6000", "report_every=500", "checkpoint.every=1000", "progress=plain", "name=run")
COMMANDS = {
    "train": ("train", *SMALL),
    "train, resources=inline": ("train", *SMALL, "resources=inline"),
    "sweep": ("sweep", *SMALL, "algo.lr=1e-3,1e-4"),
    "evaluate": ("evaluate", "checkpoint=run/seed_0/last", "users=500"),
}
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


@dataclass
class Found:
    """What came of the kills of one command."""

    kills: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    left: int = 0
    damaged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    other: int = 0


def run(words: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*RECSYS, *words], cwd=folder, capture_output=True, text=True, check=False)


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below one."""
    lines = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.splitlines()
    pairs = [tuple(map(int, line.split())) for line in lines]
    found, parents = [], [pid]
    while parents:
        parent = parents.pop()
        children = [child for child, above in pairs if above == parent]
        found += children
        parents += children
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def kill_at(words: tuple[str, ...], folder: Path, seconds: float, number: signal.Signals, found: Found) -> None:
    """Start a command and end it after some seconds."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*RECSYS, *words], cwd=folder, start_new_session=True, **quiet)  # type: ignore[call-overload]
    time.sleep(seconds)
    below = descendants(process.pid)
    began = time.monotonic()
    if number == signal.SIGKILL:
        process.kill()  # only the command itself: nobody else may stay
    else:
        os.killpg(process.pid, number)
    process.wait()
    found.slowest = max(found.slowest, time.monotonic() - began)
    found.kills[number.name] += 1
    time.sleep(3)
    found.left += sum(map(alive, below))


def damaged(folder: Path) -> list[str]:
    """Return the JSON files that cannot be read whole, but for Tune's own state, which is written anew each time."""
    bad = []
    for path in (path for path in folder.rglob("*.json") if "tune" not in path.parts):
        try:
            json.loads(path.read_text())
        except ValueError:
            bad.append(str(path.relative_to(folder)))
    return bad


def weights(run_dir: Path) -> dict[str, bytes]:
    """Return the last policy of each seed."""
    found = {}
    for pointer in sorted(run_dir.glob("*/checkpoints/last.json")):
        step = pointer.parent / json.loads(pointer.read_text())["path"]
        found[pointer.parent.parent.name] = (step / "policy.safetensors").read_bytes()
    return found


def again(words: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Return the command that continues a killed one."""
    if words[0] == "evaluate" or not (folder / "runs/run/run.json").exists():
        return words
    return (words[0], "resume=run")


def measure(name: str, kills: int, rng: random.Random) -> Found:
    """Kill a command again and again, each time in a new folder."""
    words, found = COMMANDS[name], Found()
    with tempfile.TemporaryDirectory(prefix="recsys-kills-") as place:
        whole = Path(place, "whole")
        whole.mkdir()
        if words[0] == "evaluate":
            run((*COMMANDS["train"], "resources=inline"), whole)
        began = time.monotonic()
        assert run(words, whole).returncode == 0
        length, expected = time.monotonic() - began, weights(whole / "runs/run")
        for number in range(kills):
            folder = Path(place, str(number))
            folder.mkdir()
            if words[0] == "evaluate":
                subprocess.run(["cp", "-r", str(whole / "runs"), str(folder)], check=True)
            kill_at(words, folder, rng.uniform(0, length), SIGNALS[number % len(SIGNALS)], found)
            found.damaged += damaged(folder)
            outcome = run(again(words, folder), folder)
            if outcome.returncode:
                found.failed.append(outcome.stdout + outcome.stderr)
            found.other += weights(folder / "runs/run") != expected
    return found


def main() -> None:
    """Kill each command, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=40, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    print("| command | kills | slowest end | processes left | files damaged | not resumed | other weights |")
    print("|---|---|---|---|---|---|---|")
    for name in COMMANDS:
        found = measure(name, asked.kills // len(COMMANDS), rng)
        kinds = ", ".join(f"{count} {kind}" for kind, count in found.kills.items())
        row = (name, kinds, f"{found.slowest:.1f} s", found.left, len(found.damaged), len(found.failed), found.other)
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
        print("\n".join([*found.damaged, *found.failed]), file=sys.stderr)


if __name__ == "__main__":
    main()
