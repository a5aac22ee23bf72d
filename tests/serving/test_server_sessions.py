"""Sessions that the service keeps are the same for all replicas, and end by silence or by a final reward."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from recsys_cli.serving.errors import Refused
from recsys_cli.serving.messages import Candidate, RankRequest, Reward
from recsys_cli.serving.sessions import server
from recsys_cli.serving.sessions.server import ServerSessions
from recsys_cli.serving.sessions.tokens import SessionState

Open = Callable[[], ServerSessions]


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Open]:
    opened: list[ServerSessions] = []

    def open_one() -> ServerSessions:
        opened.append(ServerSessions(tmp_path / "shop" / "sessions.db", session_seconds=60))
        return opened[-1]

    yield open_one
    for each in opened:
        each.shut()


def state(step: int, session: str = "s", **changes: Any) -> SessionState:
    fields = {"event_id": f"{session}{step}", "time_ms": 1000 * step, "policy": "slateq", "version": "0", "epoch": 1}
    fields |= {"weights": {"slateq": 1.0}, "memory": bytes([step]), "slate": ["a", "b"]}
    return SessionState(session=session, step=step, **{**fields, **changes})


def ask(session: str | None = "s", **changes: Any) -> RankRequest:
    return RankRequest(candidates=[Candidate(id="a", features=[1.0])], session=session, **changes)


def test_a_session_goes_on_at_any_replica_with_the_response_to_its_last_slate(replica: Open) -> None:
    one, other = replica(), replica()
    assert one.open([ask(), ask(None)], 900) == [None, None]
    one.close([state(1), None])
    assert one.carried([state(1), None]) == [None, None]
    other.responded("s1", Reward(reward=1.0))  # says nothing of positions
    other.responded("s1", Reward(clicked="b"))
    other.responded("s1", Reward(clicked="a"))  # the first counts
    other.responded("unknown", Reward(clicked="a"))
    assert other.open([ask("t"), ask()], 1500) == [None, state(1, response={"click": [0.0, 1.0]})]
    other.close([state(2)])
    assert one.open([ask()], 2500) == [state(2)]
    one.responded("s1", Reward(clicked="a"))  # late
    one.responded("s2", Reward(response={"click": [0, 0], "watch_time": [0.5]}))
    assert one.open([ask()], 2500) == [state(2, response={"click": [0.0, 0.0], "watch_time": [0.5, 0.0]})]


def test_a_decision_asked_for_again_is_made_from_what_was_known_then(replica: Open) -> None:
    one, other = replica(), replica()
    one.close([state(1)])
    assert other.open([ask(event_id="s1")], 1000) == [None]
    one.responded("s1", Reward(clicked="a"))
    (known,) = one.open([ask(event_id="s2")], 2000)
    one.close([state(2)])
    one.responded("s2", Reward(clicked="b"))
    for _ in range(2):
        assert other.open([ask(event_id="s2")], 2000) == [known] == [state(1, response={"click": [1.0, 0.0]})]
        other.close([state(2)])
    assert one.open([ask(event_id="s3")], 3000) == [state(2, response={"click": [0.0, 1.0]})]


def test_silence_and_a_final_reward_end_a_session(replica: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PURGED_EVERY_MS", 0)
    sessions = replica()
    sessions.close([state(1), state(1, "t")])
    assert sessions.open([ask()], 61_000) != [None] == sessions.open([ask()], 61_001)
    sessions.close([state(1, event_id="again", time_ms=62_000)])
    assert sessions.open([ask(event_id="again")], 62_000) == [None]  # not the session before
    left = sessions._connection.execute("SELECT session FROM sessions").fetchall()
    assert left == [("s",)]  # t was silent for as long
    sessions.responded("again", Reward(reward=1.0, final=True))
    assert sessions.open([ask()], 62_000) == [None]


def test_what_cannot_be_is_refused(replica: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BUSY_S", 0.01)
    sessions = replica()
    with pytest.raises(Refused, match="each session may occur once"):
        sessions.open([ask(), ask()], 0)
    with pytest.raises(Refused, match="session_state is not used"):
        sessions.open([ask(session_state="x")], 0)
    with sqlite3.connect(tmp_path / "shop" / "sessions.db", isolation_level=None) as held:
        held.execute("BEGIN IMMEDIATE")
        for write in (lambda: sessions.close([state(1)]), lambda: sessions.responded("s0", Reward(final=True))):
            with pytest.raises(Refused, match="cannot be read or written now") as caught:
                write()
            assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
        assert sessions.open([ask()], 0) == [None]  # reading goes on
        held.execute("COMMIT")
    held.close()
    sessions.close([state(1)])
    assert sessions.open([ask()], 1000) == [state(1)]


def test_a_state_of_another_version_begins_anew(replica: Open) -> None:
    sessions = replica()
    sessions.close([state(1)])
    sessions._connection.execute("UPDATE sessions SET state = x'00'")
    assert sessions.open([ask()], 1000) == [None]
    sessions.responded("s1", Reward(clicked="a"))


def test_replicas_write_at_once_and_lose_nothing(replica: Open) -> None:
    replicas = [replica() for _ in range(3)]

    def play(user: int) -> int:
        for step in range(1, 11):
            sessions = replicas[(user + step) % 3]
            (known,) = sessions.open([ask(f"u{user}")], step * 1000)
            assert (known.step if known else 0) == step - 1
            sessions.close([state(step, f"u{user}")])
        return step

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(play, range(12))) == [10] * 12
