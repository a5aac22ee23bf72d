"""Schemas of `conf/router`: how a service chooses among its policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from recsys_cli.config.ranges import Fraction, Positive, Signed, Text


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

    decides: ClassVar[bool] = True  # whether it chooses slates; else the caller's order is kept


@dataclass(frozen=True)
class ThompsonRouter(RouterConfig):
    """Thompson sampling on the mean of each policy's rewards."""
