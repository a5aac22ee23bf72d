"""Exploration: a policy's distribution made random in one of a few ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.config.explore import Explore
from recsys_cli.policies.base import Observation, SlatePolicy, deferred
from recsys_cli.policies.memory import Memory
from recsys_cli.slates.distributions import SlateDistribution, epsilon_mixture

if TYPE_CHECKING:
    from recsys_cli.envs.base import SlateVectorEnv
    from recsys_cli.policies.base import Floats

Rule = Callable[[Observation], SlateDistribution]


def explored(explore: Explore, policy: SlatePolicy, rule: Rule, *, at_once: bool = False) -> Rule:
    """Return the exploring rule of a policy.

    Args:
        explore: how.
        policy: whose rule it is.
        rule: that without exploration.
        at_once: whether `rule` is asked about all users at once; else, if that will do, not about those who get a
            random slate.
    """
    match explore.kind:
        case "epsilon":
            later = rule if at_once or policy.asked_of_all else partial(deferred, rule, policy.slate_size)
            if not explore.spread:
                return lambda observation: epsilon_mixture(explore.amount, later(observation))
            return lambda observation: epsilon_mixture(_spread(explore, len(observation["doc"])), later(observation))
        case "plackett_luce":
            return lambda observation: policy.softened(observation, explore.amount)
        case "thompson":
            return policy.posterior
    return rule


def _spread(explore: Explore, users: int) -> Floats:
    """Return each user's probability of a random slate, `[N]`."""
    return np.asarray(explore.amount ** (1 + explore.spread * np.linspace(0, 1, users)))


class ExploringPolicy(SlatePolicy):
    """Wraps a policy so that it always explores."""

    served_by_draws = True

    def __init__(self, policy: SlatePolicy, explore: Explore) -> None:
        """Take the policy, and how it is to explore."""
        self.policy, self.slate_size = policy, policy.slate_size
        self._rule = explored(explore, policy, policy.served)

    def distribution(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.distribution`."""
        return self._rule(observation)

    def scores(self, observation: Observation) -> Floats:
        """Return the policy's own."""
        return self.policy.scores(observation)

    def softened(self, observation: Observation, temperature: float) -> SlateDistribution:
        """Return the policy's own."""
        return self.policy.softened(observation, temperature)

    def posterior(self, observation: Observation) -> SlateDistribution:
        """Return the policy's own."""
        return self.policy.posterior(observation)

    def new_memory(self, users: int) -> Memory:
        """Return what the policy remembers."""
        return self.policy.new_memory(users)

    def watch(self, env: SlateVectorEnv) -> None:
        """See `SlatePolicy.watch`."""
        self.policy.watch(env)

    def must_plan(self, env: Any) -> bool:
        """See `SlatePolicy.must_plan`."""
        return self.policy.must_plan(env)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what the policy learned."""
        return self.policy.tensors()

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """See `SlatePolicy.load_tensors`."""
        self.policy.load_tensors(tensors)
