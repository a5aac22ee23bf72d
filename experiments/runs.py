"""Running many presets with several seeds each, once: what is finished is kept, what was cut off goes on."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recsys_cli.evaluation.statistics import Interval, mean_interval


@dataclass(frozen=True)
class Entry:
    """One line of a table: a name, and the words behind `recsys train`."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """One trained seed's greedy evaluation on fresh users: one score a seed, its users' mean."""

    name: str
    seed: int
    score: float
    quality_per_click: float | None
    clicks_per_step: float
    episode_length: float
    env_steps: int
    random: float | None
    myopic: float | None
    oracle: float | None
    checkpoint: str
    command: str


def train(entry: Entry, seeds: int, folder: Path) -> None:
    """Train an entry's seeds in `folder/<name>`, or go on where that was left.

    Raises:
        CalledProcessError: the command failed.
    """
    run = folder / entry.name
    if is_finished(run, seeds):
        return
    if (run / "config.yaml").exists():
        words = [f"resume={run}"]
    else:
        words = [*entry.words, f"seeds={seeds}", f"name={entry.name}", f"output_dir={folder}"]
    print(f"-- recsys train {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "recsys_cli.cli", "train", "progress=plain", *words], check=True)


def is_finished(run: Path, seeds: int) -> bool:
    """Whether every seed of a run is trained and evaluated."""
    trials = list(run.glob("seed_*/evaluation.json"))
    return len(trials) >= seeds and all(_json(t.with_name("trial.json"))["status"] == "finished" for t in trials)


def scores(entry: Entry, folder: Path) -> list[Score]:
    """Return a finished entry's scores, one a seed."""
    found = []
    for path in sorted((folder / entry.name).glob("seed_*/evaluation.json")):
        evaluation, trial = _json(path), _json(path.with_name("trial.json"))
        policies = evaluation["policies"]
        agent = next(p for name, p in policies.items() if name not in ("random", "myopic", "oracle"))
        reference = {
            name: round(policies[name]["return"]["mean"], 3) if name in policies else None
            for name in ("random", "myopic", "oracle")
        }
        quality = agent.get("quality_per_click")
        found.append(
            Score(
                name=entry.name,
                seed=int(path.parent.name.removeprefix("seed_")),
                score=round(agent["return"]["mean"], 3),
                quality_per_click=None if quality is None else round(quality, 4),
                clicks_per_step=round(agent["clicks_per_step"], 4),
                episode_length=round(agent["episode_length"], 2),
                env_steps=evaluation["env_steps"],
                checkpoint=f"{trial.get('mlflow_run_id') or trial['id']}/last",
                command=" ".join(["recsys train", *entry.words, f"seed={path.parent.name.removeprefix('seed_')}"]),
                **reference,
            )
        )
    return found


def write_csv(rows: Iterable[Score], path: Path) -> None:
    """Write scores, one row a seed."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Score)])
        writer.writerows([getattr(row, field.name) for field in fields(Score)] for row in rows)


def over_seeds(values: Sequence[float]) -> Interval:
    """Return the mean and its 95 % interval (Student's t over seeds)."""
    return mean_interval(values)


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
