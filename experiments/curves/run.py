"""Return over env steps, 1,000 to 30,000,000: LSPI, and SlateQ with and without memory.

    uv run python -m experiments.curves.run                 # all that is missing; --learners lspi, --problems 10/3 ...
    uv run python -m experiments.curves.run --seconds 400   # stops after so many and keeps its place for the next time
    uv run python -m experiments.curves.run --no-training   # only draws what is there

Every point is a training of its own with `steps=N`, so that its schedule is that of N steps, and 1,000 fresh users who
are played greedily at its end, the same ones for all. Writes `curves.csv` (a row a training), `references.csv`,
`curves.md` and `curves.svg` beside this file.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.curves.drawing import figure, tables
from experiments.slateq_beyond.run import EXPLORATION
from recsys_cli.config.compose import compose
from recsys_cli.evaluation.compare import score, score_baselines
from recsys_cli.files import atomic_dir, read_json, write_json
from recsys_cli.runs.inline import without_ray

HERE = Path(__file__).parent
EVOLUTION = "env=interest_evolution"
SATISFACTION = ("env=long_term_satisfaction", "env.num_candidates=20")
PROBLEMS: dict[str, tuple[str, ...]] = {
    **{
        f"{c}/{k}": (EVOLUTION, f"env.num_candidates={c}", f"env.slate_size={k}")
        for c, k in ((10, 3), (10, 2), (50, 2), (100, 5), (20, 4))
    },
    "satisfaction": ("env=long_term_satisfaction",),
    **{f"satisfaction {s}": (*SATISFACTION, f"env.sensitivity={s}") for s in (0.058, 0.07, 0.08, 0.2)},
    "exploration": ("env=interest_exploration",),
    "exploration, four types": EXPLORATION,
}
LEARNERS = {
    "lspi": ("algo=lspi",),
    "slateq, memory": ("algo=slateq", "algo.memory=raw"),
    "slateq, no memory": ("algo=slateq", "algo.memory=none"),
}
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 3_000_000, 30_000_000)
CURVES = ("10/3", "10/2", "50/2")
# Seeds of a training by env steps: of LSPI on the curves, of LSPI elsewhere, of SlateQ.
SEEDS = {30_000: (3, 2, 2), 100_000: (3, 1, 2), 300_000: (2, 0, 2), 3_000_000: (1, 0, 1), 30_000_000: (1, 0, 1)}
FEW = (5, 3, 2)  # of shorter ones
USERS, USERS_SEED = 1_000, 1_000_000
SLICES = 100  # reports of a long training, after each of which it may stop
SHORT = 300_000  # env steps below which SlateQ's defaults do not fit
ONCE = 10_000_000  # from which it uses every transition once

Row = dict[str, Any]


def use_of_steps(size: int) -> tuple[str, ...]:
    """Return SlateQ's settings that the number of env steps asks for: few are learned from the more often."""
    if size >= ONCE:
        return ("algo.replay_ratio=1",)
    if size >= SHORT:
        return ()
    users, start = min(1024, size // 50), min(5_000, size // 5)
    ratio = min(64, 3 * SHORT // size)
    return (f"algo.replay_ratio={ratio}", f"algo.learning_starts={start}", f"resources.users_per_runner={users}")


@dataclass(frozen=True)
class Cell:
    """One training."""

    problem: str
    learner: str
    size: int
    seed: int

    @property
    def words(self) -> list[str]:
        """What stands behind `recsys train`."""
        own = () if self.learner == "lspi" else use_of_steps(self.size)
        return [*PROBLEMS[self.problem], *LEARNERS[self.learner], f"steps={self.size}", *own, f"seed={self.seed}"]

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.problem}_{self.learner}_{self.size}_{self.seed}".replace("/", "-").replace(" ", "_")


def cells(problems: Sequence[str], learners: Sequence[str]) -> list[Cell]:
    """Return all trainings, the short ones first."""
    found = []
    for size in SIZES:
        on_curves, elsewhere, of_slateq = SEEDS.get(size, FEW)
        for problem in problems:
            for learner in learners:
                seeds = of_slateq if learner != "lspi" else on_curves if problem in CURVES else elsewhere
                if problem not in CURVES and learner != "lspi":
                    continue
                found += [Cell(problem, learner, size, seed) for seed in range(seeds)]
    return found


def report_every(cell: Cell) -> int:
    """Return the env steps between reports, at which a training can be stopped; LSPI's cost it a round each."""
    return max(cell.size // SLICES, min(cell.size, 100_000 if cell.learner == "lspi" else 10_000))


def trained(cell: Cell, folder: Path, until: float) -> Row | None:
    """Train and play a cell; None if time was up, with its place kept in the folder."""
    run = compose("train", [*cell.words, f"report_every={report_every(cell)}", "resources=inline", "tracking=off"])
    training, state = run.algo.make_training(run, cell.seed), folder / cell.name
    cpu, metrics = 0.0, dict[str, float]()
    if state.exists():
        training.restore(state / "training")
        cpu = read_json(state / "spent.json")["cpu_s"]
    try:
        while training.steps < cell.size:
            began = time.process_time()
            metrics = training.step()
            cpu += time.process_time() - began
            if time.monotonic() > until and training.steps < cell.size:
                shutil.rmtree(state, ignore_errors=True)
                with atomic_dir(state) as to:
                    training.save(to / "training")
                    write_json(to / "spent.json", {"cpu_s": cpu})
                return None
        found = score(cell.learner, training.policy(), run.env, USERS, USERS_SEED)
    finally:
        training.stop()
    shutil.rmtree(state, ignore_errors=True)
    return {
        **{"problem": cell.problem, "learner": cell.learner, "size": cell.size, "seed": cell.seed},
        "steps": training.steps,
        "return": round(found.returns.mean, 3),
        "cpu_s": round(cpu, 2),
        "value": _rounded(metrics.get("learner/value")),
        "value_error": _rounded(metrics.get("learner/value_error")),
        "command": " ".join(["recsys train", *cell.words]),
    }


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 3)


def references(problem: str) -> Row:
    """Play random, myopic and the oracle on the same users."""
    env = compose("train", [*PROBLEMS[problem], "algo=random"]).env
    found = score_baselines(["random", "myopic", "oracle"], env, USERS, USERS_SEED)
    return {"problem": problem, **{each.policy: round(each.returns.mean, 3) for each in found}}


def read(path: Path) -> list[Row]:
    """Return a table's rows; numbers are numbers."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def write(rows: Sequence[Row], path: Path) -> None:
    """Write a table."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    """Do what is missing, as far as the time goes, and draw what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--learners", nargs="+", choices=list(LEARNERS), default=list(LEARNERS))
    parser.add_argument("--most", type=int, default=SIZES[-1], help="env steps of the longest training")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after about so many")
    parser.add_argument("--runs", type=Path, default=Path("runs/curves"), help="folder of unfinished trainings")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the tables")
    parser.add_argument("--no-training", action="store_true", help="only draw what is there")
    args = parser.parse_args()
    until = time.monotonic() + args.seconds
    rows, played = read(args.out / "curves.csv"), read(args.out / "references.csv")
    done = {(row["problem"], row["learner"], row["size"], row["seed"]) for row in rows}
    for cell in [] if args.no_training else cells(args.problems, args.learners):
        if (cell.problem, cell.learner, cell.size, cell.seed) in done or cell.size > args.most:
            continue
        if time.monotonic() > until:
            break
        if cell.problem not in [row["problem"] for row in played]:
            played.append(references(cell.problem))
            write(played, args.out / "references.csv")
        with without_ray():
            row = trained(cell, args.runs, until)
        if row is not None:
            rows.append(row)
            write(rows, args.out / "curves.csv")
            print(row, flush=True)
    if rows:
        (args.out / "curves.md").write_text(tables(rows, played, SIZES))
        figure(rows, played, CURVES, args.out / "curves.svg")


if __name__ == "__main__":
    main()
