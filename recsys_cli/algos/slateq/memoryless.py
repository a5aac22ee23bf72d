"""SlateQ for policies without session memory: values with memory teach one that sees the user as observed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.offline_algorithm import OfflineAlgorithmConfig
from recsys_cli.algos.rllib_algorithm import SlateAlgorithmConfig
from recsys_cli.algos.slateq.algorithm import (
    OfflineSlateQ,
    SlateQ,
    SlateQAlgorithmConfig,
    SlateQLearner,
    SlateQModule,
)
from recsys_cli.algos.slateq.network import SlateQNetwork
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.policies.memory import Memory, new_memory

if TYPE_CHECKING:
    from recsys_cli.policies import SlatePolicy


def needs_critic(spec: ProblemSpec) -> bool:
    """Whether values could take the user for a cause: only if users are observed. Of others they know nothing."""
    return len(spec.user) > 0


class MemorylessModule(SlateQModule):
    """Adds `remembering`, the values of users with the memory of their session: a critic, not needed for acting.

    If part of the user's state is hidden, a value of the observed user that bootstraps from itself takes for a cause
    what only goes along with it: a user who looks young promises a long rest of the session. Values with memory know
    better, and may be used in training (as in Pinto et al. 2018, arXiv 1710.06542). Nor need the policy know how long a
    session still lasts, which its user's features hardly tell, but only what a click is worth beyond no click.
    """

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build the networks."""
        super().setup()
        settings, spec = self.model_config["settings"], self.model_config["spec"]
        self.remembering: SlateQNetwork | None = None
        if needs_critic(spec):
            net = settings.network
            sighted = replace(net, kind="two_tower") if net.kind == "documents" else net
            self.remembering = SlateQNetwork(replace(settings, memory="raw", network=sighted), spec)

    @property
    def critic(self) -> SlateQNetwork:
        """See `QModule.critic`."""
        return self.remembering or self.net

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """Acting needs no critic."""
        return [*super().get_non_inference_attributes(), "remembering"]

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Also return the acting network's `gain` [B], and the `null` [B] that it is compared with."""
        outputs = super()._forward_train(batch, **kwargs)
        if self.remembering is None:
            return outputs
        outputs["gain"] = self.net.values.one(*self.chosen(self.net, batch))
        state, doc, nothing = self.chosen(self.remembering, batch)
        with torch.no_grad():
            null = self.target_values.one(state, doc, torch.ones_like(nothing))
        outputs["null"] = null if self.net.learned_null else torch.zeros_like(null)
        return outputs


class MemorylessLearner(SlateQLearner):
    """Learns the critic like SlateQ, and what a click gains over no click by the critic's targets.

    The values that tell how long a session lasts cancel in the gain, and with them their noise: of `Q(u, i)`, of which
    only differences between items matter, nearly all of the variance is that of the hidden rest of the session.
    """

    @override(SlateQLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Add the loss of the gain."""
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        if "gain" not in fwd_out:
            return loss
        target, learned = fwd_out["target"] - fwd_out["null"], fwd_out.get("learned")
        gain, fwd_out["gain_error"] = self.fit(fwd_out["gain"], target, batch, learned)
        critic = self.module[module_id].unwrapped().critic
        return loss + gain + self.likelihood_loss(critic, batch, {})

    @override(SlateQLearner)
    def acted_by(self, outputs: dict[str, Tensor]) -> tuple[str, Tensor]:
        """See `SlateQLearner.acted_by`."""
        return ("gain", outputs["gain_error"]) if "gain" in outputs else super().acted_by(outputs)


class Remembering(SlateAlgorithmConfig):
    """Lets learners know the totals of sessions, which the policy does not."""

    @override(SlateAlgorithmConfig)
    def learning_memory(self, policy: SlatePolicy, users: int) -> Memory:
        """See `SlateAlgorithmConfig.learning_memory`."""
        spec = self.problem.spec
        return new_memory("raw", spec, users) if needs_critic(spec) else super().learning_memory(policy, users)


class MemorylessConfig(Remembering, SlateQAlgorithmConfig):
    """RLlib's config of SlateQ without memory."""


class OfflineMemorylessConfig(Remembering, OfflineAlgorithmConfig):
    """RLlib's config of SlateQ without memory, from a log."""


class MemorylessSlateQ(SlateQ):
    """Q-learning of items by a critic that remembers the session."""

    config_class = MemorylessConfig
    module_class = MemorylessModule
    learner_class = MemorylessLearner


class OfflineMemorylessSlateQ(OfflineSlateQ):
    """The same from a log."""

    config_class = OfflineMemorylessConfig
    module_class = MemorylessModule
    learner_class = MemorylessLearner
