"""The env runner of policy gradients: slates drawn by the policy, their log-propensities kept."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override

from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.chunk import Chunk
from recsys_cli.rollouts.followed import FollowedChunk, with_what_follows
from recsys_cli.rollouts.runner import VectorEnvRunner


@dataclass
class Rollout(FollowedChunk):
    """A chunk with what a policy gradient needs beside; RLlib carries it where it carries episodes.

    Attributes:
        log_propensity: log-probabilities of the slates when they were drawn, `[T, N]` float32.
    """

    log_propensity: np.ndarray

    def __len__(self) -> int:
        """Return the number of rows, valid or not: RLlib shares rollouts out among learners by their length."""
        return self.valid.size

    def env_steps(self) -> int:
        """Return the number of transitions."""
        return int(self.valid.sum())

    def split(self, parts: int) -> list[Rollout]:
        """Cut the users into `parts` groups, as even as possible."""
        cuts = np.linspace(0, self.valid.shape[1], parts + 1).astype(int)
        return [self._of_users(slice(*pair)) for pair in pairwise(cuts)]

    def _of_users(self, users: slice) -> Rollout:
        own = {name: value[users] if name.startswith("last_") else value[:, users] for name, value in self.arrays()}
        return Rollout(**own, stream=self.stream, start=self.start)


class OnPolicyRunner(VectorEnvRunner):
    """Plays `users_per_runner` users with slates that the module's policy draws."""

    @override(EnvRunner)
    def make_module(self) -> None:
        """Make the module for acting; its policy draws from the runner's stream, which checkpoints hold."""
        super().make_module()
        self.policy.rng = self.rng

    def _collect(self, length: int, explore: bool, random_actions: bool) -> list[Chunk]:
        """Play `length` lock-steps; one rollout a learner."""
        uniform = UniformPolicy(self.config.problem.slate_size, 0) if random_actions else None
        if uniform is not None:
            uniform.rng = self.rng
        log_propensities = []

        def act(observation: dict[str, Any]) -> np.ndarray:
            slates, log_propensity = (uniform or self.policy).act(observation, explore=explore)
            log_propensities.append(log_propensity)
            return slates

        chunk = self.collector.collect(length, act)
        rollout = Rollout(
            **with_what_follows(chunk, self.collector),
            log_propensity=np.stack(log_propensities).astype(np.float32),
        )
        return list(rollout.split(max(self.config.num_learners, 1)))
