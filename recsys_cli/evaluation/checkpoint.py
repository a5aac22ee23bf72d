"""Evaluating a checkpoint bundle; nothing else is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.algos.baselines import too_large_for_oracle
from recsys_cli.config import structured
from recsys_cli.config.explore import NOT_EXPLORING, Explore
from recsys_cli.config.memory import check_evaluation
from recsys_cli.evaluation.compare import Score, Show, score, score_baselines, silent
from recsys_cli.evaluation.statistics import paired_difference
from recsys_cli.policies.exploration import ExploringPolicy
from recsys_cli.tracking.loading import load_checkpoint


@dataclass(frozen=True)
class Evaluation:
    """The scores of one evaluation, the evaluated policy's first; `left_out` says why there is no oracle's."""

    checkpoint: str
    env: dict[str, Any]
    users: int
    seed: int
    steps: int
    explore: str
    scores: list[Score]
    left_out: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as written to JSON; `differences` compares with the other policies on the same users."""
        about = {key: getattr(self, key) for key in ("checkpoint", "steps", "users", "seed", "explore", "env")}
        own, *others = self.scores
        differences = {other.policy: paired_difference(own.by_user, other.by_user).to_dict() for other in others}
        policies = {score.policy: score.to_dict() for score in self.scores}
        return {**about, "policies": policies, "differences": differences}

    def returns(self) -> dict[str, np.ndarray]:
        """Return each policy's returns, one per user; the users are the same."""
        return {score.policy: score.by_user for score in self.scores}

    def headline(self) -> dict[str, float]:
        """Return the numbers that become metrics."""
        own, *others = self.scores
        numbers = {"return": own.returns.mean, **own.means}
        numbers |= {f"return_{score.policy}": score.returns.mean for score in others}
        for group, of_group in own.groups.items():
            numbers[f"{group}/return"] = of_group.returns.mean
            numbers |= {f"{group}/return_{other.policy}": other.groups[group].returns.mean for other in others}
        return numbers


def evaluate_checkpoint(
    folder: Path,
    *,
    users: int,
    seed: int,
    baselines: Sequence[str],
    env_changes: Mapping[str, Any] | None = None,
    known: Sequence[Score] | None = None,
    explore: Explore = NOT_EXPLORING,
    show: Show = silent,
) -> Evaluation:
    """Play a checkpoint's policy and the baselines on the same fresh users.

    Args:
        folder: the bundle.
        users: episodes of each policy.
        seed: of the users.
        baselines: any of random, myopic, oracle.
        env_changes: keys of the env to change.
        explore: how the policy explores; the baselines do not.
        known: the baselines' scores, if already played on this env, users and seed.
        show: gets the progress.
    """
    loaded = load_checkpoint(folder, env_changes)
    env = loaded.env
    check_evaluation(env.spec, users, 1 + len(baselines))
    policy, name = loaded.policy, loaded.name
    if explore != NOT_EXPLORING:
        policy, name = ExploringPolicy(policy, explore), f"{name} {explore}"
    own = score(name, policy, env, users, seed, show)
    others = known if known is not None else score_baselines(baselines, env, users, seed, show)
    scores = [own, *(other for other in others if other.policy != own.policy)]
    left_out = too_large_for_oracle(env) if "oracle" in baselines else ""
    return Evaluation(str(folder), structured.to_plain(env), users, seed, loaded.steps, str(explore), scores, left_out)
