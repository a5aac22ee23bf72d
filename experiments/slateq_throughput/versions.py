"""SlateQ's training in this version against that in another, in turns of half a CPU second.

    git worktree add --detach ../before <commit>
    uv run python -m experiments.slateq_throughput.versions --before ../before

Each version trains in a process of its own, on one thread; on a machine that does other things too, turns make
the two comparable. `ratio` is the median over the turns, the env steps per CPU second are each version's best turn, and
the shares of the arithmetic limit (see `run.py`) are those of the best turns at the machine's best rate.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

HERE = Path(__file__).parents[2]
PAPER = ("algo.network.kind=concat", "algo.network.hidden=[256,32]", "algo.replay_ratio=8")
SETTINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "without memory": ("algo.memory=none",),
    "with memory": ("algo.memory=raw",),
    "C=100, k=2": ("env.num_candidates=100",),
    "paper's network, reuse 8": PAPER,
    "paper's network, reuse 8, batch 1024": (*PAPER, "algo.batch_size=1024"),
    "paper's network, reuse 8, C=100": (*PAPER, "env.num_candidates=100"),
    "without memory, compiled": ("algo.memory=none", "framework=torch_compile"),
    "paper's network, reuse 8, compiled": (*PAPER, "framework=torch_compile"),
}
OWN = ("env=interest_evolution", "steps=10000000", "report_every=2000", "algo.learning_starts=2000", "resources=inline")


@dataclass(frozen=True)
class Row:
    """One line of the table; speeds in env steps per CPU second."""

    setting: str
    before: int
    after: int
    ratio: float
    share_before: float
    share_after: float


def serve() -> None:
    """Train as the other process asks, line by line."""
    import torch

    from experiments.slateq_throughput.run import matrix_rate, operations_per_row
    from recsys_cli.config.compose import compose

    torch.set_num_threads(1)
    for line in sys.stdin:
        command, *words = line.split("\t")
        if command == "build":
            run = compose("train", [*OWN, *(word.strip() for word in words if word.strip())])
            training = run.algo.make_training(run, 0)
            while training.steps < 12_000:  # compiled and warm
                training.step()
            answer = operations_per_row(run) * run.algo.replay_ratio
        elif command == "rate":
            answer = matrix_rate(rounds=20)
        else:
            start, before = time.process_time(), training.steps
            while time.process_time() - start < float(words[0]):
                training.step()
            answer = (training.steps - before) / (time.process_time() - start)
        print(answer, flush=True)


class Version:
    """A process that trains with the code of one checkout."""

    def __init__(self, checkout: Path) -> None:
        """Start it."""
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            cwd=checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, *words: str) -> float:
        """Send a command, and return its number."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\t".join([*words, "\n"]))
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def measure(setting: str, versions: tuple[Version, Version], turns: int, cpu_s: float) -> Row:
    """Let the versions train a setting in turns."""
    operations = [version.ask("build", *SETTINGS[setting]) for version in versions][1]
    speeds = [[version.ask("train", str(cpu_s)) for version in versions] for _ in range(turns)]
    rate = max(versions[1].ask("rate") for _ in range(3))
    before, after = (max(each) for each in zip(*speeds, strict=True))
    share = operations / rate
    ratio = median(b / a for a, b in speeds)
    return Row(setting, round(before), round(after), round(ratio, 2), round(before * share, 3), round(after * share, 3))


def main() -> None:
    """Measure every setting, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="checkout of the version to compare with")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--cpu-s", type=float, default=0.5, help="CPU seconds of a turn")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("versions.csv"))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return
    versions = Version(args.before.resolve()), Version(HERE)
    names = [field.name for field in fields(Row)]
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    with args.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for setting in args.settings:
            row = measure(setting, versions, args.turns, args.cpu_s)
            print("| " + " | ".join(str(value) for value in asdict(row).values()) + " |", flush=True)
            writer.writerow(asdict(row))
            file.flush()
    for version in versions:
        version.process.terminate()


if __name__ == "__main__":
    main()
