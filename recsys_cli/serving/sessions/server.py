"""Sessions that the service keeps, in a SQLite file that all replicas of a machine share (`serving.sessions=server`).

Clients then send a session's id and nothing else: the response to a slate is taken from the reward that is posted for
its decision. One that comes after the session's next decision is too late to be remembered, though it is logged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import msgspec
from msgspec.structs import asdict, replace

from recsys_cli.serving.errors import Refused
from recsys_cli.serving.log.records import RewardRecord
from recsys_cli.serving.log.rewards import response_of
from recsys_cli.serving.messages import RankRequest, Reward
from recsys_cli.serving.sessions.tokens import Response, SessionState, pack, unpack

BUSY_S = 1.0  # that another replica's write is waited for
RETRY_S = 1.0
PURGED_EVERY_MS = 60_000

# `earlier` is the state before the last decision and `answered` the response then: a decision that is asked for again
# is made from these.
SCHEMA = """
    CREATE TABLE IF NOT EXISTS sessions (
        session TEXT PRIMARY KEY, event TEXT NOT NULL, time_ms INTEGER NOT NULL, state BLOB NOT NULL, response BLOB,
        earlier BLOB, answered BLOB
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS events ON sessions (event);
    CREATE INDEX IF NOT EXISTS times ON sessions (time_ms);
"""
FIND = """
    SELECT session, event, time_ms, state, response, earlier, answered FROM sessions
    WHERE session IN (SELECT value FROM json_each(?))
"""
KEEP = """
    INSERT INTO sessions (session, event, time_ms, state) VALUES (:session, :event, :time_ms, :state)
    ON CONFLICT (session) DO UPDATE SET
        earlier = CASE WHEN :begins THEN NULL WHEN event = :event THEN earlier ELSE state END,
        answered = CASE WHEN :begins THEN NULL WHEN event = :event THEN answered ELSE response END,
        response = CASE WHEN event = :event THEN response END,
        event = :event, time_ms = :time_ms, state = :state
"""
_unpack_response = msgspec.msgpack.Decoder(Response).decode


class ServerSessions:
    """The sessions of a service on one machine."""

    def __init__(self, file: Path, session_seconds: float) -> None:
        """Open the file, made if need be; a session that is silent for longer than `session_seconds` is over."""
        self._silence_ms, self._lock, self._purged_ms = session_seconds * 1000, Lock(), 0
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        # After a crash of the machine, and not of a process, the last moments may be lost: sessions then lag behind.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(SCHEMA)

    def open(self, requests: Sequence[RankRequest], now_ms: int) -> list[SessionState | None]:
        """See `sessions.Sessions.open`.

        Raises:
            Refused: 503 if the file cannot be read now; 422 for two decisions of a session at once.
        """
        names = [request.session for request in requests if request.session is not None]
        if len(set(names)) < len(names):
            raise Refused(422, "each session may occur once in a request: its decisions follow one another")
        if any(request.session_state is not None for request in requests):
            raise Refused(422, "session_state is not used: this service keeps the sessions itself")
        if not names:
            return [None] * len(requests)
        with self._using() as connection:
            found = connection.execute(FIND, [msgspec.json.encode(names).decode()]).fetchall()
        rows = {row[0]: row[1:] for row in found if now_ms - row[2] <= self._silence_ms}
        return [_opened(request, *rows[request.session]) if request.session in rows else None for request in requests]

    def close(self, states: Sequence[SessionState | None]) -> None:
        """See `sessions.Sessions.close`.

        Raises:
            Refused: 503 if the file cannot be written now.
        """
        kept = [state for state in states if state is not None]
        if kept:
            with self._using() as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(KEEP, [_row(state) for state in kept])
                now_ms = max(state.time_ms for state in kept)
                if now_ms - self._purged_ms > PURGED_EVERY_MS:
                    connection.execute("DELETE FROM sessions WHERE time_ms < ?", [now_ms - self._silence_ms])
                    self._purged_ms = now_ms
                connection.execute("COMMIT")

    def carried(self, states: Sequence[SessionState | None]) -> list[str | None]:
        """See `sessions.Sessions.carried`; clients have nothing to carry."""
        return [None] * len(states)

    def responded(self, event_id: str, reward: Reward) -> None:
        """See `sessions.Sessions.responded`; the first report with a response counts.

        Raises:
            Refused: 503 if the file cannot be written now.
        """
        with self._using() as connection:
            if reward.final:
                connection.execute("DELETE FROM sessions WHERE event = ?", [event_id])
                return
            asked = "SELECT state FROM sessions WHERE event = ? AND response IS NULL"
            found = connection.execute(asked, [event_id]).fetchone()
            state = found and _unpacked(found[0])
            report = RewardRecord(time_ms=0, event_id=event_id, **asdict(reward))
            if state and (response := response_of(report, state.slate)):
                connection.execute(
                    "UPDATE sessions SET response = ? WHERE event = ? AND response IS NULL",
                    [msgspec.msgpack.encode(response), event_id],
                )

    def shut(self) -> None:
        """See `sessions.Sessions.shut`."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error:
                raise Refused(503, "sessions cannot be read or written now", RETRY_S) from None
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


def _opened(
    request: RankRequest, event: str, time_ms: int, state: bytes, response: bytes, earlier: bytes, answered: bytes
) -> SessionState | None:
    if event == request.event_id:  # asked again
        state, response = earlier, answered
    session = None if state is None else _unpacked(state)
    if session is not None:
        session.response = request.response or (None if response is None else _unpack_response(response))
    return session


def _unpacked(state: bytes) -> SessionState | None:
    try:
        return unpack(state)
    except msgspec.MsgspecError:  # of another version of recsys-cli: the session begins anew
        return None


def _row(state: SessionState) -> dict[str, object]:
    kept = replace(state, response=None)
    return {
        **{"session": state.session, "event": state.event_id, "time_ms": state.time_ms},
        **{"state": pack(kept), "begins": state.step == 1},
    }
