"""Contextual bandits over items: slates by the indices of item values, under the choice model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.networks.choice import KnownChoice
from recsys_cli.networks.features import seen_in
from recsys_cli.policies.bandit import NOT_DRAWN_FROM, BanditPolicy
from recsys_cli.policies.base import Floats, Observation, mask_of, state_of
from recsys_cli.policies.click_models import ConditionalLogit, ItemFeatures, masses
from recsys_cli.policies.item_index import Greedy, Index, PosteriorSample
from recsys_cli.policies.item_values import BanditDesign, ItemValues
from recsys_cli.policies.memory import memory_features
from recsys_cli.policies.parts import Part
from recsys_cli.slates.distributions import SlateDistribution
from recsys_cli.slates.optimisers import OPTIMISERS, Parts, slate_scores, whole_slates

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec


class ItemBanditPolicy(BanditPolicy):
    """Shows the slate of greatest value under the choice model, each item worth its index.

    The choice model is the known one if its score is observable; else a conditional logit learned from clicks, whose
    logits take the index too (for upper bounds: Filippi et al. 2010; for draws: Chapelle & Li 2011). If items not
    clicked count as 0, an item's value includes its chance of a click, and no choice model is needed.
    """

    def __init__(
        self,
        spec: ProblemSpec,
        design: BanditDesign,
        items: ItemValues,
        index: Index,
        epsilon: float = 0.0,
    ) -> None:
        """Make an untrained policy.

        Args:
            spec: the problem; the number of candidates is free.
            design: what it learns from, and how it builds slates.
            items: the posterior of item values.
            index: how it explores.
            epsilon: probability of a random slate when exploring.
        """
        super().__init__(spec, design.memory)
        self.design, self.explore_by, self.epsilon = design, index, epsilon
        self.items = items
        self.optimise = OPTIMISERS[design.slate]
        choice, chosen = spec.choice, design.observe == "clicked"
        self.known = KnownChoice(choice) if chosen and choice.observable else None
        self.choice_features = ItemFeatures(len(spec.user) + memory_features(design.memory, spec), spec.documents)
        learned = chosen and not choice.observable and choice.kind != "first_position"
        self.logit = ConditionalLogit(self.choice_features.size, design.ridge) if learned else None

    def distribution(self, observation: Observation) -> SlateDistribution:
        """Return the slates of greatest expected value."""
        return self._by(Greedy(), observation)

    def behaviour(self, observation: Observation) -> SlateDistribution:
        """Return the slates of greatest index, with random ones among them."""
        return self.mixed(self.epsilon, partial(self._by, self.explore_by), observation)

    def posterior(self, observation: Observation) -> SlateDistribution:
        """Return the slates of greatest value in a posterior draw."""
        return self._by(self.explore_by if self.explore_by.draws else PosteriorSample(1.0), observation)

    def scores(self, observation: Observation) -> Floats:
        """Return what `slate_scores` makes of the expected values."""
        parts, mask = self._valued(Greedy(), observation, NOT_DRAWN_FROM), mask_of(observation)
        return slate_scores(parts, self._slates(parts, mask), self.attended, mask).numpy()

    def _by(self, index: Index, observation: Observation) -> SlateDistribution:
        def choose(observation: Observation, rng: np.random.Generator) -> NDArray[np.int64]:
            return self._slates(self._valued(index, observation, rng), mask_of(observation)).numpy()

        return self.chosen(index.draws, choose, observation)

    def _slates(self, parts: Parts, mask: Tensor | None) -> Tensor:
        return whole_slates(*parts, self.slate_size, self.attended, self.optimise, mask)

    def _valued(self, index: Index, observation: Observation, rng: np.random.Generator) -> Parts:
        """Return choice scores and values of the candidates, `[n, C]` each, and of not clicking, `[n]` each."""
        user, doc = state_of(observation), np.asarray(observation["doc"])
        q = torch.from_numpy(self.items.index(user, doc, index, rng))
        v, v_null = self._choice_scores(observation, user, doc, q, index, rng)
        return v, q, v_null, torch.zeros_like(v_null)

    def _choice_scores(
        self,
        observation: Observation,
        user: NDArray[Any],
        doc: NDArray[Any],
        q: Tensor,
        index: Index,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        if self.known is not None:
            v, v_null = self.known(seen_in(observation, self.problem.documents))
            return v.double(), v_null.double()
        if self.logit is not None:
            logit, x = self.logit, self.choice_features(user, doc)
            return masses(index.joint(x, logit.weights, lambda: logit.factor, rng))
        return torch.ones_like(q), torch.zeros_like(q[:, 0])

    def learn(self, transitions: Mapping[str, np.ndarray]) -> float:
        """See `BanditPolicy.learn`."""
        user, shown = state_of(transitions), transitions["slate_doc"][:, : self.attended]
        clicked, n = transitions["clicked"].astype(np.int64), len(transitions["clicked"])
        there = None if "shown" not in transitions else transitions["shown"][:, : self.attended]
        if self.logit is not None and n:
            self.logit.forget(self.design.forgetting**n)
            self.logit.learn(self.choice_features(user, shown), clicked, there)
        if self.design.observe == "clicked":
            row = np.flatnonzero(clicked < shown.shape[1])
            position = clicked[row]
        else:
            row, position = np.nonzero(np.ones(shown.shape[:2], bool) if there is None else there)
        reward = np.where(clicked[row] == position, transitions["reward"][row], 0.0)
        return self.items.learn(user[row], shown[row, position][:, None], reward, n - 1 - row, n)

    def get_state(self) -> dict[str, Any]:
        """See `BanditPolicy.get_state`."""
        return self.items.get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """See `BanditPolicy.set_state`."""
        self.items.set_state(state)

    def parts(self) -> dict[str, Part]:
        """Return what is learned: the items' values and, if unknown, the choice model."""
        models = {"choice": self.logit, "items": self.items}
        return {name: model for name, model in models.items() if model is not None}
