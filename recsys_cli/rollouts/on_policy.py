"""The env runner of policy gradients, which keeps the slates' log-propensities."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from recsys_cli.rollouts.chunk import Chunk
from recsys_cli.rollouts.followed import FollowedChunk, with_what_follows
from recsys_cli.rollouts.runner import VectorEnvRunner


@dataclass(kw_only=True)
class Rollout(FollowedChunk):
    """A chunk that RLlib carries in place of episodes."""

    def __len__(self) -> int:
        """Return the number of rows, valid or not: RLlib distributes rollouts to learners by their length."""
        return self.valid.size

    def env_steps(self) -> int:
        """Return the number of transitions."""
        return int(self.valid.sum())

    def split(self, parts: int) -> list[Rollout]:
        """Cut the users into `parts` groups, as even as possible."""
        cuts = np.linspace(0, self.valid.shape[1], parts + 1).astype(int)
        return [self._of_users(slice(*pair)) for pair in pairwise(cuts)]

    def _of_users(self, users: slice) -> Rollout:
        own: dict[str, Any] = {
            name: value[users] if name.startswith("last_") else value[:, users] for name, value in self.arrays()
        }
        response = None if self.response is None else {name: of[:, users] for name, of in self.response.items()}
        return Rollout(**own, response=response, stream=self.stream, start=self.start)


class OnPolicyRunner(VectorEnvRunner):
    """Cuts its chunks by users, one rollout per learner."""

    keeps_propensities = True

    def _collect(self, length: int, explore: bool, random_actions: bool) -> list[Chunk]:
        """Play `length` lock-steps."""
        (chunk,) = super()._collect(length, explore, random_actions)
        rollout = Rollout(**with_what_follows(chunk, self.collector))
        return list(rollout.split(max(self.config.num_learners, 1)))
