"""What the app answers, what it passes to the service, and what it counts."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from serving.asgi import request
from serving.bodies import rank_body
from serving.services import FirstOnes, limits_of
from starlette.types import ASGIApp

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.http.app import make_api
from recsys_cli.serving.messages import Policies, PolicyChange, RouterChange

SPEC = load("env", "interest_evolution").spec
LIMITS = limits_of()


@pytest.fixture
def service() -> FirstOnes:
    return FirstOnes(SPEC, LIMITS)


@pytest.fixture
def app(service: FirstOnes) -> ASGIApp:
    return make_api(service, LIMITS, None)


@pytest.mark.parametrize("path", ["/v1/rank", "/v1/recommend", "/v1/rank?trace=1"])
def test_one_request_gets_one_decision(app: ASGIApp, service: FirstOnes, path: str) -> None:
    answer = request(app, "POST", path, rank_body(candidates=10, event_id="e", exclude=["d0"]))
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "event_id": "e",
        "slate": [{"id": "d1", "score": 0.5}, {"id": "d2", "score": 0.5}],
        "propensity": {"policy": 1.0, "router": 1.0, "total": 1.0},
        "policy": "first",
        "version": "000000000000",
        "session_state": None,
    }
    assert service.statistics.decisions == 1


def test_many_requests_get_decisions_in_their_order(app: ASGIApp, service: FirstOnes) -> None:
    asked = [rank_body(candidates=size, event_id=f"e{size}") for size in (4, 1, 9)]
    decisions = request(app, "POST", "/v1/rank", {"requests": asked}).json["decisions"]
    assert [each["event_id"] for each in decisions] == ["e4", "e1", "e9"]
    assert [len(each["slate"]) for each in decisions] == [2, 1, 2] and service.statistics.decisions == 3
    one = request(app, "POST", "/v1/rank", {"requests": asked[:1]})
    assert len(one.json["decisions"]) == 1


@pytest.mark.parametrize("event", ["e", "a/b", "a b", "a/reward", "100%", "?#&+", "x" * 128])
def test_events_of_any_printable_name_are_rewarded(app: ASGIApp, service: FirstOnes, event: str) -> None:
    path = f"/v1/events/{quote(event, safe='')}"
    answer = request(app, "POST", f"{path}/reward", {"reward": 1, "clicked": "d1"})
    assert answer.status == 202 and answer.json == {"event_id": event}
    assert request(app, "POST", f"{path}/activate").status == 202
    assert [name for name, _ in service.rewards] == service.activated == [event]
    assert service.rewards[0][1].clicked == "d1" and service.statistics.rewards == 1


def test_the_rest_is_answered_by_the_service(app: ASGIApp, service: FirstOnes) -> None:
    policies = request(app, "GET", "/v1/policies").json
    assert policies["router"] == "thompson" and policies["policies"][0]["name"] == "first"
    assert request(app, "PUT", "/v1/router", {"disable": ["first"]}).json == policies
    assert request(app, "PUT", "/v1/policies/first", {"checkpoint": "runs/x"}).json == policies
    metrics = request(app, "GET", "/metrics")
    assert metrics.body == b"# nothing\n" and metrics.headers["content-type"].startswith("text/plain")
    assert request(app, "HEAD", "/v1/policies").status == 200
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/first/ready"):
        assert request(app, "GET", path).json == {"ready": True}
    service.is_ready = False
    answer = request(app, "GET", "/v2/health/ready")
    assert answer.status == 503 and answer.headers["retry-after"] == "1"


def test_a_method_that_is_not_there_is_answered_with_those_that_are(app: ASGIApp) -> None:
    answer = request(app, "DELETE", "/v1/router")
    assert answer.status == 405 and answer.headers["allow"] == "PUT"
    assert answer.json == {"error": "there is no such method here"}


def test_a_refusal_of_the_service_is_passed_on(
    app: ASGIApp, service: FirstOnes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(event_id: str) -> None:
        raise Refused(503, "the disk is full", 2.5)

    monkeypatch.setattr(service, "activate", refuse)
    answer = request(app, "POST", "/v1/events/e/activate")
    assert (answer.status, answer.json, answer.headers["retry-after"]) == (503, {"error": "the disk is full"}, "3")
    assert service.statistics.statuses == [503] and service.load.waiting == 0


def test_a_bug_is_one_line_to_the_client_and_a_traceback_in_the_log(
    app: ASGIApp, service: FirstOnes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(change: RouterChange) -> Policies:
        raise ZeroDivisionError("a detail")

    monkeypatch.setattr(service, "change_router", fail)
    answer = request(app, "PUT", "/v1/router", {})
    assert answer.status == 500 and answer.json == {"error": "an error of the service; it is in its log"}
    assert "ZeroDivisionError: a detail" in caplog.text and service.statistics.statuses == [500]


def test_why_a_checkpoint_is_not_taken_is_in_the_log_alone(
    app: ASGIApp, service: FirstOnes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: str, change: PolicyChange) -> Policies:
        raise ConfigError(f"{change.checkpoint} is not a checkpoint")

    monkeypatch.setattr(service, "change_policy", fail)
    answer = request(app, "PUT", "/v1/policies/first", {"checkpoint": "secret/path"})
    assert answer.status == 422 and b"secret" not in answer.body
    assert "secret/path is not a checkpoint" in caplog.text
