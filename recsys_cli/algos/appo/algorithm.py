"""RLlib's APPO with our runners, module and batches."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ray.rllib.algorithms.appo import APPO, APPOConfig
from ray.rllib.algorithms.appo.torch.appo_torch_learner import APPOTorchLearner
from ray.rllib.core.rl_module.apis import TARGET_NETWORK_ACTION_DIST_INPUTS, TargetNetworkAPI
from ray.rllib.utils.annotations import override

from recsys_cli.algos.impala.algorithm import InStep, TrajectoryConfig, TrajectoryLearner
from recsys_cli.algos.policy_gradient.module import SlateActorCriticModule

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig


class SlateAPPOModule(SlateActorCriticModule, TargetNetworkAPI):
    """Learners also keep `target_net`, an earlier copy of the actor."""

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

    @override(TrajectoryConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set the clipped loss and the target policy."""
        super().of_run(settings, run, seed)
        self.training(
            # RLlib's circular buffer draws from a stream that no checkpoint holds; epochs learn as often.
            use_circular_buffer=False,
            circular_buffer_num_batches=1,
            circular_buffer_iterations_per_batch=1,
            target_network_update_freq=1,
            tau=settings.target_tau,
            clip_param=settings.clip_param,
            use_kl_loss=settings.kl_coeff > 0,
            kl_coeff=settings.kl_coeff,
            kl_target=settings.kl_target,
        )


class SlateAPPOLearner(TrajectoryLearner, APPOTorchLearner):
    """The loss is RLlib's."""


class SlateAPPO(InStep, APPO):
    """RLlib's APPO."""

    config_class = SlateAPPOConfig
    module_class = SlateAPPOModule
    learner_class = SlateAPPOLearner
