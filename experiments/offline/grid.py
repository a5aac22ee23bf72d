"""Every learner from every log: what it learned, and what the log alone says of it.

The learners in `PURE` need no Ray; those in `GRADIENT` are RLlib's, in this process.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.offline import pool
from experiments.offline.problems import BEHAVIOURS, PROBLEMS, composed, env_of, policy_of, standard_error
from recsys_cli.algos.held_out import HeldOut
from recsys_cli.evaluation.off_policy import Models, Target, judge_policies
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.recording import record
from recsys_cli.offline.writer import Writer
from recsys_cli.policies import SlatePolicy
from recsys_cli.rollouts.episodes import play

USERS, USERS_SEED = 1000, 1_000_000
SIZES = {1_000: 20, 10_000: 20, 100_000: 4, 1_000_000: 1}  # about so many steps: so many logs at most
MOST = max(SIZES.values())
PURE = {  # words behind `recsys train data=...`
    "lspi": ("algo=lspi",),
    "lspi, no memory": ("algo=lspi", "algo.memory=none"),
    "linucb": ("algo=linucb",),
    "thompson": ("algo=thompson",),
}
GRADIENT = {
    "slateq": ("algo=slateq",),
    "bc": ("algo=bc",),
    "awr": ("algo=awr",),
    "iql": ("algo=iql",),
    "cql": ("algo=cql", "algo.conservatism=0.03"),
    "marwil": ("algo=marwil",),
}
FIXED = ("random", "myopic", "half")  # policies that a log may be asked about too
REFUSED = {("thompson", "satisfaction")}  # its documents have no topics
DRAWN = 500_000  # rows that gradient learners draw: a thousand minibatches


def tasks(
    learners: Sequence[str], lengths: dict[tuple[str, str], float], logs: int | None = None
) -> Iterator[pool.Task]:
    """Yield logs and learners, one log of every setting, then a second of every setting, and so on.

    Args:
        learners: of `PURE`, `GRADIENT` and `FIXED`.
        lengths: mean steps of an episode, by problem and behaviour.
        logs: of each setting; None: see `SIZES`.
    """
    for seed in range(MOST if logs is None else logs):
        # Of the large logs as large a share, evenly.
        for size in [size for size, most in SIZES.items() if logs is not None or seed % (MOST // most) == 0]:
            for learner in learners:
                for behaviour in BEHAVIOURS:
                    for problem in (one for one in PROBLEMS if (learner, one) not in REFUSED):
                        episodes = max(round(size / lengths[problem, behaviour]), 10)
                        task = {"problem": problem, "behaviour": behaviour, "size": size, "episodes": episodes}
                        yield {**task, "learner": learner, "seed": seed}


def work(task: pool.Task) -> pool.Row:
    """Record a log, learn from it, play what was learned, and ask the log about it."""
    problem, learner = task["problem"], task["learner"]
    with tempfile.TemporaryDirectory() as folder:
        dataset = recorded(Path(folder, "log"), task)
        begin = time.process_time()
        if learner in FIXED:
            policy, held_out = policy_of(problem, learner), HeldOut(dataset).estimate(policy_of(problem, learner))
        else:
            policy, held_out = learned(problem, learner, dataset, task["seed"])
        seconds = time.process_time() - begin
        played = play(policy, env_of(problem), USERS, USERS_SEED)
        begin = time.process_time()
        whole = on_whole_log(policy, dataset, policy_of(problem, task["behaviour"]))
        judged = time.process_time() - begin
        returns = np.concatenate([batch.returns() for batch in dataset.batches()])
    return {
        "steps": dataset.steps,
        "logged_return": round(float(returns.mean()), 4),
        "true_return": round(float(played.returns.mean()), 4),
        "true_error": round(standard_error(played.returns), 4),
        "held_out": {name.removeprefix("ope/"): round(value, 4) for name, value in held_out.items()},
        "whole": whole,
        "learning_s": round(seconds, 3),
        "judging_s": round(judged, 3),
    }


def recorded(folder: Path, task: pool.Task) -> Dataset:
    """Record a log as `recsys record` does."""
    problem, behaviour = task["problem"], task["behaviour"]
    env = env_of(problem)
    writer = Writer(folder, env.spec, {"behaviour": behaviour, "explore": "none", "env": problem, "seed": task["seed"]})
    return record(writer, policy_of(problem, behaviour), env, episodes=task["episodes"], seed=task["seed"])


def learned(problem: str, learner: str, dataset: Dataset, seed: int) -> tuple[SlatePolicy, dict[str, float]]:
    """Return what a learner learns from four fifths of a log, and its estimate on the fifth held out."""
    words = (f"data={dataset.folder}", f"steps={2 * dataset.steps if learner in PURE else DRAWN}")
    run = composed(problem, *words, "report_every=50000", "resources=inline", *{**PURE, **GRADIENT}[learner])
    with _alone(learner):
        training = run.algo.make_training(run, seed)
        while training.steps < run.steps and not training.settled:
            training.step()
        policy, estimate = training.policy(), training.estimate()
        training.stop()
    return policy, estimate


def _alone(learner: str) -> AbstractContextManager[Any]:
    if learner in PURE:
        return nullcontext()
    from recsys_cli.runs.inline import without_ray

    return without_ray()


def on_whole_log(policy: SlatePolicy, dataset: Dataset, behaviour: SlatePolicy) -> dict[str, Any]:
    """Return FQE's estimate on all episodes, those learned from too, as `recsys ope` makes it, in plain values."""
    models = replace(Models.of(dataset, "auto"), behaviour=behaviour)
    judgement = judge_policies(dataset, models, [Target("learned", policy)], estimators=[])
    found = judgement.estimates["learned"][0]
    numbers = {"return": found.value, "low": found.low, "high": found.high, **found.diagnostics}
    plain = {name: round(float(value), 4) for name, value in numbers.items() if np.isfinite(value)}
    return {**plain, "refusal": found.refusal}
