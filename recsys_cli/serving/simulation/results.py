"""What simulated users saw of a service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.serving.client import ServiceError
from recsys_cli.serving.messages import Decision

PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
SEVERAL = "several policies"
NO_ANSWER = "no answer"


@dataclass
class Tally:
    """Counts and times of a simulation.

    Attributes:
        seconds: it took.
        decisions: by policy.
        latency: from when a request was due to its answer, seconds each.
        lag: from when a request was due to when it was sent.
        rewards: accepted.
        reward_latency: of each.
        withheld: rewards that were not sent, as asked.
        returns: of each whole session, by the policy that made all its decisions.
        failed: requests that failed in spite of retries, by status or `no answer`.
        refused: the first line of each status.
        retried: tries that failed and were repeated.
        lost: decisions and rewards that did not come through, and users whose sessions were broken off by that.
    """

    seconds: float = 0.0
    decisions: Counter[str] = field(default_factory=Counter)
    latency: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    rewards: int = 0
    reward_latency: list[float] = field(default_factory=list)
    withheld: int = 0
    returns: dict[str, list[float]] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)
    retried: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    @property
    def sessions(self) -> int:
        """Whole sessions."""
        return sum(map(len, list(self.returns.values())))

    def decided(self, decisions: Sequence[Decision], latency: float, lag: float) -> None:
        """Count a request that was answered."""
        with self._lock:
            self.decisions.update(decision.policy for decision in decisions)
            self.latency.append(latency)
            self.lag.append(lag)

    def rewarded(self, latency: float) -> None:
        """Count a reward that was accepted."""
        with self._lock:
            self.rewards += 1
            self.reward_latency.append(latency)

    def ended(self, policies: Collection[str], total: float) -> None:
        """Count a session: who made its decisions, and its return."""
        with self._lock:
            name = next(iter(policies)) if len(policies) == 1 else SEVERAL
            self.returns.setdefault(name, []).append(total)

    def fail(self, error: ServiceError, what: str, number: int) -> None:
        """Count a request that failed for good, and what was lost with it."""
        status = str(error.status or NO_ANSWER)
        with self._lock:
            self.failed[status] += 1
            self.refused.setdefault(status, str(error))
            self.lost[what] += number

    def finish(self, users: int, retried: Mapping[int | None, int]) -> None:
        """Take the number of users that were to come, and the tries that were repeated."""
        self.retried.update({str(status or NO_ANSWER): count for status, count in retried.items()})
        if missing := users - self.sessions:
            self.lost["sessions"] = missing

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; times in milliseconds."""
        sessions, decisions = self.sessions, self.decisions.total()
        return {
            "seconds": self.seconds,
            "decisions": decisions,
            "decisions_per_second": decisions / self.seconds,
            "rewards": self.rewards,
            "withheld_rewards": self.withheld,
            "sessions": sessions,
            "latency_ms": percentiles(self.latency),
            "lag_ms": percentiles(self.lag),
            "reward_latency_ms": percentiles(self.reward_latency),
            "failed": dict(self.failed),
            "refused": self.refused,
            "retried": dict(self.retried),
            "lost": dict(self.lost),
            "policies": {
                name: {
                    "decisions": self.decisions[name],
                    "sessions": len(values),
                    "share": len(values) / sessions,
                    "return": mean_interval(values).to_dict(),
                }
                for name, values in sorted(self.returns.items())
            },
        }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of times, in milliseconds; none of no times."""
    if not seconds:
        return {}
    values = np.percentile(np.asarray(seconds) * 1000, list(PERCENTILES.values()))
    return dict(zip(PERCENTILES, map(float, values), strict=True))


def lines(results: dict[str, Any], late: bool) -> list[str]:
    """Return the results in words; `late`: whether requests had times at which they were due."""
    counts = (
        f"{results['decisions']:,} decisions in {results['seconds']:.1f} s ({results['decisions_per_second']:,.0f}/s)"
    )
    withheld = f" ({results['withheld_rewards']:,} withheld)" if results["withheld_rewards"] else ""
    told = [f"{counts}, {results['rewards']:,} rewards{withheld}, {results['sessions']:,} sessions"]
    told.append(f"latency of a slate:  {_times(results['latency_ms'])}")
    if late:
        told.append(f"  sent late by:      {_times(results['lag_ms'])}")
    told.append(f"latency of a reward: {_times(results['reward_latency_ms'])}")
    told.append(f"failed in passing:   {_counted(results['retried'])}")
    told.append(f"failed:              {_counted(results['failed'])}")
    told += [f"  {line}" for line in results["refused"].values()]
    told.append(f"lost:                {_counted(results['lost'])}")
    for name, each in results["policies"].items():
        low, high = each["return"]["low"], each["return"]["high"]
        interval = f"{each['return']['mean']:.2f} ± {(high - low) / 2:.2f}"
        told.append(f"{name}: return {interval} in {each['sessions']:,} sessions, {each['share']:.1%}")
    return told


def _times(milliseconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:,.1f} ms" for name, value in milliseconds.items()) or "none"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"
