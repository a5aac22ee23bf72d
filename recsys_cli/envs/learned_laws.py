"""What learned users do: the distributions of choice, response, end, drift, first state and candidates.

All are plain data: `offline.simulator` fits them, `learned_files` keeps them, `LearnedVectorEnv` draws from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs import choice_models
from recsys_cli.envs.learned_session import Basis, Context
from recsys_cli.envs.spec import ChoiceSpec, ProblemSpec

Floats = NDArray[np.float64]

LOGIT = ChoiceSpec(choice_models.LOGIT, no_click_mass=0.0)
LARGEST = 30.0  # logit beyond which a probability is as good as 0 or 1


@dataclass(frozen=True)
class Linear:
    """A linear function of some blocks of features.

    Attributes:
        blocks: their names, `one` first.
        weights: `[P]`, or `[K, P]` of K classes of users.
    """

    blocks: tuple[str, ...]
    weights: Floats

    def of(self, basis: Basis, context: Context, kinds: NDArray[Any] | None = None) -> Floats:
        """Return its values `[n, m]`; `kinds` `[n]` are the users' classes, if the weights have any."""
        features = basis(self.blocks, context)
        if self.weights.ndim == 1:
            return np.asarray(features @ self.weights)
        assert kinds is not None
        if len(self.weights) == 1:
            return np.asarray(features @ self.weights[0])
        return np.einsum("nmp,np->nm", features, self.weights[kinds])


def chance(logits: Floats) -> Floats:
    """Return probabilities of logits."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -LARGEST, LARGEST))))


@dataclass(frozen=True)
class Choice:
    """Which of the shown documents is clicked, if any.

    Attributes:
        known: the choice model that the log's spec states, on observed scores; else a logit was learned.
        logit: of clicking a document against 0 for none, with one row of weights a class of users.
        shares: of the classes among users, `[K]`.
    """

    known: ChoiceSpec | None
    logit: Linear | None
    shares: Floats

    def scored(self, basis: Basis, context: Context, kinds: NDArray[Any]) -> tuple[ChoiceSpec, Floats]:
        """Return the choice model and the documents' scores, `[n, m]`."""
        if self.known is not None:
            return self.known, np.einsum("nu,nmu->nm", context.user, context.doc, dtype=np.float64)
        assert self.logit is not None
        return LOGIT, self.logit.of(basis, context, kinds)

    def draw(
        self, basis: Basis, context: Context, kinds: NDArray[Any], shown: NDArray[np.bool_] | None, rng: Any
    ) -> NDArray[np.intp]:
        """Return the position clicked, `[n]`; m for none."""
        if self.known is not None and self.known.kind == "first_position":
            return np.zeros(len(context.doc), np.intp)
        spec, scores = self.scored(basis, context, kinds)
        return choice_models.choose(spec, scores, rng.random(len(scores)), shown)


@dataclass(frozen=True)
class Amount:
    """A number: one of a few values that recur, else a mean and a spread times a residual of the log.

    Attributes:
        values: that recur, `[A]`.
        switches: logit of each of them, given that it is none of those before; one less if nothing else occurs.
        log: whether mean and spread are of its logarithm.
        mean: of the rest; None if nothing else occurs.
        spread: logarithm of its standard deviation.
        noise: standardised residuals, sorted, `[R]`.
        low: its lowest value.
        high: its highest.
    """

    values: Floats
    switches: tuple[Linear, ...]
    log: bool
    mean: Linear | None
    spread: Linear | None
    noise: Floats
    low: float
    high: float

    def draw(self, basis: Basis, context: Context, rng: Any) -> Floats:
        """Return draws `[n, m]`."""
        shape = context.doc.shape[:2]
        if self.mean is None:
            drawn, open_ = np.full(shape, self.values[-1]), np.ones(shape, np.bool_)
        else:
            assert self.spread is not None
            noise = self.noise[rng.integers(len(self.noise), size=shape)]
            drawn = self.mean.of(basis, context) + np.exp(self.spread.of(basis, context)) * noise
            drawn = np.exp(drawn) if self.log else drawn
            drawn, open_ = np.clip(drawn, self.low, self.high), np.ones(shape, np.bool_)
        for value, switch in zip(self.values, self.switches, strict=False):
            here = open_ & (rng.random(shape) < chance(switch.of(basis, context)))
            drawn[here] = value
            open_ &= ~here
        return np.asarray(drawn)


@dataclass(frozen=True)
class Field:
    """A response field.

    Attributes:
        name: the field's.
        of: every document `shown`, or the one `clicked`; its `topic`'s number; or the `reward` within the bounds.
        amount: how it is drawn; None for the last two.
    """

    name: str
    of: Literal["shown", "clicked", "topic", "reward"]
    amount: Amount | None


@dataclass(frozen=True)
class Reward:
    """What a step is worth.

    Attributes:
        field: the response field that is the reward of a click; None: it has a law of its own.
        amount: that law.
        unclicked: of a slate that is not clicked.
    """

    field: str | None
    amount: Amount | None
    unclicked: float


@dataclass(frozen=True)
class Ending:
    """When a session ends.

    Attributes:
        length: steps of every session, if all have the same.
        hazard: logit of ending after a step, from user and session so far.
        limit: steps after which a session ends in any case: far beyond the log's longest.
    """

    length: int | None
    hazard: Linear | None
    limit: int

    def draw(self, basis: Basis, context: Context, rng: Any) -> NDArray[np.bool_]:
        """Return whether the sessions end, `[n]`, after `context.session`."""
        steps = context.session[:, 0]
        if self.length is not None:
            return np.asarray(steps >= self.length)
        ended = steps >= self.limit
        if self.hazard is not None:
            ended |= rng.random(len(steps)) < chance(self.hazard.of(basis, context)[:, 0])
        return np.asarray(ended)


@dataclass(frozen=True)
class TopicDrift:
    """A click moves the user's feature of the clicked topic by a step up or down; nothing else changes.

    Attributes:
        moves: logit of moving at all, `[B]`; None: always. The B features are those of `curve`.
        rises: logit of moving up, `[B + f]`: of the feature, and of the click's response fields.
        sizes: mean size of a step down and up, `[2, B]`.
        noise: residuals of the sizes, sorted, `[2, R]`.
    """

    moves: Floats | None
    rises: Floats
    sizes: Floats
    noise: Floats

    @staticmethod
    def curve(x: NDArray[Any]) -> Floats:
        """Return features `[n, B]` of a user's feature: a cubic with a kink at 0."""
        x = np.asarray(x, np.float64)
        return np.stack([np.ones_like(x), x, np.abs(x), x * x, x * np.abs(x), x**3], axis=-1)

    def draw(self, x: NDArray[Any], fields: Floats, rng: Any) -> Floats:
        """Return the changes `[n]` of the features `x` `[n]`."""
        curve = self.curve(x)
        up = rng.random(len(x)) < chance(np.concatenate([curve, fields], axis=1) @ self.rises)
        which = up.astype(np.intp)
        size = (curve * self.sizes[which]).sum(1)
        size += self.noise[which, rng.integers(self.noise.shape[1], size=len(x))]
        change = np.where(up, 1.0, -1.0) * np.maximum(size, 0.0)
        if self.moves is not None:
            change[rng.random(len(x)) >= chance(curve @ self.moves)] = 0.0
        return np.asarray(change)


@dataclass(frozen=True)
class LinearDrift:
    """All of the user's features change linearly, with whole residuals of the log added.

    Attributes:
        weights: of 1, user, whether it was clicked, the clicked document and its response fields, `[Z, U]`.
        noise: residuals, `[R, U]`.
    """

    weights: Floats
    noise: Floats

    @staticmethod
    def features(user: NDArray[Any], clicked: NDArray[Any], doc: NDArray[Any], fields: Floats) -> Floats:
        """Return `[n, Z]`; document `[n, F]` and fields `[n, f]` are zeros without a click."""
        parts = [np.ones((len(user), 1)), user, clicked[:, None], doc, fields]
        return np.concatenate(parts, axis=1, dtype=np.float64)

    def draw(self, features: Floats, rng: Any) -> Floats:
        """Return the changes `[n, U]`."""
        return np.asarray(features @ self.weights + self.noise[rng.integers(len(self.noise), size=len(features))])


Drift = TopicDrift | LinearDrift


@dataclass(frozen=True)
class Start:
    """First states of users: the log's, smoothed.

    Attributes:
        users: first observations, `[E, U]` float32.
        bandwidth: of the noise added to each feature, `[U]`; 0: none.
        independent: whether features are drawn independently of each other.
    """

    users: NDArray[np.float32]
    bandwidth: Floats
    independent: bool

    def draw(self, size: int, spec: ProblemSpec, rng: Any) -> NDArray[np.float32]:
        """Return users `[size, U]`; noise that leads out of the spec's bounds is reflected."""
        width = self.users.shape[1]
        if self.independent:
            users = self.users[rng.integers(len(self.users), size=(size, width)), np.arange(width)]
        else:
            users = self.users[rng.integers(len(self.users), size=size)]
        if self.bandwidth.any():
            low, high = spec.user.bounds
            users = users + self.bandwidth * rng.standard_normal((size, width))
            users = np.where(users < low, 2 * low - users, np.where(users > high, 2 * high - users, users))
            users = np.clip(users, low, high)
        return np.asarray(users, np.float32)


@dataclass(frozen=True)
class Offers:
    """Candidates, as offered in the log.

    Attributes:
        sets: numbers `[S, C]`, or features `[S, C, F]` float32.
        counts: candidates of each set, the rest of the row being empty, `[S]`; None: all.
        slates: shown of them in the log, positions `[S, k]`; -1 for none.
    """

    sets: NDArray[Any]
    counts: NDArray[Any] | None
    slates: NDArray[Any]

    @property
    def pool(self) -> NDArray[Any]:
        """All candidates in one row, `[P]` or `[P, F]`: more or fewer of them are drawn independently."""
        if self.counts is None:
            return self.sets.reshape(-1, *self.sets.shape[2:])
        return np.asarray(self.sets[np.arange(self.sets.shape[1]) < self.counts[:, None]])
