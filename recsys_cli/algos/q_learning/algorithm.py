"""Q-learning from replay as an RLlib algorithm on the vectorised runner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import TD_ERROR_KEY

from recsys_cli.algos.q_learning.learner import REPLAY_INDEX
from recsys_cli.algos.rllib_algorithm import (
    CollectingAlgorithm,
    DecayingEpsilon,
    MinibatchAlgorithmConfig,
    ReplayingAlgorithm,
)
from recsys_cli.config.explore import Explore
from recsys_cli.rollouts.prioritized import PrioritizedReplay
from recsys_cli.rollouts.replay import ReplayBuffer

if TYPE_CHECKING:
    from recsys_cli.algos.q_learning.config import QLearningConfig


class QLearningAlgorithmConfig(DecayingEpsilon, MinibatchAlgorithmConfig):
    """RLlib's config of Q-learning, with the exploration of its runners."""

    settings: QLearningConfig

    @override(DecayingEpsilon)
    def exploration_at(self, env_steps: int) -> Explore:
        """Spread the probability over a runner's users."""
        return replace(super().exploration_at(env_steps), spread=self.settings.epsilon_spread)


class QLearning(ReplayingAlgorithm, CollectingAlgorithm):
    """Keeps a replay buffer, learns from many minibatches per update."""

    config: QLearningAlgorithmConfig
    config_class = QLearningAlgorithmConfig

    @override(Algorithm)
    def setup(self, config: QLearningAlgorithmConfig) -> None:
        """Build runners and learners, then the replay buffer."""
        super().setup(config)
        settings, streams = self.config.settings, max(self.config.num_env_runners, 1)
        kind: Callable[..., ReplayBuffer] = ReplayBuffer
        if settings.replay == "prioritized":
            kind = partial(PrioritizedReplay, alpha=settings.priority_alpha, beta=settings.priority_beta)
        self.replay = kind(
            settings.replay_capacity,
            streams,
            seed=(self.config.seed or 0) + 7,
            n_step=settings.n_step_on(self.config.problem.spec),
            discount=self.config.gamma,
        )
        self.rows_due = 0.0  # rows to learn from, left over from earlier rounds

    @override(Algorithm)
    def training_step(self) -> None:
        """Collect one round, learn from `replay_ratio` rows per transition, send the weights to the runners."""
        collected = 0
        for chunk in self.collect():
            self.replay.add(chunk)
            collected += len(chunk)
        self._learn(collected)

    def _learn(self, collected: int) -> None:
        settings, size = self.config.settings, self.config.settings.batch_size
        env_steps = self.env_steps
        if env_steps < settings.learning_starts or not len(self.replay):
            return
        self.rows_due += collected * settings.replay_ratio
        rows = int(self.rows_due // size) * size
        if not rows:
            return
        self.rows_due -= rows
        if (filter_ := self.env_runner.module.net.filter) is not None:
            self.replay.refresh(filter_)
        results = self.update(self.replay.sample(rows, env_steps / self.config.training_env_steps))
        if isinstance(self.replay, PrioritizedReplay):
            for result in results:
                module = result[DEFAULT_MODULE_ID]
                index, error = (np.concatenate(module.pop(key).peek()) for key in (REPLAY_INDEX, TD_ERROR_KEY))
                self.replay.update(index, error)
        self.publish(results)

    @override(ReplayingAlgorithm)
    def get_replay(self) -> dict[str, Any]:
        """Return the buffer, and the rows due."""
        return {"buffer": self.replay.get_state(), "rows_due": self.rows_due}

    @override(ReplayingAlgorithm)
    def set_replay(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.replay.set_state(state["buffer"])
        self.rows_due = state["rows_due"]
