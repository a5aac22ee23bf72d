"""The client, against a server that fails on purpose."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recsys_cli.serving import client as module
from recsys_cli.serving.client import Client, ServiceError

OK, DROPPED = 200, 0
FEATURES = np.array([[0.1, 0.9], [0.7, 0.3]], np.float32)


class Flawed(ThreadingHTTPServer):
    """Shows the first candidate, after the failures that are ahead: statuses, or a connection that is dropped."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ahead: list[int] = []
        self.headers: dict[str, str] = {}
        self.token: str | None = "signed"
        self.asked: list[tuple[str, str, Any, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Flawed

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.loads(content) if content else None
        self.server.asked.append((self.command, self.path, body, self.headers.get("authorization")))
        status = self.server.ahead.pop(0) if self.server.ahead else OK
        if status == DROPPED:
            self.close_connection = True
            return
        answer = self.answer(body) if status == OK else {"error": "not now"}
        sent = json.dumps(answer).encode() if status != 502 else b"<html>Bad Gateway</html>"
        self.send_response(status if status != OK or self.path == "/v1/rank" else 202)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_PUT = do_POST

    def answer(self, body: Any) -> Any:
        if self.path in ("/v1/policies", "/v1/router", "/v1/policies/a%20b"):
            return {"router": "thompson", "epoch": 3, "policies": []}
        if self.path != "/v1/rank":
            return {"event_id": "any"}
        if "requests" in body:
            return {"decisions": [self.decision(each) for each in body["requests"]]}
        return self.decision(body)

    def decision(self, asked: Any) -> Any:
        candidates = asked["candidates"]
        first = candidates["ids"][0] if isinstance(candidates, dict) else candidates[0]["id"]
        return {
            "event_id": asked["event_id"],
            "slate": [{"id": first, "score": None}],
            "propensity": {"policy": 1.0, "router": 1.0, "total": 1.0},
            "policy": "slateq",
            "version": "0",
            "session_state": self.server.token,
        }

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Flawed]:
    with Flawed() as flawed:
        thread = threading.Thread(target=flawed.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield flawed
        flawed.shutdown()
        thread.join()


def test_what_fails_in_passing_is_sent_again_as_the_same_event(server: Flawed) -> None:
    client = Client(server.url, "secret")
    server.ahead = [DROPPED, 503, 502]
    decision = client.rank(["a", "b"], FEATURES, [0.5])
    bodies = [body for _, path, body, _ in server.asked if path == "/v1/rank"]
    assert len(bodies) == 4 and bodies.count(bodies[0]) == 4
    assert bodies[0]["event_id"] == decision.event_id and decision.slate[0].id == "a"
    assert client.retried == {None: 1, 503: 1, 502: 1}
    assert {token for *_, token in server.asked} == {"Bearer secret"}
    server.ahead = [500, DROPPED]
    client.reward(decision.event_id, 1.0)
    rewards = [body for _, path, body, _ in server.asked if path == f"/v1/events/{decision.event_id}/reward"]
    assert len(rewards) == 3 and rewards.count(rewards[0]) == 3


def test_retry_after_is_waited_for(server: Flawed, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    # urllib3's alone: threads that other tests left in this process sleep too, and would be recorded.
    monkeypatch.setattr("urllib3.util.retry.time", SimpleNamespace(sleep=slept.append))
    server.ahead, server.headers = [503, 503], {"retry-after": "3"}
    Client(server.url).activate("e/1?")
    assert slept == [3, 3]
    assert server.asked[-1][1] == "/v1/events/e%2F1%3F/activate"
    server.ahead, server.headers = [503], {"retry-after": "3600"}
    Client(server.url).activate("e")
    assert slept[2:] == [module.LONGEST_WAIT_S]


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429])
def test_what_is_refused_is_not_sent_again(server: Flawed, status: int) -> None:
    server.ahead = [status]
    with pytest.raises(ServiceError) as caught:
        Client(server.url).rank(["a"], [[1.0]])
    assert (caught.value.status, str(caught.value)) == (status, f"{status}: not now")
    assert len(server.asked) == 1


def test_failures_that_last_are_one_line(server: Flawed) -> None:
    client = Client(server.url, retries=2)
    server.ahead = [502] * 3
    with pytest.raises(ServiceError, match=r"^502: the answer is not the service's$") as caught:
        client.policies()
    assert caught.value.retries == 2 and len(server.asked) == 3
    server.ahead = [DROPPED] * 3
    with pytest.raises(ServiceError, match=r"^no answer from http://127.0.0.1:\d+: \w+$") as caught:
        client.policies()
    assert caught.value.status is None and len(server.asked) == 6


def test_features_are_sent_as_lists_or_packed(server: Flawed) -> None:
    client = Client(server.url)
    client.rank(["a", "b"], FEATURES, np.float32([0.5]), exclude=["b"], event_id="mine", defer_activation=True)
    client.rank(["a"], [[1, 2.5]])
    packed, plain = (body for _, _, body, _ in server.asked)
    assert packed["candidates"]["ids"] == ["a", "b"] and packed["user"] == [0.5] and packed["event_id"] == "mine"
    sent = np.frombuffer(b64decode(packed["candidates"]["features_b64"]), "<f4").reshape(2, 2)
    np.testing.assert_array_equal(sent, FEATURES)
    assert packed["exclude"] == ["b"] and packed["defer_activation"]
    assert plain["candidates"] == [{"id": "a", "features": [1.0, 2.5]}]


def test_sessions_carry_their_state_and_the_response(server: Flawed) -> None:
    session = Client(server.url).session("me")
    session.rank(["a", "b"], FEATURES)
    session.reward(2.0, clicked="a")
    session.rank(["b"], FEATURES[1:])
    session.reward(response={"click": np.zeros(1), "quality": np.float32([0.5])})
    session.rank(["b"], FEATURES[1:])
    server.token = None  # the service keeps the sessions
    session.rank(["a"], FEATURES[:1])
    session.reward(clicked="a", final=True)
    session.rank(["a"], FEATURES[:1])
    ranked = [body for _, path, body, _ in server.asked if path == "/v1/rank"]
    assert [body["session_state"] for body in ranked] == [None, "signed", "signed", "signed", None]
    clicks = {"click": [0.0], "quality": [0.5]}
    assert [body["response"] for body in ranked] == [None, {"click": [1.0]}, clicks, None, None]
    assert {body["session"] for body in ranked} == {"me"} and len({body["event_id"] for body in ranked}) == 5
    assert server.asked[-2][2]["final"] is True
    server.token = "signed"
    session.rank(["a"], FEATURES[:1])
    session.reward(1.0, clicked="a", final=True)
    session.rank(["a"], FEATURES[:1])  # another session
    again = server.asked[-1][2]
    assert again["session"] == "me" and again["session_state"] is again["response"] is None


def test_many_users_are_one_request(server: Flawed) -> None:
    client = Client(server.url)
    sessions = [client.session() for _ in range(3)]
    asked = [session.request([f"a{i}"], FEATURES[:1]) for i, session in enumerate(sessions)]
    decisions = client.rank_many(asked)
    assert [each.slate[0].id for each in decisions] == ["a0", "a1", "a2"] and len(server.asked) == 1
    assert len({session.id for session in sessions}) == len({each.event_id for each in decisions}) == 3


def test_policies_are_looked_at_and_changed(server: Flawed) -> None:
    client = Client(server.url + "/")
    assert client.policies().epoch == client.change_policy("a b", "runs/1").epoch == 3
    assert [(method, path) for method, path, *_ in server.asked] == [
        ("GET", "/v1/policies"),
        ("PUT", "/v1/policies/a%20b"),
    ]


def test_the_example_in_the_documentation_works(server: Flawed, capsys: pytest.CaptureFixture[str]) -> None:
    assert module.__doc__ is not None
    lines = [line.strip() for line in module.__doc__.splitlines() if line.startswith("    ")]
    exec("\n".join(lines).replace("http://127.0.0.1:8000", server.url))
    assert capsys.readouterr().out == "['a'] slateq 1.0\n"
    assert server.asked[-1][2]["final"] is True


def test_the_client_needs_neither_torch_nor_ray() -> None:
    code = (
        "import sys, recsys_cli.serving.client; print(sorted({'torch', 'ray', 'mlflow', 'hydra'} & set(sys.modules)))"
    )
    root = Path(module.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout == "[]\n"
