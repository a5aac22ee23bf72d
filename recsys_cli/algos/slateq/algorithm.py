"""SlateQ as an RLlib algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.minibatch_learner import Step
from recsys_cli.algos.offline_algorithm import OfflineAlgorithm
from recsys_cli.algos.q_learning.algorithm import QLearning, QLearningAlgorithmConfig
from recsys_cli.algos.q_learning.learner import QLearner
from recsys_cli.algos.q_learning.module import QModule
from recsys_cli.algos.slateq.network import SlateQNetwork
from recsys_cli.networks.choice import KnownChoice, LearnedChoice, log_likelihood
from recsys_cli.networks.features import Observed, pick_documents
from recsys_cli.policies.network import enough_of_each_in
from recsys_cli.slates.optimal import of_shown, only, optimal_values, slate_values
from recsys_cli.slates.optimisers import OPTIMISERS

if TYPE_CHECKING:
    from recsys_cli.algos.slateq.config import SlateQConfig
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.networks.item_values import Concat, TwoTower


class SlateQModule(QModule):
    """Holds a `SlateQNetwork`."""

    net: SlateQNetwork
    target_values: TwoTower | Concat

    @property
    def critic(self) -> SlateQNetwork:
        """See `QModule.critic`."""
        return self.net

    def target_item_values(self, observed: Observed) -> tuple[Tensor, Tensor]:
        """Return the target network's `q` [B, C] and `q_null` [B] (see `SlateQNetwork.item_values`)."""
        q, q_null = self.target_values(observed.state, observed.doc)
        return q, q_null if self.critic.learned_null else torch.zeros_like(q_null)

    def target_slate_values(self, observed: Observed, slates: Tensor) -> Tensor:
        """Return the target network's values `[B]` of slates `[B, k]`."""
        shown = observed.showing(slates[:, : self.critic.attended])
        (q, q_null), (v, v_null) = self.target_item_values(shown), self.critic.choice(shown)
        return slate_values(only(v, shown.mask, 0.0), q, v_null, q_null)

    @override(TorchRLModule)
    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return the predictions for the loss: the value of the clicked item, or of the null.

        Only the clicked document, or the null, goes through the network: B rows instead of B * C.
        """
        state, doc, nothing = self.chosen(self.critic, batch)
        q = self.critic.values.one(state, doc, nothing)
        return {"q": q} if self.critic.learned_null else {"q": q, "learned": ~nothing}

    def chosen(self, net: SlateQNetwork, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Return state `[B, S]`, document `[B, F]` or `[B]`, and whether it was `nothing` [B], of what was chosen."""
        clicked, shown = batch["clicked"], net.shown_in(batch)
        if shown.memory is not None:
            # A belief is learned from choices alone: bent to values that bootstrap from it, it makes them lie (197
            # instead of 268 on interest evolution).
            shown = shown._replace(memory=shown.memory.detach())
        last = shown.doc.shape[1] - 1
        position = clicked.clamp_max(last)
        return shown.state, pick_documents(shown.doc, position[:, None])[:, 0], clicked > last


class SlateQLearner(QLearner):
    """Learns item-wise values (Ie et al. 2019, eq. 18, but bootstrapping from the state after the step)."""

    @override(QLearner)
    def gradients(self, minibatch: dict[str, Tensor]) -> Step:
        """Let a belief recall the minibatch's sessions first."""
        return super().gradients(self._recalled(minibatch))

    def _recalled(self, minibatch: dict[str, Tensor]) -> dict[str, Tensor]:
        net: SlateQNetwork = self.module[DEFAULT_MODULE_ID].unwrapped().net
        return net.recalled(minibatch, self.config.settings.n_step_on(self.config.problem.spec))

    @override(QLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """Add the choice model's negative log-likelihood, if it is learned."""
        loss = super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)
        net = self.module[module_id].unwrapped().net
        return loss + self.likelihood_loss(net, batch, fwd_out)

    def likelihood_loss(self, net: SlateQNetwork, batch: dict[str, Any], fwd_out: dict[str, Any]) -> Tensor | float:
        """Return the loss of the network's choice model, 0 if that is known, and report the likelihood."""
        if not isinstance(net.choice, LearnedChoice):
            return 0.0
        loss = net.choice.loss(net.shown_in(batch), batch["clicked"])
        fwd_out["log_likelihood"] = -loss
        return loss

    @override(QLearner)
    def _update(self, batch: dict[str, Any], **kwargs: Any) -> tuple[Any, Any, Any]:
        """Report the log-likelihood of the last minibatch's clicks under the learned and the true choice model."""
        outputs, losses, more = super()._update(batch, **kwargs)
        if self.module[DEFAULT_MODULE_ID].unwrapped().net.posterior is not None:
            self._learn_posterior(*self.acted_by(outputs[DEFAULT_MODULE_ID]))
        likelihood = outputs[DEFAULT_MODULE_ID].get("log_likelihood")
        if likelihood is not None:
            spec, log = self.config.problem.spec.choice, {"choice_log_likelihood": likelihood}
            if spec.observable:
                shown = self.module[DEFAULT_MODULE_ID].unwrapped().net.shown_in(self.newest)
                v, v_null = KnownChoice(spec)(shown)
                log["true_choice_log_likelihood"] = log_likelihood(
                    only(v, shown.mask, 0.0), v_null, self.newest["clicked"]
                )
            for name, value in log.items():
                self.metrics.log_value((DEFAULT_MODULE_ID, name), float(value), window=20)
        return outputs, losses, more

    def acted_by(self, outputs: dict[str, Tensor]) -> tuple[str, Tensor]:
        """Return which of the module's outputs are predictions of the values acted by, and their errors `[B]`."""
        return "q", outputs["error"]

    def _learn_posterior(self, name: str, error: Tensor) -> None:
        """Let the values' posterior see the newest minibatch, with the errors that its gradient step began with."""
        module, settings = self.module[DEFAULT_MODULE_ID].unwrapped(), self.config.settings
        with torch.no_grad():
            columns = self._recalled(self.newest)
        # A transition that is learned from several times is seen once.
        seen = min(self.gradient_steps * settings.batch_size / settings.replay_ratio, settings.replay_capacity)
        module.net.posterior.learn(
            module.net.values,
            lambda: module._forward_train(columns)[name],
            error * settings.network.scale,
            seen,
        )

    @override(QLearner)
    def next_values(self, module_id: str, batch: dict[str, Any]) -> Tensor:
        """Return the value `[B]` of the next state's slate, by the target network.

        `algo.target=sarsa`: of the slate actually shown there. Otherwise of the slate that the optimiser finds, by the
        target network's values or, in double Q-learning, the online network's.
        """
        module, settings = self.module[module_id].unwrapped(), self.config.settings
        net = module.critic
        after = net.observed_in(batch, "next_")
        if settings.target == "sarsa":
            values: Tensor = module.target_slate_values(after, batch["next_slate"])
            return values
        (q, q_null), (v, v_null) = module.target_item_values(after), net.choice(after)
        optimise = OPTIMISERS[settings.target]
        if not settings.double_q:
            if settings.target == "optimal":
                return optimal_values(v, q, v_null, q_null, net.attended, after.mask)
            return optimise(v, q, v_null, q_null, net.attended, after.mask)[1]
        online, online_null = net.item_values(after)
        slate, _ = optimise(v, online, v_null, online_null, net.attended, after.mask)
        return slate_values(of_shown(v, slate), of_shown(q, slate), v_null, q_null)


class SlateQAlgorithmConfig(QLearningAlgorithmConfig):
    """RLlib's config of SlateQ."""

    settings: SlateQConfig

    @override(QLearningAlgorithmConfig)
    def of_run(self, settings: SlateQConfig, run: TrainConfig, seed: int) -> None:
        """Also take the number of users that its values are best learned from."""
        super().of_run(settings, run, seed)
        self.env_runners(num_envs_per_env_runner=settings.users_in(run))


class SlateQ(QLearning):
    """Q-learning of items."""

    config_class = SlateQAlgorithmConfig
    module_class = SlateQModule
    learner_class = SlateQLearner

    @override(QLearning)
    def update(self, columns: dict[str, Any]) -> list[Any]:
        """Learn from rows, of whose next candidates only those are looked at that the best slate may need."""
        settings: Any = self.config.settings
        if settings.target != "sarsa":
            few = enough_of_each_in(columns, self.config.problem.spec, "next_")
            if few is not None:
                columns = {**columns, "next_doc": np.take_along_axis(columns["next_doc"], few, axis=1)}
        return super().update(columns)


class OfflineSlateQ(OfflineAlgorithm):
    """The same from a log."""

    module_class = SlateQModule
    learner_class = SlateQLearner
