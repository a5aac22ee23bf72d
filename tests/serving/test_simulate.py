"""Simulated users over HTTP are the users of the simulator; what they saw is counted, and nothing is hidden."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from serving.servers import Running
from serving.services import FirstOnes, limits_of

from recsys_cli.cli import main
from recsys_cli.config.structured import load
from recsys_cli.policies.base import GreedyPolicy, Observation
from recsys_cli.rollouts.episodes import play
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.simulation import schedule as schedules
from recsys_cli.serving.simulation.schedule import Schedule

ENV = {"num_topics": 4, "time_budget": 8.0, "num_candidates": [1, 6], "slate_size": 2}
WORDS = ("env.num_topics=4", "env.time_budget=8", "env.num_candidates=[1,6]", "env.slate_size=2", "progress=off")
PROBLEM = load("env", "interest_evolution", **ENV)
LIMITS = limits_of()
Simulate = Callable[..., tuple[int, dict[str, Any]]]


class First(GreedyPolicy):
    """Shows the first candidates, as the service of the tests does."""

    def slates(self, observation: Observation) -> np.ndarray:
        there = np.asarray(observation["mask"]).sum(1)
        return np.where(np.arange(2) < there[:, None], np.arange(2), -1)


@pytest.fixture
def service() -> FirstOnes:
    return FirstOnes(PROBLEM.spec, LIMITS)


@pytest.fixture
def simulate(service: FirstOnes, tmp_path: Path) -> Iterator[Simulate]:
    with Running(service, LIMITS) as server:

        def run(*words: str) -> tuple[int, dict[str, Any]]:
            output = tmp_path / "results.json"
            output.unlink(missing_ok=True)
            named = {word.partition("=")[0] for word in words}
            given = [word for word in WORDS if word.partition("=")[0] not in named]
            code = main(["simulate", f"serve={server.url}", f"output={output}", *given, *words])
            return code, json.loads(output.read_text()) if output.exists() else {}

        yield run


def test_each_user_has_one_session_whichever_client_asks(
    simulate: Simulate, service: FirstOnes, capsys: pytest.CaptureFixture[str]
) -> None:
    service.keep = True
    code, one = simulate("users=16", "clients=1", "active=16")
    asked = [request for batch in service.batches for request in batch.requests]
    assert code == 0 and one["lost"] == {} and one["sessions"] == 16
    assert len({request.session for request in asked}) == 16
    assert len(asked) == one["decisions"] == len(service.rewards) == one["rewards"]
    assert sum(reward.final for _, reward in service.rewards) == 16
    total = sum(reward.reward or 0 for _, reward in service.rewards)
    assert total == pytest.approx(sum(one["returns"]["first"]))
    assert {request.event_id for request in asked} == {event for event, _ in service.rewards}
    out = capsys.readouterr().out
    assert "first: return " in out and "in 16 sessions, 100.0%" in out and "lost:                none" in out
    _, several = simulate("users=16", "clients=4", "active=7")
    assert sorted(several["returns"]["first"]) == sorted(one["returns"]["first"])


def test_their_return_is_that_of_the_simulator(simulate: Simulate, service: FirstOnes) -> None:
    code, results = simulate("users=200", "requests=50", "active=200", "clients=4", "seed=3")
    interval = results["policies"]["first"]["return"]
    assert code == 0 and results["policies"]["first"]["share"] == 1
    played = play(First(), PROBLEM, 2000, seed=11).returns
    error = np.hypot((interval["high"] - interval["low"]) / 2 / 1.96, played.std() / np.sqrt(2000))
    assert abs(interval["mean"] - played.mean()) < 4 * error


def test_rewards_come_late_never_or_twice(simulate: Simulate, service: FirstOnes) -> None:
    code, results = simulate("users=20", "delay=0.2", "lose=0.3", "duplicate=0.3")
    assert code == 0 and results["lost"] == {}
    events = [event for event, _ in service.rewards]
    assert results["rewards"] == len(events)
    assert results["withheld_rewards"] == results["decisions"] - len(set(events))
    assert 0.15 < results["withheld_rewards"] / results["decisions"] < 0.45
    twice = {event for event in events if events.count(event) == 2}
    assert len(twice) == len(events) - len(set(events)) > 0.1 * len(events)
    for event in twice:
        first, again = (reward for other, reward in service.rewards if other == event)
        assert first == again


def test_stalls_show_in_an_open_loop(simulate: Simulate, service: FirstOnes) -> None:
    code, steady = simulate("users=20", "rate=300", "clients=8")
    assert code == 0 and steady["lost"] == {}
    assert steady["seconds"] > steady["decisions"] / 300 / 3
    service.seconds = 0.1  # 2 clients can ask 20 times a second, and 200 are due
    code, stalled = simulate("users=3", "rate=200", "clients=2", "active=3")
    assert code == 0 and stalled["lag_ms"]["max"] > 300
    assert stalled["latency_ms"]["max"] >= stalled["lag_ms"]["max"] + 90


def test_failures_are_counted_and_lost_ones_are_an_error(
    service: FirstOnes, simulate: Simulate, capsys: pytest.CaptureFixture[str]
) -> None:
    rank, reward, calls = service.rank, service.reward, 0

    def flawed(method: Callable[..., Any]) -> Callable[..., Any]:
        async def fails_at_times(*words: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls % 7 == 0:
                raise Refused(503, "busy")
            return await method(*words)

        return fails_at_times

    service.rank, service.reward = flawed(rank), flawed(reward)  # type: ignore[method-assign]
    code, results = simulate("users=10", "clients=2")
    assert code == 0 and results["retried"]["503"] > 0 and results["failed"] == {}
    assert len(service.rewards) == results["decisions"]  # each counts once
    code, results = simulate("users=10", "clients=2", "retries=0")
    assert code == 1 and results["failed"]["503"] > 0 and sum(results["lost"].values()) > 0
    assert results["sessions"] + results["lost"].get("sessions", 0) == 10
    assert "  503: busy\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("serve=http://127.0.0.1:9",), "serve=http://127.0.0.1:9: no answer from http://127.0.0.1:9"),
        (("serve=here",), "serve=here must be an address such as http://127.0.0.1:8000"),
        (("requests=65",), "active=64 must be at least requests=65"),
        (("env.slate_size=3",), "the service shows 2 documents where env.slate_size=3 needs 3"),
    ],
)
def test_what_cannot_be_simulated_is_one_line(
    service: FirstOnes, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Running(service, LIMITS) as server:
        own = [word for word in WORDS if not words[0].startswith(word.partition("=")[0])]
        given = () if words[0].startswith("serve=") else (f"serve={server.url}",)
        assert main(["simulate", *own, *given, "retries=0", "users=5", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_what_the_service_refuses_ends_it_at_once(simulate: Simulate, capsys: pytest.CaptureFixture[str]) -> None:
    code, results = simulate("env.num_topics=5", "users=50", "clients=1")
    assert code == 1 and results["failed"] == {"422": 1} and results["lost"] == {"decisions": 1, "sessions": 50}
    assert "\n  422: candidates.features_b64: must hold" in capsys.readouterr().out


def test_the_clock_is_a_poisson_process_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    class Here:
        playing = np.ones(1, bool)

        def enter(self, first: int, users: int, seed: int) -> None:
            pass

    parties: Any = [Here() for _ in range(4)]
    monkeypatch.setattr(schedules, "time", SimpleNamespace(sleep=lambda seconds: None, monotonic=time.monotonic))
    schedule, due = Schedule(parties, 4, 1000.0, seed=0, size=1), []
    for _ in range(2000):
        taken = schedule.take()
        assert taken is not None
        due.append(taken[1])
        schedule.back(taken[0])
    gaps = np.diff(due)
    assert gaps.mean() == pytest.approx(1e-3, rel=0.1) and gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
