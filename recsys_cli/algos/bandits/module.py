"""A bandit's policy as an RLlib module."""

from __future__ import annotations

from typing import Any

import numpy as np
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override

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
