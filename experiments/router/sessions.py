"""Sessions of three policies on interest evolution: played once, and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.algos.baselines import fitted_baseline
from recsys_cli.cli import main
from recsys_cli.config.structured import load
from recsys_cli.files import write_arrays
from recsys_cli.offline.recording import play_round, rounds_of
from recsys_cli.tracking.loading import load_checkpoint
from recsys_cli.tracking.references import resolve

NAMES = ("random", "myopic", "slateq")  # the first is the control
PROBLEM = ("env=interest_evolution", "env.num_candidates=10", "env.slate_size=2")
TRAINING = ("train", *PROBLEM, "algo=slateq", "seed=0", "name=slateq", "tracking=off", "resources=inline")
SESSIONS, SEED = 6_000, 7


@dataclass(frozen=True)
class Played:
    """Sessions of one policy, each with another user.

    Attributes:
        user: features at the session's start, `[n, U]`.
        rewards: of each session's steps, minutes watched.
    """

    user: NDArray[np.float64]
    rewards: list[NDArray[np.float64]]

    @property
    def returns(self) -> NDArray[np.float64]:
        """The sum of each session's rewards, `[n]`."""
        return np.array([rewards.sum() for rewards in self.rewards])


def played(work: Path) -> dict[str, Played]:
    """Return the sessions of every policy; train SlateQ and play them, unless that was done."""
    return {name: _load(work, name) for name in NAMES}


def _load(work: Path, name: str) -> Played:
    path = work / f"{name}.npz"
    if not path.exists():
        write_arrays(path, _play(work, name))
    with np.load(path) as arrays:
        rewards = np.split(arrays["reward"], np.cumsum(arrays["length"])[:-1])
        return Played(arrays["user"], rewards)


def _play(work: Path, name: str) -> Mapping[str, NDArray[Any]]:
    env = load("env", "interest_evolution", num_candidates=10, slate_size=2)
    if name == "slateq":
        runs = work / "runs"
        if not (runs / "slateq").exists() and main([*TRAINING, f"output_dir={runs}"]):
            raise SystemExit("the training failed")
        policy = load_checkpoint(resolve("slateq/last", runs, None)).policy
    else:
        policy = fitted_baseline(name, env, SEED)
    user, reward, length = [], [], []
    for number, users in enumerate(rounds_of(env.spec, SESSIONS)):
        steps = play_round(policy, env, users, SEED, number)
        begins = np.flatnonzero(steps.step == 0)
        user.append(steps.user[begins])
        reward.append(steps.reward[steps.valid])
        length.append(np.bincount(steps.episode[steps.valid], minlength=users))
    return {"user": np.concatenate(user), "reward": np.concatenate(reward), "length": np.concatenate(length)}
