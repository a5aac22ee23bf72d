"""A policy of its own for each group of users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.config.errors import ConfigError
from recsys_cli.policies.base import Floats, Observation, SlatePolicy
from recsys_cli.policies.memory import Memory
from recsys_cli.slates.distributions import Parted, SlateDistribution

if TYPE_CHECKING:
    from recsys_cli.envs.base import SlateVectorEnv

UNSEEN = ("response",)  # parts of observations that no policy reads


class RoutedPolicy(SlatePolicy):
    """Asks each group's policy about its users, whose last features are the group, one-hot.

    The groups' policies do not see these features. What they learned is kept under `<group>.<name>`.

    Attributes:
        policies: of each group.
    """

    def __init__(self, policies: Mapping[str, SlatePolicy]) -> None:
        """Take the groups' policies, in the order of the one-hot features."""
        self.policies, every = dict(policies), list(policies.values())
        self.slate_size = every[0].slate_size
        self.served_by_draws = any(policy.served_by_draws for policy in every)
        self.asked_of_all = any(policy.asked_of_all for policy in every)
        self._watched: SlateVectorEnv | None = None

    def _parts(self, observation: Observation) -> list[tuple[SlatePolicy, np.ndarray, dict[str, Any]]]:
        """Return the groups that have users here: their policy, the users' numbers, and what it sees of them."""
        user = np.asarray(observation["user"])
        known = user.shape[1] - len(self.policies)
        group = user[:, known:].argmax(1)
        parts = []
        for number, (name, policy) in enumerate(self.policies.items()):
            rows = np.flatnonzero(group == number)
            if not rows.size:
                continue
            if policy.asked_of_all and self._watched is not None:
                policy.watch(self._watched.of_group(name))  # type: ignore[attr-defined]
            seen = {key: np.asarray(value)[rows] for key, value in observation.items() if key not in UNSEEN}
            parts.append((policy, rows, seen | {"user": seen["user"][:, :known]}))
        return parts

    def _joined(
        self, ask: Callable[[SlatePolicy, Observation], SlateDistribution], observation: Observation
    ) -> SlateDistribution:
        return Parted([(rows, ask(policy, seen)) for policy, rows, seen in self._parts(observation)])

    def distribution(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.distribution`."""
        return self._joined(lambda policy, seen: policy.distribution(seen), observation)

    def behaviour(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.behaviour`."""
        return self._joined(lambda policy, seen: policy.behaviour(seen), observation)

    def served(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.served`."""
        return self._joined(lambda policy, seen: policy.served(seen), observation)

    def softened(self, observation: Observation, temperature: float) -> SlateDistribution:
        """See `SlatePolicy.softened`."""
        return self._joined(lambda policy, seen: policy.softened(seen, temperature), observation)

    def posterior(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.posterior`."""
        return self._joined(lambda policy, seen: policy.posterior(seen), observation)

    def scores(self, observation: Observation) -> Floats:
        """See `SlatePolicy.scores`."""
        scores = np.empty(np.asarray(observation["doc"]).shape[:2])
        for policy, rows, seen in self._parts(observation):
            scores[rows] = policy.scores(seen)
        return scores

    def new_memory(self, users: int) -> Memory:
        """Return one memory for all groups, if they remember the same."""
        memories = {name: policy.new_memory(users) for name, policy in self.policies.items()}
        first, *others = memories.values()
        nothing = all(type(memory) is Memory for memory in memories.values())
        alike = first.kind is not None and all(memory.kind == first.kind for memory in others)
        return first if nothing or alike else RoutedMemory(memories)

    def watch(self, env: SlateVectorEnv) -> None:
        """See `SlatePolicy.watch`."""
        self._watched = env

    def must_plan(self, env: Any) -> bool:
        """See `SlatePolicy.must_plan`."""
        return any(policy.must_plan(env.parts[name].env) for name, policy in self.policies.items())

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what the groups' policies learned."""
        every = self.policies.items()
        return {f"{name}.{key}": value for name, policy in every for key, value in policy.tensors().items()}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """See `SlatePolicy.load_tensors`."""
        found: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.policies}
        for key, value in tensors.items():
            name, _, own = key.partition(".")
            if name not in found or not own:
                raise ConfigError(f"the checkpoint holds {key}, of none of the groups {', '.join(found)}")
            found[name][own] = value
        for name, policy in self.policies.items():
            policy.load_tensors(found[name])


class RoutedMemory(Memory):
    """Every group's memory remembers all users; each user is described by the own group's."""

    def __init__(self, memories: Mapping[str, Memory]) -> None:
        """Take the groups' memories, in the order of the one-hot features."""
        self.memories = dict(memories)

    def extend(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """See `Memory.extend`."""
        group, described = np.asarray(observation["user"])[:, -len(self.memories) :].argmax(1), None
        for number, memory in enumerate(self.memories.values()):
            own = memory.extend(self._alone(observation)).get("memory")
            if own is None:
                continue
            described = np.array(own) if described is None else described
            described[group == number] = own[group == number]
        return dict(observation) if described is None else {**observation, "memory": described}

    def step(
        self, before: Mapping[str, Any], slates: np.ndarray, after: Mapping[str, Any], restarted: np.ndarray
    ) -> None:
        """See `Memory.step`."""
        for memory in self.memories.values():
            memory.step(self._alone(before), slates, self._alone(after), restarted)

    def _alone(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Return an observation as the groups' policies see it, of all users."""
        return {**observation, "user": np.asarray(observation["user"])[:, : -len(self.memories)]}

    def restart(self) -> None:
        """See `Memory.restart`."""
        for memory in self.memories.values():
            memory.restart()

    def get_state(self) -> dict[str, np.ndarray]:
        """See `Memory.get_state`."""
        every = self.memories.items()
        return {f"{name}.{key}": value for name, memory in every for key, value in memory.get_state().items()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """See `Memory.set_state`."""
        for name, memory in self.memories.items():
            start = f"{name}."
            memory.set_state({key.removeprefix(start): value for key, value in state.items() if key.startswith(start)})
