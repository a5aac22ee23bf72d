"""RLlib's DQN with our runners, replay and module; the base of SAC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.algorithms.dqn.dqn_learner import QF_NEXT_PREDS, QF_PREDS, QF_TARGET_NEXT_PREDS
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.rl_module.apis import QNetAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.finite_learner import FiniteLearner
from recsys_cli.algos.full_slate_q.algorithm import FullSlateQModule
from recsys_cli.algos.optimizers import AdamLearner
from recsys_cli.algos.rllib_algorithm import DecayingEpsilon, GradientAlgorithmConfig, ReplayingAlgorithm
from recsys_cli.rollouts.replay import ReplayBuffer, Ring
from recsys_cli.rollouts.sampled import Sample, SampledReplay
from recsys_cli.slates.optimal import NEVER, only

if TYPE_CHECKING:
    from recsys_cli.config.schema import TrainConfig


class SlateDQNModule(FullSlateQModule, QNetAPI, TargetNetworkAPI):
    """Holds a `FullSlateQNetwork` and, in learners, a slow copy of its values.

    Of the M slates, only the shown one goes through the network if the loss needs no other: it gets a single action,
    `QF_PREDS` [B, 1].
    """

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the value of the shown slate, and the values `[B, M]` of the next slates."""
        shown: Tensor = super()._forward_train(batch)["q"]
        following = following_of(batch)
        outputs = {QF_PREDS: shown[:, None], QF_TARGET_NEXT_PREDS: self.forward_target(following)[QF_PREDS]}
        if self.model_config["settings"].double_q:
            with torch.no_grad():
                outputs[QF_NEXT_PREDS] = self.compute_q_values(following)[QF_PREDS]
        return outputs

    @override(QNetAPI)
    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the values of all slates."""
        return {QF_PREDS: self._values(self.net.values, batch)}

    @override(TargetNetworkAPI)
    def forward_target(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Return the copy's values of all slates, without gradient."""
        with torch.no_grad():
            return {QF_PREDS: self._values(self.target_values, batch)}

    def _values(self, values: Any, batch: dict[str, Any]) -> Tensor:
        observed = self.net.observed_in(batch)
        every = self.net.all_slates(observed.doc.shape[1], observed.doc.device)
        # Finite: RLlib's losses multiply the values of slates that are not the best by 0.
        return only(values(observed.state, observed.doc, every), self.net.complete(observed), NEVER)

    @override(TargetNetworkAPI)
    def make_target_networks(self) -> None:
        """Copy the values."""
        self.make_target()

    @override(TargetNetworkAPI)
    def get_target_network_pairs(self) -> list[tuple[Any, Any]]:
        """Return the values and their copy."""
        return [(self.net.values, self.target_values)]


def following_of(batch: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the next state under the names of the state's columns."""
    start = "next_"
    return {name.removeprefix(start): column for name, column in batch.items() if name.startswith(start)}


class SampleConnector(ConnectorV2):
    """Turns a learner's sample into its batch.

    It has the columns of `ReplayBuffer.sample`, and those read by the losses of RLlib's DQN and SAC. These bootstrap by
    `gamma ** n_step * (1 - terminated)`; the buffer knows the whole factor, also if an episode ends within n steps, so
    `n_step` is 0 and `terminated` is 1 minus that factor: a discount ends an episode with some probability.
    """

    @override(ConnectorV2)
    def __call__(self, *, rl_module: Any, batch: dict[str, Any], episodes: Sequence[Sample], **kwargs: Any) -> Any:
        """Return the columns by module, on the module's device."""
        module = rl_module[DEFAULT_MODULE_ID].unwrapped()
        device = next(module.parameters()).device
        (sample,) = episodes
        columns = {name: torch.as_tensor(column, device=device) for name, column in sample.columns.items()}
        return {DEFAULT_MODULE_ID: columns | self.read_by_losses(module, columns)}

    def read_by_losses(self, module: Any, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return RLlib's columns; the shown slate is action 0, for modules that value only that."""
        reward = columns["reward"]
        return {
            Columns.ACTIONS: torch.zeros(len(reward), dtype=torch.int64, device=reward.device),
            Columns.REWARDS: reward,
            Columns.TERMINATEDS: 1 - columns["bootstrap"],
            "n_step": torch.zeros_like(reward),
            "weights": torch.ones_like(reward),
        }


class SampleLearner(FiniteLearner):
    """Mixes with the learners of RLlib's DQN and its derivatives."""

    connector: type[SampleConnector] = SampleConnector

    @override(Learner)
    def build(self) -> None:
        """Build as RLlib does, without its connectors, which make batches from episodes."""
        super().build()
        self._learner_connector = self.connector()


class SlateDQNLearner(SampleLearner, AdamLearner, DQNTorchLearner):
    """The loss is RLlib's."""


class SampledConfig(GradientAlgorithmConfig):
    """Mixes with the config of RLlib's DQN or its derivatives."""

    ring: type[Ring] = Ring  # of the replay buffer

    @override(GradientAlgorithmConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set replay and target network."""
        super().of_run(settings, run, seed)
        runners = max(run.resources.env_runners, 1)
        # RLlib samples from a buffer that may hold no complete transition yet.
        first_rows = (settings.n_step_on(run.env.spec) + 1) * run.resources.users_per_runner * runners
        self.training(
            train_batch_size_per_learner=-(-settings.batch_size // max(run.resources.learners, 1)),
            # RLlib counts the local runner as sampling, even if there are remote ones.
            training_intensity=settings.replay_ratio * runners / (run.resources.env_runners + 1),
            num_steps_sampled_before_learning_starts=max(settings.learning_starts, first_rows),
            target_network_update_freq=0,  # after every gradient step
            tau=settings.target_tau,
            grad_clip=None,
        )


class SampledAlgorithm(ReplayingAlgorithm):
    """Mixes with RLlib's DQN or its derivatives."""

    @override(Algorithm)
    def _create_local_replay_buffer_if_necessary(self, config: SampledConfig) -> SampledReplay:
        """Make our buffer: RLlib's keep episodes, and look at each of them to sample."""
        settings = config.settings
        buffer = ReplayBuffer(
            settings.replay_capacity,
            max(config.num_env_runners, 1),
            seed=(config.seed or 0) + 7,
            n_step=settings.n_step_on(config.problem.spec),
            discount=config.gamma,
            ring=config.ring,
        )
        return SampledReplay(buffer, parts=max(config.num_learners, 1))

    @override(ReplayingAlgorithm)
    def get_replay(self) -> dict[str, Any]:
        """Return the buffer's state."""
        state: dict[str, Any] = self.local_replay_buffer.buffer.get_state()
        return state

    @override(ReplayingAlgorithm)
    def set_replay(self, state: dict[str, Any]) -> None:
        """Restore it."""
        self.local_replay_buffer.buffer.set_state(state)


class SlateDQNConfig(DecayingEpsilon, SampledConfig, DQNConfig):
    """RLlib's config of DQN, with our settings and the problem beside it."""

    @override(SampledConfig)
    def of_run(self, settings: Any, run: TrainConfig, seed: int) -> None:
        """Also set the loss."""
        super().of_run(settings, run, seed)
        self.training(double_q=settings.double_q, td_error_loss_fn="mse" if settings.loss == "squared" else "huber")


class SlateDQN(SampledAlgorithm, DQN):
    """RLlib's DQN."""

    config_class = SlateDQNConfig
    module_class = SlateDQNModule
    learner_class = SlateDQNLearner
