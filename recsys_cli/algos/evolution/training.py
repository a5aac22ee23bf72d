"""Search in the space of weights: a population plays whole episodes, and its returns move the weights. Needs no Ray."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.algos.evolution.weights import Moments, Weights
from recsys_cli.algos.local_training import LocalTraining
from recsys_cli.algos.training import episode_metrics
from recsys_cli.networks.turns import in_turns
from recsys_cli.policies.base import Observation, state_of
from recsys_cli.policies.network import ScoringPolicy
from recsys_cli.rollouts.episodes import Episodes, concatenate, one_thread, play_together

if TYPE_CHECKING:
    from recsys_cli.algos.evolution.config import EvolutionConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig


class Evolution(LocalTraining):
    """Generations: mirrored perturbations of the weights play users of the same chances, then the weights move.

    Every generation begins with new users and ends with their episodes, so that nothing but weights, moments and
    counters goes from one to the next.
    """

    settings: Any

    def __init__(self, settings: EvolutionConfig, run: TrainConfig, seed: int) -> None:
        """Make the network.

        Args:
            settings: of the algorithm.
            run: the problem, the training's length and the env steps per report.
            seed: of first weights, perturbations and users.
        """
        self.settings, self._env, self._seed = settings, run.env, seed
        self._report_every, self._length = run.report_every, run.steps
        self._policy = settings.make_policy(run.env.spec, seed)
        self._network = cast(Any, self._policy.network)
        self.weights = Weights(self._network.values)
        self._moments = Moments(self.weights.inputs)
        self._env_steps = self._generation = 0

    @classmethod
    def of_run(cls, settings: EvolutionConfig, run: TrainConfig, seed: int) -> Evolution:
        """Build a training of a run's problem with these settings."""
        return cls(settings, run, seed)

    @property
    def steps(self) -> int:
        """Env steps played so far."""
        return self._env_steps

    @property
    def env(self) -> EnvConfig:
        """The problem."""
        return self._env

    @property
    def lr(self) -> float:
        """The step size now."""
        settings = self.settings
        last = 1.0 if settings.lr_schedule == "constant" else settings.lr_final_fraction
        return float(settings.lr * (1 + (last - 1) * min(self._env_steps / self._length, 1)))

    def step(self) -> dict[str, float]:
        """Play generations until `report_every` more env steps are played, and return all their episodes' means."""
        due, played = self._env_steps + self._report_every, []
        with torch.no_grad(), one_thread():
            while self._env_steps < due:
                played.append(self._evolve())
        return episode_metrics(concatenate(played))

    def _evolve(self) -> Episodes:
        """Play one generation, and move the weights."""
        settings = self.settings
        noise_seed, env_seed = np.random.SeedSequence([self._seed, self._generation]).generate_state(2)
        rng = np.random.Generator(np.random.SFC64(int(noise_seed)))
        shape = settings.population // 2, self.weights.size
        noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        centre = self.weights.of_search(self.weights.now()[None], self._moments)
        sides = torch.stack([centre + settings.noise * noise, centre - settings.noise * noise], dim=1)
        episodes, seen = self._play(self.weights.of_network(sides.flatten(0, 1), self._moments), int(env_seed), rng)
        returns = episodes.returns.reshape(-1, settings.population).mean(0)
        centre += self.move(centre[0], noise, returns.reshape(-1, 2).T)
        self.weights.put(self.weights.of_network(centre, self._moments)[0])
        self._moments.sums += seen.sums  # the network stays what it is, only the unit of the next perturbations changes
        self._generation += 1
        self._env_steps += int(episodes.lengths.sum())
        return episodes

    def _play(self, population: Tensor, seed: int, rng: np.random.Generator) -> tuple[Episodes, Moments]:
        """Play `algo.episodes` users with each of the networks `[P, D]`, in turns; return episodes and states seen."""
        users = len(population) * self.settings.episodes
        vec = self._env.make_vec(users, doc_format=self._env.spec.documents.compact)
        vec.share_chances(len(population))
        network, moments = copy.copy(self._network), Moments(self.weights.inputs)
        network._modules = {**network._modules, "values": in_turns(network.values, self.weights.by_name(population))}

        def seen(observation: Observation, playing: NDArray[np.bool_]) -> None:
            states = state_of(observation)
            if self.settings.normalise and states.shape[1] == self.weights.inputs:
                moments.add(states[playing])

        return play_together(ScoringPolicy(network), vec, seed, rng, seen=seen), moments

    @abstractmethod
    def move(self, centre: Tensor, noise: Tensor, returns: NDArray[np.float64]) -> Tensor:
        """Return what to add to the search's weights `[D]`.

        Args:
            centre: the weights `[D]`.
            noise: perturbations `[P / 2, D]`, of standard deviation 1.
            returns: mean returns `[2, P / 2]` of the perturbations, and of their mirror images.
        """

    def policy(self) -> ScoringPolicy:
        """Return the policy of the unperturbed weights, which keep moving."""
        return self._policy

    def get_state(self) -> dict[str, Any]:
        """Return weights, moments and counters: all that further generations depend on."""
        return {
            "env_steps": self._env_steps,
            "generation": self._generation,
            "moments": self._moments.sums,
            "policy": self._policy.tensors(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """See `LocalTraining.set_state`."""
        self._policy.load_tensors(state["policy"])
        self._env_steps, self._generation = state["env_steps"], state["generation"]
        self._moments.sums = state["moments"]

    def stop(self) -> None:
        """Nothing is held between generations."""
