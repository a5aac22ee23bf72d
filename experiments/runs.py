"""Running many presets with several seeds each, once: what is finished is kept, what was cut off goes on."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from experiments.learning_curves import learning_curve, progress


@dataclass(frozen=True)
class Entry:
    """One line of a table: a name, and the words behind `recsys train`."""

    name: str
    words: tuple[str, ...]

    def command(self, seed: int) -> str:
        """Return the command that repeats one seed."""
        return " ".join(["recsys train", *self.words, f"seed={seed}"])


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
    # Of the greedy episodes played while training; None if there were none, or random was not played.
    best: float | None = None
    first_evaluation: int | None = None
    env_steps_to_90: int | None = None
    cpu_s_to_90: float | None = None
    train_cpu_s: float | None = None


# What every table of scores has.
COLUMNS = [field.name for field in fields(Score) if field.default is MISSING]


def results(
    entries: Sequence[Entry], seeds: int, folder: Path, table: Path, *, training: bool, machine: Sequence[str] = ()
) -> list[Score]:
    """Return the scores of a table's entries, and write them to the table after every entry.

    Args:
        entries: the table's lines.
        seeds: how many each shall have.
        folder: gets the runs.
        table: csv file. What it, or another one beside it, holds under the same command counts as done, wherever that
            was trained.
        training: whether to train what is missing.
        machine: words of `recsys train` that say where and how it is logged, not what is trained.
    """
    known = [row for path in sorted(table.parent.glob("*.csv")) for row in read_csv(path)]
    found = {
        entry.name: {row.seed: replace(row, name=entry.name) for row in known if row.command == entry.command(row.seed)}
        for entry in entries
    }
    for entry in entries:
        missing = sorted(set(range(seeds)) - set(found[entry.name]))
        if training and missing:
            train(entry, missing, folder, machine)
        found[entry.name] |= {row.seed: row for row in scores(entry, folder)}
        rows = [own[seed] for own in found.values() for seed in sorted(own)]
        write_csv(rows, table)
    return rows


def train(entry: Entry, seeds: Sequence[int], folder: Path, machine: Sequence[str] = ()) -> None:
    """Train an entry's seeds, from the first to the last, in `folder/<name>`, or continue where that stopped.

    Raises:
        CalledProcessError: the command failed.
        RuntimeError: the folder holds a run of other seeds.
    """
    run = folder / entry.name
    if is_finished(run, seeds):
        return
    if (run / "config.yaml").exists():
        words = [f"resume={run}"]
        machine = [word for word in machine if word.startswith("resources.")]  # the rest stays as it began
    else:
        number = seeds[-1] - seeds[0] + 1
        words = [*entry.words, f"seed={seeds[0]}", f"seeds={number}", f"name={entry.name}", f"output_dir={folder}"]
    print(f"-- recsys train {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "recsys_cli", "train", "progress=plain", *machine, *words], check=True)
    if not is_finished(run, seeds):
        raise RuntimeError(f"{run} was begun with other seeds than {list(seeds)}: move it away, or finish it first")


def is_finished(run: Path, seeds: Sequence[int]) -> bool:
    """Whether these seeds of a run are trained and evaluated."""
    trials = [run / f"seed_{seed}" for seed in seeds]
    return all(
        (trial / "evaluation.json").exists() and _json(trial / "seed.json")["status"] == "finished" for trial in trials
    )


def scores(entry: Entry, folder: Path) -> list[Score]:
    """Return a finished entry's scores, one a seed."""
    found = []
    for path in sorted((folder / entry.name).glob("seed_*/evaluation.json")):
        evaluation, trial = _json(path), _json(path.with_name("seed.json"))
        seed = int(path.parent.name.removeprefix("seed_"))
        policies = evaluation["policies"]
        agent = next(p for name, p in policies.items() if name not in ("random", "myopic", "oracle"))
        reference = {
            name: round(policies[name]["return"]["mean"], 3) if name in policies else None
            for name in ("random", "myopic", "oracle")
        }
        quality = agent.get("quality_per_click")
        curve = learning_curve(path.with_name("metrics.jsonl"))
        found.append(
            Score(
                name=entry.name,
                seed=seed,
                score=round(agent["return"]["mean"], 3),
                quality_per_click=None if quality is None else round(quality, 4),
                clicks_per_step=round(agent["clicks_per_step"], 4),
                episode_length=round(agent["episode_length"], 2),
                env_steps=evaluation["steps"],
                checkpoint=f"{trial.get('mlflow_run_id') or trial['id']}/last",
                command=entry.command(seed),
                **progress(curve, reference["random"], agent["return"]["mean"]),
                **reference,
            )
        )
    return found


def write_csv(rows: Iterable[Score], path: Path) -> None:
    """Write scores, one row per seed; without the learning-curve columns if no row has them."""
    rows = list(rows)
    learned = any(row.best is not None for row in rows)
    names = [field.name for field in fields(Score)] if learned else COLUMNS
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in rows)


def read_csv(path: Path) -> list[Score]:
    """Return the scores that `write_csv` wrote; none if there is no file, or one that holds something else."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            return []
        return [Score(**{name: _value(name, text) for name, text in row.items()}) for row in reader]


def _value(name: str, text: str) -> Any:
    if name in ("name", "checkpoint", "command"):
        return text
    number = int if name in ("seed", "env_steps", "first_evaluation", "env_steps_to_90") else float
    return number(text) if text else None


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
