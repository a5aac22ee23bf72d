"""What came of a decision, from the reports about it: in any order, late, or sent twice."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from recsys_cli.serving.log.records import RewardRecord, encode_lines

CLICK = "click"
Aggregation = Literal["sum", "earliest"]


@dataclass(frozen=True)
class Outcome:
    """What came of a decision.

    Attributes:
        value: its reward; None if no report has one.
        response: of the user by field, `[k]` each; what wasn't reported is 0. None if nothing was reported.
        final: whether the session was over.
    """

    value: float | None
    response: dict[str, list[float]] | None
    final: bool


def outcome_of(
    reports: Iterable[RewardRecord],
    shown: Sequence[str],
    reward: str | None,
    aggregation: Aggregation,
) -> Outcome:
    """Return what came of a decision; the order of the reports doesn't matter.

    Args:
        reports: about it.
        shown: ids of its slate.
        reward: the response's field that is the reward of a click (`ProblemSpec.reward`).
        aggregation: of the rewards of several reports: their sum, or the earliest.
    """
    reports = list(reports)
    told = [(each, response_of(each, shown)) for each in distinct(filter(says_something, reports))]
    values = [value for each, response in told if (value := _value(each, response, reward)) is not None]
    value = None if not values else math.fsum(values) if aggregation == "sum" else values[0]
    responses = [response for _, response in told if response is not None]
    return Outcome(value, responses[0] if responses else None, any(each.final for each in reports))


def distinct(reports: Iterable[RewardRecord]) -> list[RewardRecord]:
    """Return the first report of each reward id, by time; those without an id share one."""
    reports = list(reports)
    if len(reports) < 2:
        return reports
    kept: dict[str | None, RewardRecord] = {}
    for each in sorted(reports, key=lambda each: (each.time_ms, encode_lines([each]))):
        kept.setdefault(each.reward_id, each)
    return list(kept.values())


def says_something(report: RewardRecord) -> bool:
    """Return whether a report says what came of the decision, not only that the session is over."""
    return report.reward is not None or report.clicked is not None or bool(report.response)


def value_of(report: RewardRecord, shown: Sequence[str], reward: str | None) -> float | None:
    """Return the reward that a report means; None if it means none.

    The one that it states; else, of what was clicked, the sum of the response's field that is the reward, or the
    number of clicks if that wasn't reported.
    """
    return _value(report, response_of(report, shown), reward)


def _value(report: RewardRecord, response: dict[str, list[float]] | None, reward: str | None) -> float | None:
    if report.reward is not None or response is None:
        return report.reward
    clicks = response[CLICK]
    amounts = None if reward is None or reward == CLICK else response.get(reward)
    return math.fsum(clicks if amounts is None else map(operator.mul, clicks, amounts))


def response_of(report: RewardRecord, shown: Sequence[str]) -> dict[str, list[float]] | None:
    """Return a report's response by field, `click` among them, each as long as the slate; None if it has none.

    A click on a document that wasn't shown doesn't count.
    """
    if not report.response and report.clicked not in shown:
        return None
    k = len(shown)
    response = {
        name: list(values) if len(values) == k else [*values, *[0.0] * k][:k]
        for name, values in (report.response or {}).items()
    }
    if CLICK not in response:
        response[CLICK] = [float(each == report.clicked) for each in shown]
    return response
