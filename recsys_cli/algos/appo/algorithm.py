"""RLlib's APPO with our runners, module and batches."""

from __future__ import annotations

import copy
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.appo import APPO, APPOConfig
from ray.rllib.algorithms.appo.torch.appo_torch_learner import APPOTorchLearner
from ray.rllib.core.rl_module.apis import TARGET_NETWORK_ACTION_DIST_INPUTS, TargetNetworkAPI
from ray.rllib.utils.annotations import override

from recsys_cli.algos.impala.algorithm import InStep, TrajectoryConfig, TrajectoryLearner
from recsys_cli.algos.policy_gradient.module import SlateActorCriticModule


class SlateAPPOModule(SlateActorCriticModule, TargetNetworkAPI):
    """Learners also keep `target_net`, the actor of some rounds before."""

    @override(SlateActorCriticModule)
    def get_non_inference_attributes(self) -> list[str]:
        """Runners need neither critic nor target."""
        return [*super().get_non_inference_attributes(), "target_net"]

    @override(TargetNetworkAPI)
    def make_target_networks(self) -> None:
        """Copy the actor."""
        self.target_net = copy.deepcopy(self.net).requires_grad_(False)

    @override(TargetNetworkAPI)
    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Return the actor and its copy."""
        return [(self.net, self.target_net)]

    @override(TargetNetworkAPI)
    def forward_target(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the copy's scores."""
        return {TARGET_NETWORK_ACTION_DIST_INPUTS: self.target_net.scores(self.target_net.observed_in(batch))}


class SlateAPPOConfig(TrajectoryConfig, APPOConfig):
    """RLlib's config of APPO, with our settings and the problem beside it."""

    def __init__(self, algo_class: type | None = None) -> None:
        """Set the algorithm."""
        super().__init__(algo_class=algo_class or SlateAPPO)


class SlateAPPOLearner(TrajectoryLearner, APPOTorchLearner):
    """The loss is RLlib's."""


class SlateAPPO(InStep, APPO):
    """RLlib's APPO."""

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> SlateAPPOConfig:
        """Return an unset config."""
        return SlateAPPOConfig()
