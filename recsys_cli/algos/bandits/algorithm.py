"""Bandits as an RLlib algorithm on the vectorised runner."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.utils.annotations import override

from recsys_cli.algos.bandits.learner import BanditLearner
from recsys_cli.algos.bandits.module import BanditModule
from recsys_cli.algos.bandits.regret import RegretTraining
from recsys_cli.algos.rllib_algorithm import CollectingAlgorithm
from recsys_cli.algos.rllib_training import RLlibTraining


class Bandit(CollectingAlgorithm):
    """Plays a chunk with every runner, updates the posterior with it, and discards it."""

    module_class = BanditModule
    learner_class = BanditLearner
    training_class: ClassVar[type[RLlibTraining]] = RegretTraining

    @override(Algorithm)
    def training_step(self) -> None:
        """Collect one round, learn from it, send the posterior to the runners."""
        parts = [chunk.transitions() for chunk in self.collect()]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
        if columns and len(columns["reward"]):
            self.publish(self.update(columns))
