"""Schemas of `conf/router`: how a service chooses among its policies."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Annotated, Literal

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import (
    Above,
    Count,
    Fraction,
    NonNegative,
    NotEmpty,
    Positive,
    Signed,
    Text,
)

SERVERS = ("postgresql", "postgresql+psycopg")


@dataclass(frozen=True)
class RouterConfig:
    """What every router has.

    Attributes:
        name: the name of its yaml.
        epoch_seconds: how long the router's probabilities stay as they are.
        floor: least share of sessions that the control gets.
        unit: what is compared: the return of a session, or the reward of a decision.
        wait_seconds: after which a decision without a reward counts with the default.
        default_reward: of a decision without one.
        aggregation: of several rewards of one decision: their sum, or the earliest.
        state: database of the router's state, a URL; None: a SQLite file in the service's folder.
    """

    name: str
    epoch_seconds: Positive
    floor: Fraction
    unit: Literal["session", "decision"]
    wait_seconds: Positive
    default_reward: Signed
    aggregation: Literal["sum", "earliest"]
    state: Text | None

    def __post_init__(self) -> None:
        """Check the kind of database, and that its driver is installed."""
        kind = None if self.state is None else self.state.partition("://")[0]
        if kind not in (None, "sqlite", *SERVERS):
            raise ConfigError(
                "router.state is the URL of no database that can be used; allowed: sqlite:///<file>, "
                "postgresql://<user>@<host>/<database>, null"
            )
        if kind in SERVERS and importlib.util.find_spec("psycopg") is None:
            raise ConfigError(
                "router.state=postgresql://... needs psycopg, not installed: pip install 'psycopg[binary]'"
            )


@dataclass(frozen=True)
class ThompsonRouter(RouterConfig):
    """Thompson sampling on the mean of each policy's rewards."""


@dataclass(frozen=True)
class UCB1Router(RouterConfig):
    """The policy with the greatest upper confidence bound.

    Attributes:
        width: of the confidence bounds, in standard errors at one doubling of the evidence; 1 is Auer's.
    """

    width: NonNegative


@dataclass(frozen=True)
class EpsilonGreedyRouter(RouterConfig):
    """The policy with the greatest mean, and sometimes any.

    Attributes:
        epsilon: probability of any.
    """

    epsilon: Fraction


@dataclass(frozen=True)
class LinUCBRouter(RouterConfig):
    """The policy with the greatest upper confidence bound for this user, linear in the user's features.

    Attributes:
        alpha: width of the confidence bounds, in standard deviations.
        ridge: strength of the prior, in observations.
    """

    alpha: NonNegative
    ridge: Positive


@dataclass(frozen=True)
class ABTestRouter(RouterConfig):
    """Fixed shares, and a test whether a policy differs from the control.

    Attributes:
        shares: of the policies in order; None: equal ones.
        test: `sequential` holds however often one looks; `fixed_horizon` is decided once, after `horizon` observations.
        alpha: probability of a false alarm, over all comparisons together.
        effect: difference, in standard deviations, at which the sequential test is sharpest.
        horizon: observations after which the fixed-horizon test is decided.
    """

    shares: Annotated[list[Fraction], NotEmpty()] | None
    test: Literal["sequential", "fixed_horizon"]
    alpha: Annotated[float, Above(0, 0.5)]
    effect: Positive
    horizon: Count

    def __post_init__(self) -> None:
        """Check that the shares are those of a whole."""
        super().__post_init__()
        if self.shares is not None and abs(sum(self.shares) - 1) > 1e-6:
            raise ConfigError(f"router.shares={self.shares} add up to {sum(self.shares):g}, not to 1")


@dataclass(frozen=True)
class ShadowRouter(RouterConfig):
    """The control decides; the others are scored."""


@dataclass(frozen=True)
class ApprenticeRouter(RouterConfig):
    """The caller's order is kept; the policies are scored, and their agreement with the caller is reported."""


@dataclass(frozen=True)
class LoggingOnlyRouter(RouterConfig):
    """The caller's order is kept, and no policy is asked."""
