"""Bandits as an RLlib algorithm on the vectorised runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.annotations import override

from recsys_cli.algos.rllib_algorithm import CollectingAlgorithm, SlateAlgorithmConfig

if TYPE_CHECKING:
    from recsys_cli.algos.bandits.config import BanditConfig
    from recsys_cli.config.schema import TrainConfig


class BanditAlgorithmConfig(SlateAlgorithmConfig):
    """RLlib's config; exploration is the policy's."""

    settings: BanditConfig

    def __init__(self, algo_class: type | None = None) -> None:
        """Make an unset config."""
        super().__init__(algo_class=algo_class or Bandit)


def bandit_algorithm_config(settings: BanditConfig, run: TrainConfig, seed: int) -> BanditAlgorithmConfig:
    """Turn a run's config into RLlib's."""
    config = BanditAlgorithmConfig()
    config.of_run(settings, run, seed)
    return config


class Bandit(CollectingAlgorithm):
    """Plays a chunk with every runner, updates the posterior with it, and forgets it."""

    config: BanditAlgorithmConfig

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> BanditAlgorithmConfig:
        """Return an unset config."""
        return BanditAlgorithmConfig()

    @override(Algorithm)
    def training_step(self) -> None:
        """Collect one round, learn it, hand the posterior to the runners."""
        parts = [chunk.transitions() for chunk in self.collect()]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
        if columns and len(columns["reward"]):
            self.publish(self.update(columns))
