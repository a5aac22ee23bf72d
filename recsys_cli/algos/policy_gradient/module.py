"""The slate module of RLlib's policy-gradient algorithms."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.policy_gradient.distribution import SlateActionDistribution
from recsys_cli.algos.policy_gradient.network import SlateCritic
from recsys_cli.policies.network import PlackettLucePolicy


class SlateActorCriticModule(TorchRLModule, InferenceOnlyAPI, ValueFunctionAPI):
    """Acts with `net`, a `SlateActor`; learners also keep `critic`.

    `model_config` carries the `settings` (PolicyGradientConfig) and the `spec` (ProblemSpec). Batches hold what is
    `Observed`.
    """

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build both networks, which share nothing: neither's gradient disturbs the other."""
        settings, spec = self.model_config["settings"], self.model_config["spec"]
        self.net = settings.make_network(spec)
        self.critic = SlateCritic(settings, spec, self.net.state_features)
        self.draws = torch.Generator()  # of the losses' estimates and minibatches; learners seed it at every update
        self.action_dist_cls = SlateActionDistribution.get_partial_dist_cls(
            slate_size=spec.slate_size, generator=self.draws, masked=spec.varying
        )

    def policy(self) -> PlackettLucePolicy:
        """Return the policy that acts with this module's network."""
        return self.model_config["settings"].policy_of(self.net)

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """Runners need no critic."""
        return ["critic"]

    @override(TorchRLModule)
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the scores."""
        return {Columns.ACTION_DIST_INPUTS: self.net.scores(self.net.observed_in(batch))}

    @override(ValueFunctionAPI)
    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Return the values `[B]`; of rows that are only bootstrapped from, those that the batch brings."""
        values: Tensor = self.critic(self.net.observed_in(batch))
        if Columns.LOSS_MASK not in batch:
            return values
        return torch.where(batch[Columns.LOSS_MASK], values, batch[Columns.VF_PREDS])
