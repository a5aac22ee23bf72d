"""Regret: how much less than the oracle's mean the training episodes returned."""

from __future__ import annotations

import dataclasses
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_EPISODES_LIFETIME

from recsys_cli.algos.baselines import fitted_baseline, has_oracle
from recsys_cli.algos.rllib_training import RLlibTraining
from recsys_cli.envs.base import NATIVE, EnvConfig
from recsys_cli.rollouts.episodes import play
from recsys_cli.rollouts.runner import RETURNS_LIFETIME

ORACLE_EPISODES, ORACLE_SEED = 2000, 77


class RegretTraining(RLlibTraining):
    """Adds `train/regret`, the mean of the episodes that ended since the last report, and `train/cumulative_regret`.

    The latter is summed over all episodes that ended so far. Without an oracle for the problem there is neither.
    """

    def __init__(self, config: AlgorithmConfig) -> None:
        """Build the algorithm and play the oracle."""
        super().__init__(config)
        self.reference = oracle_return(self.env)

    def step(self) -> dict[str, float]:
        """Train one RLlib iteration."""
        episodes, returns = self._totals()
        metrics = super().step()
        if self.reference is None:
            return metrics
        all_episodes, all_returns = self._totals()
        if ended := all_episodes - episodes:
            metrics["train/regret"] = self.reference - (all_returns - returns) / ended
        metrics["train/cumulative_regret"] = self.reference * all_episodes - all_returns
        return metrics

    def _totals(self) -> tuple[float, float]:
        """Return how many episodes ended so far, and their summed returns."""
        peek: Any = self.algorithm.metrics.peek
        episodes, returns = (
            peek((ENV_RUNNER_RESULTS, key), default=0.0) for key in (NUM_EPISODES_LIFETIME, RETURNS_LIFETIME)
        )
        return float(episodes), float(returns)


def oracle_return(env: EnvConfig) -> float | None:
    """Return the oracle's mean return over fresh users, None if the problem has no oracle."""
    if not has_oracle(env):
        return None
    native = dataclasses.replace(env, backend=NATIVE)
    return float(
        play(fitted_baseline("oracle", native, ORACLE_SEED), native, ORACLE_EPISODES, ORACLE_SEED).returns.mean()
    )
