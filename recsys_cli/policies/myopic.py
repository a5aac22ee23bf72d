"""The myopic baseline: the slate of greatest expected immediate reward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.networks.choice import KnownChoice
from recsys_cli.networks.features import seen_in
from recsys_cli.policies.base import Floats, GreedyPolicy, Observation, mask_of
from recsys_cli.policies.click_models import ConditionalLogit, ItemFeatures
from recsys_cli.policies.parts import Part, PolicyOfParts
from recsys_cli.policies.posterior import LinearRegressions
from recsys_cli.slates.optimisers import Parts, slate_scores, whole_slates

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


class MyopicPolicy(PolicyOfParts, GreedyPolicy):
    """Maximises P(click) x E[reward of the click], looking no further than the current slate.

    If the affinity is observable, the choice model is known and the reward of a click is assumed the same for all
    documents: it ranks by affinity and learns nothing. Otherwise `learn` fits, on the clicks of any slates, a
    conditional logit (unless the user always takes the first document) and a linear mean reward of a click.
    """

    def __init__(self, spec: ProblemSpec, ridge: float) -> None:
        """Make an untrained policy.

        Args:
            spec: the problem; the number of candidates is free.
            ridge: precision of the Gaussian prior of every learned weight.
        """
        choice = spec.choice
        self.slate_size = spec.slate_size
        self.attended, self.documents = spec.attended, spec.documents
        self.features = ItemFeatures(len(spec.user), spec.documents)
        self.known = KnownChoice(choice) if choice.observable else None
        first = choice.kind == "first_position"
        self.logit = None if first or choice.observable else ConditionalLogit(self.features.size, ridge)
        self.reward = None if choice.observable else LinearRegressions(1, self.features.size, ridge)

    @property
    def learns(self) -> bool:
        """Whether there is anything to learn."""
        return bool(self.parts())

    def learn(self, transitions: Mapping[str, np.ndarray]) -> None:
        """Fit to transitions: `user`, `slate_doc`, `clicked` and `reward` from `Chunk.transitions`."""
        if not self.learns or not len(transitions["clicked"]):
            return
        shown = self.features(transitions["user"], transitions["slate_doc"])
        clicked = transitions["clicked"].astype(np.int64)
        if self.logit is not None:
            self.logit.learn(shown, clicked, transitions.get("shown"))
        if self.reward is not None:
            rows = np.flatnonzero(clicked < shown.shape[1])
            self.reward.learn(shown[rows, clicked[rows]], transitions["reward"][rows])

    def slates(self, observation: Observation) -> NDArray[Any]:
        """See `GreedyPolicy.slates`."""
        return self._best(self._values(observation), mask_of(observation)).numpy()

    def scores(self, observation: Observation) -> Floats:
        """Return the logarithms of choice scores if all clicks are worth the same; else see `slate_scores`."""
        parts, mask = self._values(observation), mask_of(observation)
        if self.known is not None:
            return log_weights(parts[0])
        return slate_scores(parts, self._best(parts, mask), self.attended, mask).double().numpy()

    def _best(self, parts: Parts, mask: Tensor | None) -> Tensor:
        return whole_slates(*parts, self.slate_size, self.attended, mask=mask)

    def _values(self, observation: Observation) -> Parts:
        """Return choice scores [n, C], rewards of a click [n, C], and score and reward of not clicking [n] each."""
        v, q, v_null = self._models(observation)
        return v, q, v_null, torch.zeros_like(v_null)

    def _models(self, observation: Observation) -> tuple[Tensor, Tensor, Tensor]:
        if self.known is not None:
            v, v_null = self.known(seen_in(observation, self.documents))
            return v, torch.ones_like(v), v_null
        features = self.features(np.asarray(observation["user"]), np.asarray(observation["doc"]))
        q = torch.from_numpy(np.ones(features.shape[:2]) if self.reward is None else self.reward.predict(features))
        if self.logit is not None:
            v, v_null = self.logit.choice_scores(features)
        else:  # the first document is clicked, whatever it is
            v, v_null = torch.ones_like(q), torch.zeros_like(q[:, 0])
        return v, q, v_null

    def parts(self) -> dict[str, Part]:
        """Return what is learned: the choice and the reward of a click."""
        models = {"choice": self.logit, "reward": self.reward}
        return {name: model for name, model in models.items() if model is not None}


def log_weights(v: Tensor) -> Floats:
    """Return the finite logarithms of choice scores: those of a logit up to a constant."""
    return v.double().clamp_min(torch.finfo(torch.float64).tiny).log().numpy()
