"""SlateQ's network and the policy that acts with it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from recsys_cli.config.errors import ConfigError
from recsys_cli.networks.choice import choice_model
from recsys_cli.networks.features import observation_tensors
from recsys_cli.networks.item_values import Concat, TwoTower
from recsys_cli.policies import Observation, SlatePolicy
from recsys_cli.policies.history import History, history_features, new_history
from recsys_cli.slates.optimisers import OPTIMISERS, whole_slates

if TYPE_CHECKING:
    from recsys_cli.algos.slateq.config import SlateQConfig
    from recsys_cli.envs.base import EnvConfig


class SlateQNetwork(nn.Module):
    """Item values, the null's value, and choice scores: all that a slate's value needs."""

    def __init__(self, settings: SlateQConfig, env: EnvConfig) -> None:
        """Build the networks for a problem's feature sizes; the number of candidates is free."""
        super().__init__()
        net, spec = settings.network, env.choice_spec()
        sizes = (env.user_features + history_features(settings.history, env), env.doc_features)
        self.values: nn.Module
        if net.kind == "two_tower":
            self.values = TwoTower(*sizes, net.hidden, net.doc_hidden, env.one_hot_docs, net.scale)
        else:
            self.values = Concat(*sizes, net.hidden, net.scale)
        self.choice = choice_model(settings.choice_model, spec, *sizes, env.one_hot_docs)
        self.remembering = partial(new_history, settings.history, env)
        self.learned_null = settings.null_value == "learned"
        self.serving = OPTIMISERS[settings.serving]
        self.slate_size = env.slate_size
        self.attended = min(spec.attended or env.slate_size, env.slate_size)

    def item_values(self, user: Tensor, doc: Tensor) -> tuple[Tensor, Tensor]:
        """Return `q` [B, C] and `q_null` [B], which is 0 in the paper's variant (`null_value=zero`)."""
        q, q_null = self.values(user, doc)
        return q, q_null if self.learned_null else torch.zeros_like(q_null)

    def slates(self, user: Tensor, doc: Tensor) -> Tensor:
        """Return whole slates `[B, k]`: the best one, filled up by value where the user looks at less than k."""
        (v, v_null), (q, q_null) = self.choice(user, doc), self.item_values(user, doc)
        return whole_slates(v, q, v_null, q_null, self.slate_size, self.attended, self.serving)


class SlateQPolicy(SlatePolicy):
    """Shows the slate of greatest value, as `algo.serving` finds it."""

    def __init__(self, network: SlateQNetwork) -> None:
        """Act with `network`, which may go on learning."""
        self.network = network

    @classmethod
    def build(cls, settings: SlateQConfig, env: EnvConfig, seed: int) -> SlateQPolicy:
        """Make an untrained policy; the caller's torch random stream is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(SlateQNetwork(settings, env))

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose greedily; exploration is the runner's."""
        device = next(self.network.parameters()).device
        with torch.no_grad():
            slates = self.network.slates(*observation_tensors(observation, device))
        return slates.cpu().numpy(), np.zeros(len(slates))

    def new_history(self, users: int) -> History:
        """Return the history that `algo.history` names."""
        return self.network.remembering(users)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the network's parameters."""
        return {name: value.detach().cpu().numpy() for name, value in self.network.state_dict().items()}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take back parameters; see `SlatePolicy.load_tensors`."""
        try:
            self.network.load_state_dict({name: torch.tensor(value) for name, value in tensors.items()})
        except RuntimeError as error:
            detail = str(error).splitlines()[-1].strip()
            raise ConfigError(f"the checkpoint's parameters do not fit this env or algo: {detail}") from None
