"""What the fixed policies are worth: many fresh users in the simulator."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.offline import pool
from experiments.offline.problems import BEHAVIOURS, PROBLEMS, TARGETS, env_of, policy_of, standard_error
from recsys_cli.rollouts.episodes import play

USERS, SEED = 20_000, 1_000_000
ROUND = 2000  # users of a task


def tasks(users: int = USERS) -> Iterator[pool.Task]:
    """Yield every policy on every problem, in rounds of users."""
    rounds = [(number, min(ROUND, users - number * ROUND)) for number in range(-(-users // ROUND))]
    for number, some in rounds:
        for name in dict.fromkeys((*TARGETS, *BEHAVIOURS)):
            for problem in PROBLEMS:
                yield {"problem": problem, "policy": name, "round": number, "users": some}


def work(task: pool.Task) -> pool.Row:
    """Play a policy."""
    problem = task["problem"]
    played = play(policy_of(problem, task["policy"]), env_of(problem), task["users"], SEED + task["round"])
    return {
        "return": round(float(played.returns.mean()), 4),
        "return_error": round(standard_error(played.returns), 4),
        "length": round(float(played.lengths.mean()), 3),
    }


def found(out: Path) -> dict[tuple[str, str], pool.Row]:
    """Return users, mean return with its standard error, and mean length, by problem and policy."""
    rows: dict[tuple[str, str], list[pool.Row]] = {}
    for row in pool.rows_of(out / "truths.jsonl"):
        rows.setdefault((row["problem"], row["policy"]), []).append(row)
    return {name: {"problem": name[0], "policy": name[1], **_joined(own)} for name, own in rows.items()}


def lengths(out: Path) -> dict[tuple[str, str], float]:
    """Return the mean steps of an episode in the first round, by problem and policy."""
    return {
        (row["problem"], row["policy"]): row["length"]
        for row in pool.rows_of(out / "truths.jsonl")
        if row["round"] == 0
    }


def _joined(rows: Sequence[pool.Row]) -> pool.Row:
    """Return the means over rounds, by the number of their users."""
    users = [row["users"] for row in rows]
    means = {name: statistics.fmean([row[name] for row in rows], users) for name in ("return", "length")}
    squares = sum((row["return_error"] * each) ** 2 for row, each in zip(rows, users, strict=True))
    return {"users": sum(users), **means, "return_error": math.sqrt(squares) / sum(users)}
