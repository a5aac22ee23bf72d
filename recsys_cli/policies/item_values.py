"""Item values that contextual bandits learn in closed form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_cli.policies.click_models import FeatureKind, ItemFeatures, feature_kind
from recsys_cli.policies.item_index import Index
from recsys_cli.policies.memory import MemoryKind, memory_features
from recsys_cli.policies.posterior import Floats, LinearRegressions

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

Parameters = Literal["shared", "disjoint"]
Kind = FeatureKind | Literal["auto"]
Observe = Literal["clicked", "shown"]


@dataclass(frozen=True)
class BanditDesign:
    """Shared by contextual bandits.

    Attributes:
        observe: learn the reward of clicked items, or also 0 for items shown but not clicked.
        slate: name of the slate optimiser.
        ridge: precision of the prior of every weight, in observations.
        forgetting: factor by which an observation's weight falls per env step.
        memory: the session memory.
    """

    observe: Observe
    slate: str
    ridge: float
    forgetting: float
    memory: MemoryKind


class ItemValues(ABC):
    """A posterior of item values."""

    @abstractmethod
    def index(self, user: NDArray[Any], doc: NDArray[Any], index: Index, rng: np.random.Generator) -> Floats:
        """Return the index of each candidate's value, `[n, C]`; items of one topic share what is drawn for them."""

    @abstractmethod
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
            The mean squared error of the prior predictions.
        """

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """Return what acting needs, by name."""

    @abstractmethod
    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned; names and shapes are right."""

    def get_state(self) -> dict[str, Any]:
        """Return what further learning needs besides the tensors."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (most have none)
        """Restore what `get_state` returned."""


class LinearItems(ItemValues):
    """Item values linear in features of user and document, with one model for all items or one per topic.

    A topic's own model sees 1 and, unless `kind` is `doc`, the user; products with the topic add nothing then, so
    `user_doc` and `interactions` are the same.
    """

    def __init__(self, spec: ProblemSpec, design: BanditDesign, parameters: Parameters, kind: Kind) -> None:
        """Begin at the prior.

        Args:
            spec: the problem; the number of candidates is free.
            design: gives prior, forgetting and memory.
            parameters: `shared` (one model) or `disjoint` (one per topic).
            kind: which features a model sees.
        """
        self.disjoint, self.documents = parameters == "disjoint", spec.documents
        users = len(spec.user) + memory_features(design.memory, spec)
        if self.disjoint:
            self.with_user = feature_kind(kind, users, 0) != "doc"
            models, size = len(spec.documents), 1 + users * self.with_user
        else:
            self.features = ItemFeatures(users, spec.documents, kind)
            models, size = 1, self.features.size
        self.regressions = LinearRegressions(models, size, design.ridge, design.forgetting)

    def index(self, user: NDArray[Any], doc: NDArray[Any], index: Index, rng: np.random.Generator) -> Floats:
        """See `ItemValues.index`."""
        belief = self.regressions
        if not self.disjoint:
            x = self.features(user, doc)
            return index.joint(x, belief.weights[0], lambda: belief.noise * belief.factor[0], rng)
        x = self._about(user)
        every = index.separate(x @ belief.weights.T, lambda: belief.deviations(x), rng)
        return np.take_along_axis(every, self.documents.topics_of(doc), axis=1)

    def learn(
        self, user: NDArray[Any], doc: NDArray[Any], y: NDArray[Any], age: NDArray[np.int64], passed: int
    ) -> float:
        """See `ItemValues.learn`."""
        belief = self.regressions
        if self.disjoint:
            x, model = self._about(user), self.documents.topics_of(doc)[:, 0]
            expected = np.einsum("rp,rp->r", x, belief.weights[model])
        else:
            x, model = self.features(user, doc)[:, 0], None
            expected = belief.predict(x)
        belief.learn(x, y, model, age, passed)
        return float(np.square(expected - y).mean()) if len(y) else 0.0

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learned."""
        return self.regressions.tensors()

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned."""
        self.regressions.load_tensors(tensors)

    def _about(self, user: NDArray[Any]) -> Floats:
        ones = np.ones((len(user), 1))
        return np.concatenate([ones, user], axis=1) if self.with_user else ones
