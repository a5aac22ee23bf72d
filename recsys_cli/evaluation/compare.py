"""One evaluation: a policy's fresh greedy episodes, beside the baselines on the same users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from recsys_cli.algos.baselines import fitted_baseline, has_oracle
from recsys_cli.envs.base import EnvConfig
from recsys_cli.evaluation.statistics import Interval, mean_interval
from recsys_cli.policies import SlatePolicy
from recsys_cli.rollouts.episodes import Episodes, play


@dataclass(frozen=True)
class Score:
    """How one policy did.

    Attributes:
        policy: its name.
        returns: mean return with a 95 % interval over users (not over training seeds).
        means: episode length, clicks per step, and watch time and quality per click if the problem has them.
        by_user: the return for each user [users], empty for a mean over seeds.
        groups: its score among the users of each group, if the problem has groups.
    """

    policy: str
    returns: Interval
    means: dict[str, float]
    by_user: np.ndarray = field(default_factory=lambda: np.empty(0), compare=False, repr=False)
    groups: dict[str, Score] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: str, episodes: Episodes) -> Score:
        """Summarise episodes."""
        means = episodes.summary()
        del means["return"]
        groups = {name: cls.of(policy, own) for name, own in episodes.by_group().items()}
        return cls(policy, mean_interval(episodes.returns), means, episodes.returns, groups)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        groups = {name: score.to_dict() for name, score in self.groups.items()}
        return {"return": self.returns.to_dict(), **self.means, **({"groups": groups} if groups else {})}


class Show(Protocol):
    """Shows how far an evaluation is: what is done and, while a policy is played, how many users of how many."""

    def __call__(self, what: str, done: int | None = None, total: int = 0) -> None: ...  # noqa: D102


def silent(what: str, done: int | None = None, total: int = 0) -> None:
    """Show nothing."""


def score(name: str, policy: SlatePolicy, env: EnvConfig, users: int, seed: int, show: Show = silent) -> Score:
    """Play one greedy episode with each of `users` fresh users."""
    done = 0

    def finished(more: int) -> None:
        nonlocal done
        done += more
        show(name, done, users)

    if policy.must_plan(env):
        show(f"planning the {name}")
    return Score.of(name, play(policy, env, users, seed, finished))


def score_baselines(names: Sequence[str], env: EnvConfig, users: int, seed: int, show: Show = silent) -> list[Score]:
    """Play the baselines, without the oracle if the problem has none."""
    there = [name for name in names if name != "oracle" or has_oracle(env)]
    return [score(name, fitted_baseline(name, env, seed), env, users, seed, show) for name in there]
