"""What a process counts: Prometheus' own parser reads it, and labels are bounded."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict
from prometheus_client.parser import text_string_to_metric_families as parsed

from recsys_cli.serving.messages import Decision, Policies, PolicyInfo, Propensity, Reward, Shown
from recsys_cli.serving.watching import metrics
from recsys_cli.serving.watching.history import POINTS
from recsys_cli.serving.watching.metrics import MOST_VERSIONS, Readings, Statistics

SECRET = "correct-horse"


@dataclass
class Body:
    user: np.ndarray = field(default_factory=lambda: np.zeros((1, 20), np.float32))
    doc: np.ndarray = field(default_factory=lambda: np.zeros((1, 10, 20), np.float32))
    mask: np.ndarray = field(default_factory=lambda: np.ones((1, 10), bool))


def decision(policy="slateq", version="0123456789ab", event=SECRET):
    return Decision(event, [Shown(SECRET, 1.0)], Propensity(0.5, 0.5, 0.3), policy, version, SECRET)


def readings():
    infos = [
        PolicyInfo("slateq", "0123456789ab", "slateq", f"/home/{SECRET}", 0.75, True, True),
        PolicyInfo("random", "ba9876543210", "random", f"/home/{SECRET}", 0.25, False, True),
    ]
    return Readings(
        Policies("thompson", 7, infos), queued=3, log_bytes=1234, bookkeeping_lag=0.5, rewards={"slateq": {"mean": 2.5}}
    )


@pytest.fixture
def statistics():
    return Statistics(readings)


def values(statistics):
    """Return all samples by name and labels."""
    families = list(parsed(statistics.prometheus().decode()))
    assert len({family.name for family in families}) == len(families)
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def test_everything_is_counted(statistics):
    statistics.decided(Body(), [decision(), decision("random", "ba9876543210")], 0.0015)
    statistics.decided(Body(), [decision()], 0.03)
    for reward in (Reward(reward=1.0), Reward(clicked=SECRET), Reward(response={"click": [1]}), Reward(final=True)):
        statistics.rewarded(reward)
    statistics.refused(422)
    statistics.refused(422)
    seen = values(statistics)
    assert seen["recsys_decisions_total", ("policy", "slateq"), ("version", "0123456789ab")] == 2
    assert seen["recsys_decisions_total", ("policy", "random"), ("version", "ba9876543210")] == 1
    assert seen["recsys_rank_seconds_count",] == 2
    assert seen["recsys_rank_seconds_sum",] == pytest.approx(0.0315)
    assert seen["recsys_rank_seconds_bucket", ("le", "0.002")] == 1
    assert [seen["recsys_rewards_total", ("report", r)] for r in ("reward", "click", "response", "end")] == [1] * 4
    assert seen["recsys_refused_requests_total", ("status", "422")] == 2
    assert seen["recsys_router_share", ("policy", "random"), ("version", "ba9876543210")] == 0.25
    assert seen["recsys_router_epoch",] == 7 and seen["recsys_queued_requests",] == 3
    assert seen["recsys_log_bytes",] == 1234 and seen["recsys_bookkeeping_lag_seconds",] == 0.5
    assert seen["process_open_fds",] > 0 and seen["recsys_policy_reward_mean", ("policy", "slateq")] == 2.5


def test_names_keep_prometheus_rules(statistics):
    """OpenMetrics' parser refuses bad suffixes, units, orders of buckets and repeated series."""
    statistics.decided(Body(), [decision()], 0.0015)
    text = openmetrics(statistics._registry).decode()
    families = {family.name: family for family in strict(text)}
    own = {name: family for name, family in families.items() if name.startswith("recsys_")}
    assert len(own) == 10 and all(family.documentation for family in own.values())
    assert all("seconds" in name or family.type != "histogram" for name, family in own.items())


def test_nothing_a_client_sent_and_no_source_is_shown(statistics):
    statistics.decided(Body(), [decision()], 0.001)
    statistics.rewarded(Reward(clicked=SECRET))
    assert SECRET not in statistics.prometheus().decode() and SECRET not in str(statistics.snapshot())


def test_labels_are_bounded(statistics):
    for number in range(MOST_VERSIONS + 50):
        statistics.decided(Body(), [decision(version=f"{number:012x}")], 0.001)
    seen = values(statistics)
    counted = {key: value for key, value in seen.items() if key[0] == "recsys_decisions_total"}
    assert len(counted) == MOST_VERSIONS + 1 and sum(counted.values()) == MOST_VERSIONS + 50
    assert seen["recsys_decisions_total", ("policy", "other"), ("version", "other")] == 50


def test_snapshot_is_of_the_last_minute(statistics, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(metrics, "time", SimpleNamespace(monotonic=lambda: now[0]))
    statistics = Statistics(readings)
    assert statistics.snapshot()["p50"] is None
    now[0] += 100
    statistics.decided(Body(), [decision()], 9.0)
    now[0] += 61
    for milliseconds in range(1, 101):
        statistics.decided(Body(), [decision()] * 2, milliseconds / 1000)
    now[0] += 1
    snapshot = statistics.snapshot()
    assert snapshot["p50"] == pytest.approx(0.0505) and 0.098 < snapshot["p99"] < 0.1
    assert snapshot["requests"] == pytest.approx(100 / 60) and snapshot["decisions"] == pytest.approx(200 / 60)
    assert snapshot["decided"] == 201


def test_rate_under_load_is_of_what_is_kept(statistics, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(metrics, "time", SimpleNamespace(monotonic=lambda: now[0]))
    statistics = Statistics(readings)
    for _ in range(10_000):
        now[0] += 0.0005
        statistics.decided(Body(), [decision()], 0.001)
    assert statistics.snapshot()["requests"] == pytest.approx(2000, rel=0.01)


def test_history_is_bounded_and_spans_everything(statistics, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(metrics, "time", SimpleNamespace(monotonic=lambda: now[0]))
    statistics.decided(Body(), [decision()], 0.002)
    for _ in range(2000):
        statistics.tick()
        now[0] += 5.0
    history = statistics.snapshot()["history"]
    assert POINTS / 2 - 1 <= len(history["ago"]) <= POINTS and history["ago"][0] == 10_000
    assert np.ptp(np.diff(history["ago"])) <= 5.0 + 1e-9 and all(
        len(each) == len(history["ago"]) for each in history.values()
    )
    assert history["share/random"][-1] == 0.25 and history["mean/slateq"][-1] == 2.5
    assert history["p50"][0] == 0.002 and history["p50"][-1] is None
