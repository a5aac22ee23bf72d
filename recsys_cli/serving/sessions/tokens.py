"""Sessions: what a service has to know of one at its next decision, and the signed tokens in which clients carry it.

Nothing is kept at the service, so any replica answers any request. A token is HMAC-SHA256 (RFC 2104, cut to 16 bytes)
before the state in MessagePack, both in base64url. What is signed begins with the service's name: another service's
token is refused even if the two share a key.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from recsys_cli.config.errors import ConfigError
from recsys_cli.files import locked, replacing
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.messages import RankRequest, Reward

KEY_VARIABLE = "RECSYS_SERVE_KEY"
SHORTEST_KEY = 32  # characters
SIGNATURE = 16  # bytes
LONGEST_TOKEN = 1_000_000  # characters

Response = dict[str, list[float]]


class SessionState(Struct, array_like=True, kw_only=True):
    """A session after a decision.

    Attributes:
        session: its id.
        event_id: of the last decision.
        step: decisions so far.
        time_ms: of the last decision.
        policy: that the session stays with, and its version then.
        epoch: of the router when that policy was chosen.
        weights: of the router then, by policy.
        layout: of `memory`; see `memories.Memories`.
        memory: float32 `[S]`, little-endian.
        slate: ids shown by the last decision; only in sessions that the service keeps.
        response: of the user to them, as far as known; never in a token.
    """

    session: str
    event_id: str
    step: int
    time_ms: int
    policy: str
    version: str
    epoch: int
    weights: dict[str, float]
    layout: str = ""
    memory: bytes = b""
    slate: list[str] = []
    response: Response | None = None


pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(SessionState).decode


class Sessions(Protocol):
    """Where sessions are between two decisions."""

    def open(self, requests: Sequence[RankRequest], now_ms: int) -> list[SessionState | None]:
        """Return each request's session, with the response to its last slate; None if it begins.

        Raises:
            Refused: a request's session cannot be gone on with.
        """

    def close(self, states: Sequence[SessionState | None]) -> None:
        """Keep sessions after a decision."""

    def carried(self, states: Sequence[SessionState | None]) -> list[str | None]:
        """Return what sessions' clients have to carry after a decision; None: nothing."""

    def responded(self, event_id: str, reward: Reward) -> None:
        """Take what came of a decision, for sessions whose clients carry nothing."""

    def shut(self) -> None:
        """Let go of files."""


class Tokens:
    """Signs and verifies sessions' tokens."""

    def __init__(self, keys: Sequence[bytes], service: str, longest: int = LONGEST_TOKEN) -> None:
        """Take what is needed.

        Args:
            keys: the first signs; all verify, so that a new one can be put before an old one.
            service: the service's name.
            longest: the most characters of a token.
        """
        self._keys, self._service, self._longest = list(keys), service.encode() + b"\0", longest

    def sign(self, state: SessionState) -> str:
        """Return a session's token."""
        packed = pack(state)
        return urlsafe_b64encode(self._signature(self._keys[0], packed) + packed).decode()

    def read(self, token: str) -> SessionState:
        """Return the session of a token.

        Raises:
            Refused: not signed by this service, or too long.
        """
        if len(token) > self._longest:
            raise Refused(400, f"session_state is longer than {self._longest} characters")
        try:
            raw = urlsafe_b64decode(token.encode("ascii"))
        except ValueError:
            raw = b""
        signature, packed = raw[:SIGNATURE], raw[SIGNATURE:]
        # All keys are tried whichever fits, and base64 is compared as text: it has several spellings of the same bytes.
        fits = [hmac.compare_digest(signature, self._signature(key, packed)) for key in self._keys]
        if not any(fits) or urlsafe_b64encode(raw).decode() != token:
            raise Refused(400, "session_state is not a token of this service, or was changed")
        try:
            return unpack(packed)
        except msgspec.MsgspecError:
            raise Refused(422, "session_state is of another version of recsys-cli: begin a new session") from None

    def _signature(self, key: bytes, packed: bytes) -> bytes:
        return hmac.digest(key, self._service + packed, "sha256")[:SIGNATURE]


class ClientSessions:
    """Sessions whose clients carry them as tokens (`serving.sessions=client`)."""

    def __init__(self, tokens: Tokens, session_seconds: float) -> None:
        """Take the tokens, and how old one may be."""
        self._tokens, self._oldest_ms = tokens, session_seconds * 1000

    def open(self, requests: Sequence[RankRequest], now_ms: int) -> list[SessionState | None]:
        """See `Sessions.open`."""
        return [self._opened(request, now_ms) for request in requests]

    def _opened(self, request: RankRequest, now_ms: int) -> SessionState | None:
        if request.session_state is None:
            if request.response is not None:
                raise Refused(
                    422, "response is to a slate shown before: it needs session_state, or send it as a reward"
                )
            return None
        state = self._tokens.read(request.session_state)
        if state.session != request.session:
            raise Refused(422, "session_state is another session's")
        if now_ms - state.time_ms > self._oldest_ms:
            raise Refused(422, f"session_state is older than {self._oldest_ms / 1000:g} s: begin a new session")
        state.response = request.response
        return state

    def close(self, states: Sequence[SessionState | None]) -> None:
        """See `Sessions.close`."""

    def carried(self, states: Sequence[SessionState | None]) -> list[str | None]:
        """See `Sessions.carried`."""
        return [
            None if state is None else self._tokens.sign(replace(state, slate=[], response=None)) for state in states
        ]

    def responded(self, event_id: str, reward: Reward) -> None:
        """See `Sessions.responded`."""

    def shut(self) -> None:
        """See `Sessions.shut`."""


def load_keys(file: Path) -> list[bytes]:
    """Return the keys that sign tokens: of the variable RECSYS_SERVE_KEY, else of a file, which is made if need be.

    One a line, the first signs; to change it, put a new one before it and take the old one out a session later.

    Raises:
        ConfigError: a key that is too short, or a file that others may read.
    """
    text, where = os.environ.get(KEY_VARIABLE), f"the variable {KEY_VARIABLE}"
    if text is None:
        where = str(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(file.parent):
            if not file.exists():
                with replacing(file) as temporary:
                    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                    temporary.write_text(secrets.token_urlsafe(32) + "\n", encoding="ascii")
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise ConfigError(f"{file} can be read by others, who could then forge sessions: chmod 600 {file}")
        text = file.read_text(encoding="utf-8")
    keys = re.split(r"[\s,]+", text.strip())
    if any(len(key) < SHORTEST_KEY for key in keys):
        raise ConfigError(f"{where} must hold keys of at least {SHORTEST_KEY} characters, one a line")
    return [key.encode() for key in keys]
