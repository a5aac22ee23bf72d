"""Contextual bandits over items: linear models of what an item brings, slates by an index under the choice model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.networks.choice import KnownChoice
from recsys_cli.policies.bandit import BanditPolicy
from recsys_cli.policies.base import Observation
from recsys_cli.policies.click_models import ConditionalLogit, FeatureKind, ItemFeatures, feature_kind, masses
from recsys_cli.policies.exploration import Greedy, Index, epsilon_greedy
from recsys_cli.policies.history import HistoryKind, history_features
from recsys_cli.policies.parts import Part
from recsys_cli.policies.posterior import Floats, LinearRegressions
from recsys_cli.slates.optimisers import OPTIMISERS, whole_slates

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig

Parameters = Literal["shared", "disjoint"]
Observe = Literal["clicked", "shown"]


@dataclass(frozen=True)
class LinearDesign:
    """What a linear bandit models, and how.

    Attributes:
        parameters: one model of all items, or one a topic.
        features: what a model sees.
        observe: the reward of clicked items, or also 0 of items that were shown and not clicked.
        slate: name of the slate optimiser.
        ridge: precision of the prior of every weight, in observations.
        forgetting: weight that an observation keeps at every env step.
        history: what is remembered of a session.
    """

    parameters: Parameters
    features: FeatureKind | Literal["auto"]
    observe: Observe
    slate: str
    ridge: float
    forgetting: float
    history: HistoryKind


class ItemModels:
    """Item values: linear in features of user and document, with one model for all items or one a topic.

    One model a topic sees 1 and, unless `features` is `doc`, the user; the topic's own products with the user are then
    all that there is, so `user_doc` and `interactions` are the same.
    """

    def __init__(self, env: EnvConfig, design: LinearDesign) -> None:
        """Begin at the prior."""
        self.disjoint = design.parameters == "disjoint"
        users = env.user_features + history_features(design.history, env)
        if self.disjoint:
            self.with_user = feature_kind(design.features, users, 0) != "doc"
            models, size = env.doc_features, 1 + users * self.with_user
        else:
            self.features = ItemFeatures(users, env.doc_features, env.one_hot_docs, design.features)
            models, size = 1, self.features.size
        self.regressions = LinearRegressions(models, size, design.ridge, design.forgetting)

    def index(self, user: NDArray[Any], doc: NDArray[Any], index: Index, rng: np.random.Generator) -> Floats:
        """Return the index of each candidate's value, `[n, C]`; items of one topic share what is drawn for them."""
        belief = self.regressions
        if not self.disjoint:
            x = self.features(user, doc)
            return index.joint(x, belief.weights[0], lambda: belief.noise * belief.factor[0], rng)
        x = self._about(user)
        every = index.separate(x @ belief.weights.T, lambda: belief.deviations(x), rng)
        return np.take_along_axis(every, topics(doc), axis=1)

    def learn(
        self, user: NDArray[Any], doc: NDArray[Any], y: NDArray[Any], age: NDArray[np.int64], passed: int
    ) -> float:
        """Add what items brought; see `LinearRegressions.learn`.

        Args:
            user: `[r, U]`.
            doc: one document each, `[r, 1, F]` or `[r, 1]`.
            y: `[r]`.
            age: `[r]`.
            passed: env steps of the batch.

        Returns:
            The mean squared error of what was believed before.
        """
        belief = self.regressions
        if self.disjoint:
            x, model = self._about(user), topics(doc)[:, 0]
            expected = np.einsum("rp,rp->r", x, belief.weights[model])
        else:
            x, model = self.features(user, doc)[:, 0], None
            expected = belief.predict(x)
        belief.learn(x, y, model, age, passed)
        return float(np.square(expected - y).mean()) if len(y) else 0.0

    def _about(self, user: NDArray[Any]) -> Floats:
        ones = np.ones((len(user), 1))
        return np.concatenate([ones, user], axis=1) if self.with_user else ones


def topics(doc: NDArray[Any]) -> NDArray[np.int64]:
    """Return the topics `[n, m]` of documents that are one-hot, `[n, m, F]`, or numbers already."""
    return (doc if doc.ndim == 2 else doc.argmax(-1)).astype(np.int64)


class LinearBanditPolicy(BanditPolicy):
    """Shows the slate of greatest value under the choice model, each item worth its index.

    The choice model is the known one where its score is observable; else a conditional logit learned from the clicks,
    whose logits take the index too (for upper bounds: Filippi et al. 2010; for draws: Chapelle & Li 2011). Where items
    that were not clicked count as 0, an item's value holds its chance of a click, and no choice model is needed.
    """

    def __init__(self, env: EnvConfig, design: LinearDesign, index: Index, epsilon: float = 0.0, seed: int = 0) -> None:
        """Make an untrained policy.

        Args:
            env: the problem; the number of candidates is free.
            design: the models.
            index: how it explores.
            epsilon: probability of a random slate when exploring.
            seed: of what it draws.
        """
        super().__init__(env, design.history, seed)
        self.design, self.explore_by, self.epsilon = design, index, epsilon
        self.items = ItemModels(env, design)
        self.optimise = OPTIMISERS[design.slate]
        spec, chosen = env.choice_spec(), design.observe == "clicked"
        self.known = KnownChoice(spec) if chosen and spec.observable else None
        self.choice_features = ItemFeatures(
            env.user_features + history_features(design.history, env), env.doc_features, env.one_hot_docs
        )
        learned = chosen and not spec.observable and spec.kind != "first_position"
        self.logit = ConditionalLogit(self.choice_features.size, design.ridge) if learned else None

    def act(self, observation: Observation, *, explore: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Choose slates; see `SlatePolicy.act`."""
        user, doc = np.asarray(observation["user"]), np.asarray(observation["doc"])
        index: Index = self.explore_by if explore else Greedy()
        q = torch.from_numpy(self.items.index(user, doc, index, self.rng))
        v, v_null = self._choice_scores(user, doc, q, index)
        slates = whole_slates(
            v, q, v_null, torch.zeros_like(v_null), self.slate_size, self.attended, self.optimise
        ).numpy()
        if explore and self.epsilon:
            return epsilon_greedy(self.rng, slates, doc.shape[1], self.epsilon)
        return slates, np.full(len(slates), np.nan if index.draws else 0.0)

    def _choice_scores(self, user: NDArray[Any], doc: NDArray[Any], q: Tensor, index: Index) -> tuple[Tensor, Tensor]:
        if self.known is not None:
            v, v_null = self.known(torch.from_numpy(user), torch.from_numpy(doc))
            return v.double(), v_null.double()
        if self.logit is not None:
            logit, x = self.logit, self.choice_features(user, doc)
            return masses(index.joint(x, logit.weights, lambda: logit.factor, self.rng))
        return torch.ones_like(q), torch.zeros_like(q[:, 0])

    def learn(self, transitions: Mapping[str, np.ndarray]) -> float:
        """See `BanditPolicy.learn`."""
        user, shown = transitions["user"], transitions["slate_doc"][:, : self.attended]
        clicked, n = transitions["clicked"].astype(np.int64), len(transitions["clicked"])
        if self.logit is not None and n:
            self.logit.forget(self.design.forgetting**n)
            self.logit.learn(self.choice_features(user, shown), clicked)
        if self.design.observe == "clicked":
            row = np.flatnonzero(clicked < shown.shape[1])
            position = clicked[row]
        else:
            row, position = (at.ravel() for at in np.indices(shown.shape[:2]))
        reward = np.where(clicked[row] == position, transitions["reward"][row], 0.0)
        return self.items.learn(user[row], shown[row, position][:, None], reward, n - 1 - row, n)

    def parts(self) -> dict[str, Part]:
        """Return what is learned: the items' values and, where it is not known, the choice."""
        models = {"choice": self.logit, "items": self.items.regressions}
        return {name: model for name, model in models.items() if model is not None}
