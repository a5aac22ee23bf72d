"""What the fixed policies are worth: many fresh users in the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments.offline import pool
from experiments.offline.problems import BEHAVIOURS, PROBLEMS, TARGETS, env_of, policy_of, standard_error
from recsys_cli.rollouts.episodes import play

USERS, SEED = 20_000, 1_000_000


def tasks(users: int = USERS) -> Iterator[pool.Task]:
    """Yield every policy on every problem."""
    names = dict.fromkeys((*TARGETS, *BEHAVIOURS))
    return ({"problem": problem, "policy": name, "users": users} for name in names for problem in PROBLEMS)


def work(task: pool.Task) -> pool.Row:
    """Play a policy."""
    problem = task["problem"]
    played = play(policy_of(problem, task["policy"]), env_of(problem), task["users"], SEED)
    return {
        "return": round(float(played.returns.mean()), 4),
        "return_error": round(standard_error(played.returns), 4),
        "length": round(float(played.lengths.mean()), 3),
    }


def found(out: Path) -> dict[tuple[str, str], pool.Row]:
    """Return the rows by problem and policy."""
    return {(row["problem"], row["policy"]): row for row in pool.rows_of(out / "truths.jsonl")}
