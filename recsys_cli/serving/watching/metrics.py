"""What a process of the service counts, for Prometheus and for the page.

Counting is on the way of every decision, so it is a few additions; what others know (queue, log, router) is read only
when somebody asks. Nothing that a client sent becomes a label.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from recsys_cli.serving.messages import Decision, Policies, Reward
from recsys_cli.serving.watching.drift import Drift, Requests
from recsys_cli.serving.watching.history import History

MOST_VERSIONS = 100  # pairs of policy and version that are counted apart; later ones share OTHER
OTHER = "other"
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # of the latency, seconds
RECENT_ANSWERS, RECENT_SECONDS = 8192, 60.0  # what the page's latency and rate are taken from
POINT_SECONDS = 5.0  # between points of the history


@dataclass(frozen=True)
class Readings:
    """What others know at the moment.

    Attributes:
        policies: the router's name, epoch and shares.
        queued: requests that this process has accepted and not answered.
        log_bytes: written to the log by this process.
        bookkeeping_lag: seconds by which the router's learning is behind the log; None: unknown.
        rewards: what each policy earned by what the router learned: `count`, `mean`, and `low` and `high` of its 95 %
            interval.
    """

    policies: Policies
    queued: int = 0
    log_bytes: int = 0
    bookkeeping_lag: float | None = None
    rewards: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class Statistics:
    """What one process counts.

    Attributes:
        read: asks the others.
        drift: of the requests' features; None: there is nothing to compare them with.
        history: how shares, rewards, load and latency went.
    """

    def __init__(self, read: Callable[[], Readings]) -> None:
        """Start at zero."""
        self.read, self._started = read, time.monotonic()
        self.drift: Drift | None = None
        self.history = History(POINT_SECONDS)
        self._recent: deque[tuple[float, float, int]] = deque(maxlen=RECENT_ANSWERS)  # when, seconds, decisions
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Read(self))
        self._decisions = self._counter("decisions", "Slates decided.", "policy", "version")
        self._rewards = self._counter("rewards", "Rewards accepted, by what they report.", "report")
        self._refused = self._counter("refused_requests", "Requests refused, by HTTP status.", "status")
        self._latency = Histogram(
            "recsys_rank_seconds", "From a rank request's body to its answer.", buckets=BUCKETS, registry=self._registry
        )
        self._by_version: dict[tuple[str, str], Counter] = {}

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"recsys_{name}", help_text, labels, registry=self._registry)

    def decided(self, batch: Requests, decisions: Sequence[Decision], seconds: float) -> None:
        """Count the answer to one body.

        Args:
            batch: the body's requests.
            decisions: made for them.
            seconds: that it took.
        """
        for decision in decisions:
            key = decision.policy, decision.version
            counter = self._by_version.get(key)
            (counter if counter is not None else self._of_version(*key)).inc()
        self._latency.observe(seconds)
        self._recent.append((time.monotonic(), seconds, len(decisions)))
        if self.drift is not None:
            self.drift.see(batch)

    def _of_version(self, policy: str, version: str) -> Counter:
        if len(self._by_version) >= MOST_VERSIONS:
            return self._decisions.labels(OTHER, OTHER)
        counter = self._by_version[policy, version] = self._decisions.labels(policy, version)
        return counter

    def rewarded(self, reward: Reward) -> None:
        """Count an accepted reward."""
        told = ("reward", reward.reward), ("click", reward.clicked), ("response", reward.response)
        self._rewards.labels(next((name for name, value in told if value is not None), "end")).inc()

    def refused(self, status: int) -> None:
        """Count a refused request."""
        self._refused.labels(status).inc()

    def prometheus(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def tick(self) -> None:
        """Add a point to the history; to be called every few seconds."""
        now, own = self.read(), self.snapshot()
        point = {name: own[name] for name in ("requests", "p50", "p99")}
        point |= {f"share/{policy.name}": policy.share for policy in now.policies.policies}
        point |= {f"mean/{name}": values["mean"] for name, values in now.rewards.items()}
        self.history.add(time.monotonic(), point)

    def snapshot(self) -> dict[str, Any]:
        """Return what the page shows of this process.

        Keys: `uptime`, `over` (seconds that the following are of), `requests` and `decisions` a second, `p50`, `p99`
        (seconds, None without requests), `decided`, `rewarded`, `refused` (counts since the start), `drift`, `history`.
        """
        now = time.monotonic()
        recent = [entry for entry in tuple(self._recent) if now - entry[0] <= RECENT_SECONDS]
        full = len(recent) == RECENT_ANSWERS
        over = max(now - recent[0][0] if full else min(now - self._started, RECENT_SECONDS), 1e-3)
        p50, p99 = np.quantile([entry[1] for entry in recent], [0.5, 0.99]).tolist() if recent else (None, None)
        return {
            "uptime": now - self._started,
            "over": over,
            "requests": len(recent) / over,
            "decisions": sum(entry[2] for entry in recent) / over,
            "p50": p50,
            "p99": p99,
            "decided": _total(self._decisions),
            "rewarded": _total(self._rewards),
            "refused": _total(self._refused),
            "drift": None if self.drift is None else self.drift.report().to_dict(),
            "history": self.history.columns(now),
        }


class _Read(Collector):
    """Gauges whose values are asked for when Prometheus asks."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def describe(self) -> list[Any]:
        """Name nothing in advance: values are not to be read at registration."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        now, drift = self._statistics.read(), self._statistics.drift
        yield _gauge("queued_requests", "Rank requests accepted and not answered.", now.queued)
        yield _gauge("log_bytes", "Bytes that this process has written to the log.", now.log_bytes)
        yield _gauge("router_epoch", "Number of the router's epoch.", now.policies.epoch)
        if now.bookkeeping_lag is not None:
            yield _gauge("bookkeeping_lag_seconds", "The router's learning is behind the log.", now.bookkeeping_lag)
        share = _gauge("router_share", "Probability that the router gives a policy.", labels=["policy", "version"])
        for policy in now.policies.policies:
            share.add_metric([policy.name, policy.version], policy.share)
        yield share
        mean = _gauge("policy_reward_mean", "Mean reward by what the router learned.", labels=["policy"])
        for name, values in now.rewards.items():
            mean.add_metric([name], values["mean"])
        yield mean
        if drift is not None:
            report = drift.report()
            yield _gauge("feature_drift", "Drift of requests: greatest PSI of a feature.", report.drift)
            yield _gauge("feature_drift_alarm", "Whether that is beyond chance and the limit.", report.alarm)


def _gauge(name: str, help_text: str, value: float | None = None, labels: Sequence[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"recsys_{name}", help_text, value=value, labels=labels or None)


def _total(counter: Counter) -> int:
    return int(sum(s.value for family in counter.collect() for s in family.samples if s.name.endswith("_total")))
