"""What a router is: a rule from the policies' past rewards to the probabilities with which they are chosen.

At the end of an epoch `freeze` turns the statistics of the arms (one for each live policy, the control's first) into a
state, plain values that are written as JSON. During the next epoch every replica computes the same probabilities from
it: a choice can be repeated, and its propensity is exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.routers import RouterConfig

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
State = Mapping[str, Any]
Law = Callable[[NDArray[Any]], Floats]
Mode = Literal["online", "shadow", "apprentice", "logging_only"]
C = TypeVar("C", bound=RouterConfig)


@dataclass(frozen=True)
class Arm:
    """The rewards of a policy's version. Sums are exact: they do not depend on the order of observations, by no bit.

    Attributes:
        count: observations: sessions or decisions, as `router.unit` says.
        total: of their rewards.
        squares: of their squared rewards.
        gram: of routers that look at the user: summed `x x'`, `[P, P]`, with `x = (1, user)`.
        moment: summed `x reward`, `[P]`.
    """

    count: int = 0
    total: Fraction = Fraction(0)
    squares: Fraction = Fraction(0)
    gram: Floats | None = None
    moment: Floats | None = None

    @property
    def mean(self) -> float:
        """The mean reward; 0 without any."""
        return float(self.total / self.count) if self.count else 0.0

    @property
    def scatter(self) -> float:
        """Summed squared distances from the mean."""
        return float(self.squares - self.total**2 / self.count) if self.count else 0.0

    def plus(self, rewards: Sequence[float], users: Floats | None = None) -> Arm:
        """Return the arm with a batch of observations added.

        Args:
            rewards: `[n]`.
            users: features `[n, U]`, for routers that look at them.
        """
        exact = [float(reward).as_integer_ratio() for reward in rewards]
        total = self.total + _sum(exact)
        squares = self.squares + _sum((top * top, bottom * bottom) for top, bottom in exact)
        gram, moment = self.gram, self.moment
        if users is not None and exact:
            x = with_one(users)
            gram = x.T @ x + (0 if gram is None else gram)
            moment = np.asarray(rewards, np.float64) @ x + (0 if moment is None else moment)
        return Arm(self.count + len(exact), total, squares, gram, moment)


class Router(ABC, Generic[C]):
    """A rule by which policies are chosen.

    Attributes:
        config: its settings.
        names: of the policies, `[M]`; the first is the control.
        mode: `online`: the chosen policy's slate is shown; `shadow`: the control's, and others are scored;
            `apprentice`: the caller's, and policies are scored; `logging_only`: the caller's, and none is asked.
        by_user: whether probabilities depend on the user's features.
        evidence: which statistics it learns from; those that others with the same word collected, too.
    """

    mode: ClassVar[Mode] = "online"
    by_user: ClassVar[bool] = False
    evidence: ClassVar[str] = "any"

    def __init__(self, config: C, names: Sequence[str]) -> None:
        """Take the settings and the policies' names.

        Raises:
            ConfigError: settings that do not fit the number of policies.
        """
        self.config, self.names = config, tuple(names)

    @abstractmethod
    def freeze(self, arms: Sequence[Arm], before: State) -> State:
        """Return what probabilities follow from until the next epoch.

        Args:
            arms: of the policies, `[M]`.
            before: the state of the epoch before, if it was about the same versions; else empty.
        """

    @abstractmethod
    def law(self, state: State, enabled: Bools) -> Law:
        """Return the probabilities of the policies, `[N, M]`, as a function of the users' features `[N, U]`.

        The floor is in them.

        Args:
            state: of the epoch.
            enabled: which policies may be chosen, `[M]`; the control always may. Others get 0.
        """

    def report(self, state: State) -> dict[str, Any]:
        """Return what is worth saying of a state beside the policies' statistics."""
        return {}


class SameForAll(Router[C]):
    """A rule that does not look at the user."""

    def law(self, state: State, enabled: Bools) -> Law:
        """See `Router.law`."""
        shares = with_floor(self.shares(state, enabled), self.config.floor)
        return lambda user: np.broadcast_to(shares, (len(user), len(shares)))

    @abstractmethod
    def shares(self, state: State, enabled: Bools) -> Floats:
        """Return the probabilities of the policies without the floor, `[M]`; see `law`."""


def among(values: Floats, enabled: Bools) -> Floats:
    """Return the probabilities that go to the greatest value among enabled policies, shared by ties, `[..., M]`."""
    values = np.where(enabled, values, -np.inf)
    best = values == values.max(-1, keepdims=True)
    shares: Floats = best / best.sum(-1, keepdims=True)
    return shares


def with_floor(shares: Floats, floor: float) -> Floats:
    """Return the shares `[..., M]` with at least `floor` for the first; the others' keep their proportions."""
    control = shares[..., :1]
    lifted = np.maximum(control, floor)
    scale = np.divide(1 - lifted, 1 - control, out=np.ones_like(control), where=lifted > control)
    return np.concatenate([lifted, shares[..., 1:] * scale], axis=-1)


def _sum(ratios: Iterable[tuple[int, int]]) -> Fraction:
    """Return the sum of fractions, of which many have the same denominator."""
    tops: dict[int, int] = defaultdict(int)
    for top, bottom in ratios:
        tops[bottom] += top
    return sum((Fraction(top, bottom) for bottom, top in tops.items()), Fraction(0))


def with_one(users: Floats) -> Floats:
    """Return features with a leading 1, `[n, 1 + U]`, float64."""
    users = np.asarray(users, np.float64)
    return np.concatenate([np.ones((len(users), 1)), users], axis=1)
