"""RLlib's SAC learner on transitions from our replay."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.sac.torch.sac_torch_learner import SACTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override
from torch import Tensor

from recsys_cli.algos.dqn.learner import SampleConnector, SampleLearner
from recsys_cli.algos.optimizers import fused_adam

LOG_TEMPERATURE = "log_temperature"


class ActionConnector(SampleConnector):
    """Adds the index of the shown slate among all slates, and counts rewards in `algo.reward_unit`.

    RLlib's critics have Huber's loss with its bend at 1: in larger units the rare end of a session is not clipped.
    """

    @override(SampleConnector)
    def read_by_losses(self, module: Any, columns: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return RLlib's columns; `actions` [B] are indices into the list of all slates."""
        network, doc = module.net, columns["doc"]
        shown = columns["slate"][:, : network.attended]
        shown = shown if network.ordered else shown.sort(-1).values
        same = (shown[:, None] == network.all_slates(doc.shape[1], doc.device)).all(-1)
        unit = module.model_config["settings"].reward_unit
        return {
            **super().read_by_losses(module, columns),
            Columns.ACTIONS: same.int().argmax(-1),
            Columns.REWARDS: columns["reward"] / unit,
        }


class SlateSACLearner(SampleLearner, SACTorchLearner):
    """The loss is RLlib's."""

    connector = ActionConnector

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: Any) -> None:
        """Make an optimiser for each network, named as RLlib's losses, and for the temperature."""
        module, log_temperature = self._module[module_id], self.curr_log_alpha[module_id]
        networks = {"qf": module.critic, "qf_twin": module.twin, "policy": module.net}
        rates = dict.fromkeys(networks, (config.settings.lr, config.lr_schedule_of_run()))
        parameters = {name: list(network.parameters()) for name, network in networks.items()}
        parameters["alpha"], rates["alpha"] = [log_temperature], (config.alpha_lr, config.alpha_lr)
        for name, params in parameters.items():
            rate, schedule = rates[name]
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=fused_adam(params, rate),
                params=params,
                lr_or_lr_schedule=schedule,
            )

    @override(Learner)
    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add the temperature, which RLlib's checkpoints lack."""
        log_temperature = self.curr_log_alpha[DEFAULT_MODULE_ID].item()
        return {**super().get_state(*args, **kwargs), LOG_TEMPERATURE: log_temperature}

    @override(Learner)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        super().set_state(state)
        if LOG_TEMPERATURE in state:
            self.curr_log_alpha[DEFAULT_MODULE_ID].data.fill_(state[LOG_TEMPERATURE])
