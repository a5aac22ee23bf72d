"""Gradient learners from logs: wide, narrow and deterministic ones.

    uv run python -m experiments.offline.learners

Trains a behaviour for a short while, records it (and random slates) anew for every seed, lets every learner learn from
each log, and plays what they learned in the simulator, which no learner sees. Run again, it continues where it stopped.
Writes `learners.csv` (one row per seed) and `learners.md` beside this file; logs and the behaviour go to `--folder`.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from recsys_cli.cli import main as recsys
from recsys_cli.config.compose import compose
from recsys_cli.envs.base import EnvConfig
from recsys_cli.evaluation.behaviour import behaviour_of
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.offline.dataset import MANIFEST, Dataset
from recsys_cli.policies import SlatePolicy
from recsys_cli.rollouts.episodes import play
from recsys_cli.runs.inline import without_ray

HERE = Path(__file__).parent
ENV = ("env=interest_evolution", "env.slate_size=3")
BEHAVIOUR = (
    *("algo=slateq", *ENV, "steps=70000", "algo.learning_starts=3000", "resources=inline", "tracking=off"),
    *("report_every=10000", "evaluation.every=0", "evaluation.users=100", "evaluation.baselines=[]", "name=behaviour"),
)
LOGS = {  # words behind `recsys record`
    "random": (*ENV, "episodes=1410"),
    "narrow": ("checkpoint=behaviour/seed_0", "explore=epsilon:0.05", "episodes=300"),
    "certain": ("checkpoint=behaviour/seed_0", "episodes=300"),
}
TITLES = {
    "random": "100,000 steps of random slates",
    "narrow": "27,000 steps of a half-trained SlateQ with 5 % random slates",
    "certain": "27,000 steps of the same without exploration",
}
PLAYED = "behaviour, played"
LEARNERS = {  # words behind `recsys train data=...`
    PLAYED: (),
    "slateq": ("algo=slateq",),
    "slateq, with memory": ("algo=slateq", "algo.memory=raw", "algo.batch_size=128"),
    "one step": ("algo=slateq", "algo.target=sarsa"),
    "cql .03": ("algo=cql", "algo.conservatism=0.03"),
    "cql .3": ("algo=cql", "algo.conservatism=0.3"),
    "iql .8": ("algo=iql",),
    "iql .5": ("algo=iql", "algo.expectile=0.5"),
    "awr": ("algo=awr",),
    "marwil": ("algo=marwil",),
    "bc drawn": ("algo=bc",),
    "bc mode": ("algo=bc", "algo.serving=mode"),
}
VARIANTS = ("slateq, with memory", "one step", "cql .3", "iql .5")
UPDATES = (  # 1,000 of them
    *(*ENV, "resources=inline", "algo.memory=none", "algo.batch_size=512", "steps=500000", "report_every=50000"),
)
USERS, USERS_SEED = 1000, 1_000_000
INTRODUCTION = f"""# Gradient learners from logs

    uv run python -m experiments.offline.learners

Interest evolution, 10 candidates, slates of 3; 1,000 updates of 512 rows (4,000 of 128 with memory), strict observation
unless said. Returns: greedy episodes of {USERS:,} users ("bc drawn": as the behaviour draws), mean over seeds, each
with a log of its own of the same behaviour; from three seeds on with a 95 % t interval. The simulator chose nothing:
every learner was trained for the same time."""


@dataclass(frozen=True)
class Row:
    """One learner from one log.

    Attributes:
        log: of `LOGS`.
        learner: of `LEARNERS`.
        seed: of log and learner.
        steps: in the log.
        behaviour: its mean return.
        score: mean return of what was learned, over fresh users.
        cpu_s: of the training.
    """

    log: str
    learner: str
    seed: int
    steps: int
    behaviour: float
    score: float
    cpu_s: float


def logged(name: str, seed: int) -> Dataset:
    """Return a log of the current folder, recorded if it is not there, or not whole."""
    folder = Path("data", f"{name}{seed}")
    if not ((folder / MANIFEST).is_file() and Dataset.open(folder, unfinished=True).complete):
        if "checkpoint" in LOGS[name][0] and not Path("runs", "behaviour").is_dir():
            _command("train", *BEHAVIOUR)
        _command("record", *LOGS[name], f"name={folder.name}", f"seed={seed}", "progress=off", "tracking=off")
    return Dataset.open(folder)


def _command(*words: str) -> None:
    if code := recsys(list(words)):
        raise SystemExit(code)


def learned(log: str, learner: str, seed: int) -> Row:
    """Train a learner from a log, and play what it learned."""
    dataset = logged(log, seed)
    behaviour = float(dataset.load().returns().mean())
    if learner == PLAYED:
        acting = behaviour_of(dataset)
        assert acting is not None
        env = compose("train", list(ENV)).env
        return Row(log, learner, seed, dataset.steps, behaviour, score_of(acting, env), 0.0)
    run = compose("train", [*UPDATES, *LEARNERS[learner], f"data={dataset.folder}"])
    begin = time.process_time()
    with without_ray():
        training = run.algo.make_training(run, seed)
        while training.steps < run.steps:
            training.step()
        policy = training.policy()
        training.stop()
    seconds = time.process_time() - begin
    return Row(log, learner, seed, dataset.steps, behaviour, score_of(policy, run.env.simulator), seconds)


def score_of(policy: SlatePolicy, env: EnvConfig) -> float:
    """Return a policy's mean return over fresh users, the same for all."""
    return float(play(policy, env, USERS, USERS_SEED).returns.mean())


def missing(rows: list[Row], seeds: int) -> Iterator[tuple[str, str, int]]:
    """Yield what is not there yet, seed by seed, and variants of learners last."""
    there = {(row.log, row.learner, row.seed) for row in rows}
    every = [(log, learner, seed) for seed in range(seeds) for log in LOGS for learner in LEARNERS]
    return (one for one in sorted(every, key=lambda one: one[1] in VARIANTS) if one not in there)


def read(table: Path) -> list[Row]:
    """Return the rows of an earlier run."""
    if not table.exists():
        return []
    kinds: dict[str, Any] = {"str": str, "int": int, "float": float}
    of = {field.name: kinds[str(field.type)] for field in fields(Row)}
    with table.open(newline="") as file:
        return [Row(**{name: of[name](value) for name, value in row.items()}) for row in csv.DictReader(file)]


def write(rows: list[Row], table: Path) -> None:
    """Write all rows."""
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        for row in rows:
            writer.writerow({name: round(v, 2) if isinstance(v, float) else v for name, v in asdict(row).items()})


def markdown(rows: list[Row]) -> str:
    """Return the table, log by log."""
    lines = [*INTRODUCTION.splitlines(), ""]
    for log, title in TITLES.items():
        own = [row for row in rows if row.log == log]
        if not own:
            continue
        behaviour = statistics.mean(row.behaviour for row in own)
        lines += [f"### {title}", "", f"Behaviour: {behaviour:.1f}.", ""]
        lines += ["| learner | return | seeds | least | CPU s |", "|---|---|---|---|---|"]
        for learner in LEARNERS:
            of = [row for row in own if row.learner == learner]
            if of:
                scores = [row.score for row in of]
                half = f" ± {mean_interval(scores).half_width:.1f}" if len(of) > 2 else ""
                seconds = statistics.mean(row.cpu_s for row in of)
                cells = f"{statistics.mean(scores):.1f}{half} | {len(of)} | {min(scores):.1f} | {seconds:.0f}"
                lines.append(f"| {learner} | {cells} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Do what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("runs/offline_learners"))
    arguments = parser.parse_args()
    table = HERE / "learners.csv"
    rows = read(table)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with chdir(arguments.folder):
        for what in list(missing(rows, arguments.seeds)):
            rows.append(learned(*what))
            print(rows[-1], flush=True)
            write(rows, table)
    (HERE / "learners.md").write_text(markdown(rows))


if __name__ == "__main__":
    main()
