"""Bandits as an RLlib algorithm on the vectorised runner."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.bandits.regret import RegretTraining
from recsys_cli.algos.finite_learner import FiniteLearner
from recsys_cli.algos.rllib_algorithm import CollectingAlgorithm
from recsys_cli.algos.rllib_training import RLlibTraining
from recsys_cli.policies.bandit import BanditPolicy

PREFIX = "net."  # prefix by which `RLlibTraining` finds a policy's tensors


class BanditModule(TorchRLModule, InferenceOnlyAPI):
    """Holds a `BanditPolicy`, which has no parameters to differentiate.

    `model_config` carries the `settings` (BanditConfig), the `spec` (ProblemSpec) and the `seed`. The state is the
    policy's tensors; RLlib's own way would round them to float32.
    """

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build the policy."""
        settings, spec, seed = (self.model_config[key] for key in ("settings", "spec", "seed"))
        self.bandit: BanditPolicy = settings.make_policy(spec, seed)

    def policy(self) -> BanditPolicy:
        """Return the policy itself."""
        return self.bandit

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """Runners need all of it."""
        return []

    @override(TorchRLModule)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, np.ndarray]:
        """Return the policy's tensors."""
        return {PREFIX + name: value for name, value in self.bandit.tensors().items()}

    @override(TorchRLModule)
    def set_state(self, state: dict[str, Any]) -> None:
        """Take the policy's tensors."""
        self.bandit.load_tensors({name.removeprefix(PREFIX): np.asarray(value) for name, value in state.items()})

    @override(TorchRLModule)
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Act greedily."""
        return {Columns.ACTIONS: self.bandit.distribution(batch).mode()}


LEARNING = "learning"


class BanditLearner(FiniteLearner):
    """Hands every batch to the module's policy, once."""

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig) -> None:
        """There is nothing to optimise."""

    @override(TorchLearner)
    def _update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        """Update the posterior; the reported loss is the error of the prior predictions."""
        columns = {name: value.numpy() for name, value in batch[DEFAULT_MODULE_ID].items() if isinstance(value, Tensor)}
        error = self.module[DEFAULT_MODULE_ID].unwrapped().bandit.learn(columns)
        self.watch(error)
        return {}, {DEFAULT_MODULE_ID: error}, {}

    @override(TorchLearner)
    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Add what the policy needs for further learning; runners ask for the module only and do without."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(LEARNING, components, not_components):
            state[LEARNING] = self.module[DEFAULT_MODULE_ID].unwrapped().bandit.get_state()
        return state

    @override(TorchLearner)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state, or the given part of it."""
        super().set_state(state)
        if LEARNING in state:
            self.module[DEFAULT_MODULE_ID].unwrapped().bandit.set_state(state[LEARNING])

    @override(TorchLearner)
    def compute_loss_for_module(self, **kwargs: Any) -> Tensor:
        """There is none."""
        raise NotImplementedError


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
