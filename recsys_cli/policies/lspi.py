"""The policy of least-squares policy iteration: exact slates under item values linear in features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_cli.config.explore import Explore
from recsys_cli.networks.choice import FirstPositionChoice, KnownChoice
from recsys_cli.networks.features import seen_in
from recsys_cli.policies.base import Floats, Observation, certain, drawn, mask_of
from recsys_cli.policies.click_models import ConditionalLogit, ItemFeatures
from recsys_cli.policies.exploration import explored
from recsys_cli.policies.itemwise import ItemwiseFeatures
from recsys_cli.policies.memory import Memory, MemoryKind, new_memory
from recsys_cli.policies.parts import Part, PolicyOfParts
from recsys_cli.slates.distributions import SlateDistribution
from recsys_cli.slates.optimisers import Parts, slate_scores, whole_slates

if TYPE_CHECKING:
    from recsys_cli.envs.spec import ProblemSpec

CHOICE_RIDGE = 1.0  # prior precision of a learned choice model's weights, in observations


class LinearValues:
    """Weights and their covariance.

    Attributes:
        weights: `[D]`.
        covariance: of the estimate, `[D, D]`; 1 each before there is one.
    """

    def __init__(self, size: int) -> None:
        """Begin at zero."""
        self.weights: Floats = np.zeros(size)
        self.covariance: NDArray[np.float32] = np.eye(size, dtype=np.float32)

    def spread(self, covariance: NDArray[Any]) -> None:
        """Take a new covariance."""
        self.covariance = covariance.astype(np.float32)
        self.__dict__.pop("factor", None)

    @cached_property
    def factor(self) -> Floats:
        """F with `F F' = covariance`, `[D, D]`."""
        variances, directions = np.linalg.eigh(self.covariance.astype(np.float64))
        return np.asarray(directions * np.sqrt(np.maximum(variances, 0)))

    def tensors(self) -> dict[str, np.ndarray]:
        """Return copies."""
        return {"weights": self.weights.copy(), "covariance": self.covariance.copy()}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned."""
        self.weights = np.array(tensors["weights"], np.float64)
        self.spread(np.array(tensors["covariance"]))


class LSPIPolicy(PolicyOfParts):
    """Shows the slate of greatest value, exactly; the value of no click is an item's.

    The choice model is the known one if its score is observable; else a conditional logit learned from clicks.

    Attributes:
        features: of items in states.
        values: weights of the features.
        logit: the learned choice model; None if it is known.
        keeps_basis: whether all but the values was learned elsewhere and stays.
    """

    keeps_basis = False

    def __init__(self, spec: ProblemSpec, memory: MemoryKind, fourier: int, epsilon: float, seed: int = 0) -> None:
        """Make an untrained policy.

        Args:
            spec: the problem; the number of candidates is free.
            memory: its session memory.
            fourier: see `ItemwiseFeatures`.
            epsilon: probability of a random slate while it learns by playing.
            seed: of random features.
        """
        self.problem, self.memory, self.epsilon = spec, memory, epsilon
        self.slate_size, self.attended = spec.slate_size, spec.attended
        self.features = ItemwiseFeatures(spec, memory, fourier, seed)
        self.values = LinearValues(self.features.size)
        first = spec.choice.kind == "first_position"
        self.known = FirstPositionChoice() if first else KnownChoice(spec.choice) if spec.choice.observable else None
        self.choice_features = ItemFeatures(self.features.x_size, spec.documents)
        self.logit = None if self.known is not None else ConditionalLogit(self.choice_features.size, CHOICE_RIDGE)

    def learn_basis(self, transitions: Observation) -> None:
        """Learn all but the values: the features' moments, the limit of sessions, and an unknown choice model.

        Args:
            transitions: as of `Steps.transitions`.
        """
        if self.keeps_basis:
            return
        self.features.fit(transitions)
        if self.logit is not None:
            shown = transitions["slate_doc"][:, : self.attended]
            there = None if "shown" not in transitions else transitions["shown"][:, : self.attended]
            self.logit = ConditionalLogit(self.choice_features.size, CHOICE_RIDGE)
            self.logit.learn(self.choice_features(self.chooser(transitions), shown), transitions["clicked"], there)

    def distribution(self, observation: Observation) -> SlateDistribution:
        """See `SlatePolicy.distribution`."""
        return certain(self.slates(observation), observation)

    def behaviour(self, observation: Observation) -> SlateDistribution:
        """Return the same, with random slates among them."""
        return explored(Explore("epsilon", self.epsilon), self, self.distribution)(observation)

    def slates(self, observation: Observation, prefix: str = "") -> NDArray[Any]:
        """Return the slates of greatest value, `[n, k]`.

        Args:
            observation: or transitions.
            prefix: of the columns' names, if transitions.
        """
        return self._best(self.valued(observation, self.values.weights, prefix), _mask(observation, prefix))

    def posterior(self, observation: Observation) -> SlateDistribution:
        """Return the slates of greatest value under weights drawn around the estimate with its covariance."""

        def draw(observation: Observation, rng: np.random.Generator) -> NDArray[Any]:
            weights = self.values.weights + self.values.factor @ rng.standard_normal(self.features.size)
            return self._best(self.valued(observation, weights), mask_of(observation))

        return drawn(draw, self.slate_size, observation)

    def scores(self, observation: Observation) -> Floats:
        """Return what `slate_scores` makes of the values."""
        parts, mask = self.valued(observation, self.values.weights), mask_of(observation)
        slates = torch.from_numpy(self._best(parts, mask))
        return slate_scores(parts, slates, self.attended, mask).numpy()

    def valued(self, observation: Observation, weights: Floats, prefix: str = "") -> Parts:
        """Return choice scores and values of the candidates, `[n, C]` each, and of no click, `[n]` each."""
        doc = np.asarray(observation[f"{prefix}doc"])
        q, q_null = self.features.values(weights, observation, doc, prefix)
        v, v_null = self.choice(observation, doc, prefix)
        return v, torch.from_numpy(q), v_null, torch.from_numpy(q_null)

    def standard_errors(self, observation: Observation) -> tuple[Floats, Floats]:
        """Return those of the values of a click on each candidate, `[n, C]`, and of no click, `[n]`."""
        doc, weights = np.asarray(observation["doc"]), self.values.weights
        blocks = [name for name, block in self.features.blocks.items() if weights[block].any()]
        own = self.features.columns(blocks)
        covariance = self.values.covariance[np.ix_(own, own)].astype(np.float64)
        n, candidates = doc.shape[:2]

        def errors(shown: NDArray[Any], click: float) -> Floats:
            phi = self.features.expected(blocks, observation, shown, np.full((n, 1), click), np.full(n, 1 - click))
            return np.asarray(np.sqrt(np.maximum(((phi @ covariance) * phi).sum(-1), 0)))

        each = [errors(doc[:, i : i + 1], 1.0) for i in range(candidates)]
        return np.stack(each, axis=1), errors(doc[:, :1], 0.0)

    def choice(self, columns: Observation, doc: NDArray[Any], prefix: str = "") -> tuple[torch.Tensor, torch.Tensor]:
        """Return the choice scores `v` [n, m] of documents [n, m, ...], and `v_null` [n]."""
        if self.known is not None:
            v, v_null = self.known(seen_in({"user": columns[f"{prefix}user"], "doc": doc}, self.problem.documents))
            return v.double(), v_null.double()
        assert self.logit is not None
        return self.logit.choice_scores(self.choice_features(self.chooser(columns, prefix), doc))

    def chooser(self, columns: Observation, prefix: str = "") -> Floats:
        """Return what a learned choice model sees of users, `[n, ...]`: all but the session's totals.

        Which documents were clicked says what a user likes; how long the session lasts does not.
        """
        return self.features.raw_state(columns[f"{prefix}user"], columns.get(f"{prefix}memory"))

    def _best(self, parts: Parts, mask: torch.Tensor | None) -> NDArray[Any]:
        return whole_slates(*parts, self.slate_size, self.attended, mask=mask).numpy()

    def new_memory(self, users: int) -> Memory:
        """Return the memory of the constructor."""
        return new_memory(self.memory, self.problem, users)

    def parts(self) -> dict[str, Part]:
        """Return what is learned."""
        parts: dict[str, Part] = {"features": self.features, "values": self.values}
        return parts if self.logit is None else {**parts, "choice": self.logit}


def _mask(columns: Observation, prefix: str) -> torch.Tensor | None:
    return mask_of({"mask": columns.get(f"{prefix}mask")})
