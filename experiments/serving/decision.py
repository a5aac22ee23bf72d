"""CPU time of one decision: torch's policy, its NumPy twin, and all of an exploring decision with its propensity.

    OMP_NUM_THREADS=1 uv run python experiments/serving/decision.py

Writes `decision.md` beside this file. Times are CPU microseconds of a call for B users with C candidates each (k=3,
interest evolution, untrained), the least of several rounds in which the columns alternate. "decided" is what a service
needs: the twin's slates with random ones among them (`explore=epsilon:0.1`), drawn by each event's seed, with their
propensities.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.config.compose import compose
from recsys_cli.config.explore import Explore
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.exploration import explored
from recsys_cli.serving.twins import twin_of

ALGORITHMS = {
    "slateq": ("algo=slateq",),
    "slateq, the paper's network": ("algo=slateq", "algo.network.kind=concat", "algo.network.hidden=[256,256]"),
    "slateq, learned choice, memory": ("algo=slateq", "algo.choice_model=learned", "algo.memory=documents"),
    "ppo": ("algo=ppo",),
    "lspi": ("algo=lspi",),
    "linucb": ("algo=linucb",),
    "neural_linear": ("algo=neural_linear",),
    "myopic": ("algo=myopic",),
}
EPSILON = Explore.parse("epsilon:0.1")
SLATE_SIZE = 3


def problem(words: tuple[str, ...]) -> tuple[SlatePolicy, ProblemSpec]:
    """Return an untrained policy for any number of candidates."""
    run = compose("train", [*words, "env=interest_evolution", f"env.slate_size={SLATE_SIZE}"])
    spec = dataclasses.replace(run.env.spec, num_candidates=None, min_candidates=1)
    return run.algo.make_policy(spec, seed=0), spec


def observation(policy: SlatePolicy, spec: ProblemSpec, users: int, candidates: int) -> dict[str, Any]:
    """Return users at the start of their sessions."""
    rng, size = np.random.default_rng(users), len(spec.documents)
    doc = np.eye(size, dtype=np.float32)[rng.integers(0, size, (users, candidates))]
    user = rng.uniform(-1, 1, (users, len(spec.user))).astype(np.float32)
    return policy.new_memory(users).extend({"user": user, "doc": doc})


def served(policy: Any, seen: dict[str, Any]) -> Callable[[], Any]:
    """Return a function that finds the slates shown without exploration."""
    return lambda: (policy.once() if hasattr(policy, "once") else policy).served(seen).mode()


def decided(twin: Any, seen: dict[str, Any], seeds: Any) -> Callable[[], Any]:
    """Return a function that decides, and computes the propensities."""

    def decide() -> Any:
        own = twin.once()
        law = explored(EPSILON, own, own.served, at_once=True)(seen)
        slates = law.sample_seeded(seeds)
        return slates, law.position_log_prob(slates)

    return decide


def least(calls: list[Callable[[], Any]], rounds: int, seconds: float) -> list[float]:
    """Return the least CPU microseconds of a call of each."""
    times = [[] for _ in calls]  # type: list[list[float]]
    for call in calls:
        call()
    for _ in range(rounds):
        for call, own in zip(calls, times, strict=True):
            count, start = 0, time.process_time()
            while (spent := time.process_time() - start) < seconds:
                call()
                count += 1
            own.append(spent / count * 1e6)
    return [min(own) for own in times]


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.02, help="of one column in a round")
    asked = parser.parse_args()
    lines = ["| algorithm | C | B | torch | twin | ratio | decided |", "|---|---|---|---|---|---|---|"]
    for title, words in ALGORITHMS.items():
        policy, spec = problem(words)
        twin = twin_of(policy)
        for candidates in (10, 100, 1000):
            for users in (1, 8, 64):
                seen = observation(policy, spec, users, candidates)
                seeds = np.random.default_rng(0).integers(0, 2**63, users).astype(np.uint64)
                torch, ours, whole = least(
                    [served(policy, seen), served(twin, seen), decided(twin, seen, seeds)], asked.rounds, asked.seconds
                )
                cells = (
                    title,
                    candidates,
                    users,
                    f"{torch:,.0f}",
                    f"{ours:,.0f}",
                    f"{torch / ours:.1f}",
                    f"{whole:,.0f}",
                )
                lines.append(f"| {' | '.join(map(str, cells))} |")
                print(lines[-1], flush=True)
    told = (__doc__ or "").split("\n\n", 2)
    (Path(__file__).parent / "decision.md").write_text(
        "\n\n".join([f"# {told[0]}", *told[1:]]).rstrip() + "\n\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
