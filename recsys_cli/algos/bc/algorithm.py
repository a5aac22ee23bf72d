"""Behaviour cloning as an RLlib algorithm."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.minibatch_learner import MinibatchLearner
from recsys_cli.algos.offline_algorithm import OfflineAlgorithm
from recsys_cli.networks.features import Observed
from recsys_cli.slates.plackett_luce import PlackettLuce


def slate_log_prob(net: Any, observed: Observed, slates: Tensor) -> Tensor:
    """Return the log-probabilities `[B]` of slates `[B, k]` drawn by a network's scores."""
    return PlackettLuce(net.scores(observed), slates.shape[-1], mask=observed.mask).log_prob(slates)


class BCModule(TorchRLModule, InferenceOnlyAPI):
    """Holds `net`, a `SlateActor`; `model_config` carries the `settings` (BCConfig) and the `spec`."""

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build the network."""
        self.net = self.model_config["settings"].make_network(self.model_config["spec"])

    @override(InferenceOnlyAPI)
    def get_non_inference_attributes(self) -> list[str]:
        """All of it acts."""
        return []

    @override(TorchRLModule)
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the log-probabilities of the logged slates."""
        return {"log_prob": slate_log_prob(self.net, self.net.observed_in(batch), batch["slate"])}


class BCLearner(MinibatchLearner):
    """Maximises the likelihood of the logged slates."""

    @override(MinibatchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Return the mean negative log-likelihood of a slate."""
        loss: Tensor = -fwd_out["log_prob"].mean()
        return loss


class BC(OfflineAlgorithm):
    """Behaviour cloning."""

    module_class = BCModule
    learner_class = BCLearner
