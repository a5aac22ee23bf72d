"""Tokens are read as they were signed, or refused in a line."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_cli.config.errors import ConfigError
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.messages import Candidate, RankRequest
from recsys_cli.serving.sessions.tokens import KEY_VARIABLE, ClientSessions, SessionState, Tokens, load_keys

OLD, NEW = b"a" * 32, b"b" * 32
HOUR_MS = 3_600_000


def state(**changes: object) -> SessionState:
    fields = {"session": "s", "event_id": "e", "step": 3, "time_ms": 1000, "policy": "slateq", "version": "0" * 12}
    return SessionState(**{**fields, "epoch": 4, "weights": {"slateq": 1.0}, "memory": b"\0" * 190, **changes})  # type: ignore[arg-type]


def request(**changes: object) -> RankRequest:
    return RankRequest(candidates=[Candidate(id="a", features=[1.0])], **changes)  # type: ignore[arg-type]


def test_a_token_brings_the_session_back_without_what_the_service_alone_keeps() -> None:
    sessions = ClientSessions(Tokens([OLD], "shop"), session_seconds=3600)
    kept = state(slate=["a"], response={"click": [1.0]})
    (token,) = sessions.carried([kept])
    response = {"click": [0.0]}
    asked = [request(session="s", session_state=token, response=response), request(session="t"), request()]
    assert sessions.open(asked, 2000) == [state(response=response), None, None]
    assert sessions.carried([None]) == [None]


def test_the_first_key_signs_and_all_verify() -> None:
    before = Tokens([OLD], "shop").sign(state())
    rotated = Tokens([NEW, OLD], "shop")
    assert rotated.read(before) == state() == Tokens([NEW], "shop").read(rotated.sign(state()))
    with pytest.raises(Refused, match="is not a token of this service"):
        Tokens([NEW], "shop").read(before)
    with pytest.raises(Refused, match="is not a token of this service"):
        Tokens([OLD], "other shop").read(before)


@pytest.mark.parametrize(
    ("changes", "now", "status", "message"),
    [
        ({"session": "other"}, 1000, 422, "session_state is another session's"),
        ({"session": None}, 1000, 422, "session_state is another session's"),
        ({"session": "s"}, 1001 + HOUR_MS, 422, "older than 3600 s: begin a new session"),
        ({"session": "s", "session_state": "x" * 1_000_001}, 1000, 400, "longer than 1000000 characters"),
        ({"session": "s", "session_state": ""}, 1000, 400, "not a token of this service"),
        ({"session": "s", "session_state": "é" * 40}, 1000, 400, "not a token of this service"),
        ({"session": "s", "session_state": None, "response": {"click": [1.0]}}, 1000, 422, "it needs session_state"),
    ],
)
def test_what_does_not_go_on_a_session_is_refused(
    changes: dict[str, object], now: int, status: int, message: str
) -> None:
    tokens = Tokens([OLD], "shop")
    sessions = ClientSessions(tokens, session_seconds=3600)
    given = {"session_state": tokens.sign(state()), **changes}
    with pytest.raises(Refused, match=message) as caught:
        sessions.open([request(**given)], now)
    assert caught.value.status == status and "\n" not in caught.value.message


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_change_of_a_token_is_accepted(data: st.DataObject) -> None:
    tokens = Tokens([NEW, OLD], "shop")
    token = tokens.sign(state(memory=b"ab"))
    at = data.draw(st.integers(0, len(token) - 1))
    alphabet = string.ascii_letters + string.digits + "-_=+/ \n"
    changed = data.draw(
        st.sampled_from([token[:at], token + data.draw(st.sampled_from(alphabet))])
        | st.sampled_from(alphabet).map(lambda letter: token[:at] + letter + token[at + 1 :])
        | st.text(max_size=80)
    )
    if changed == token:
        return
    with pytest.raises(Refused):
        tokens.read(changed)


def test_tokens_are_short() -> None:
    assert len(Tokens([NEW, OLD], "shop").sign(state())) < 400  # 190 bytes of memory among them


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services" / "shop" / "key"
    made = load_keys(file)
    assert load_keys(file) == made and len(made[0]) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("n" * 32 + "\n" + file.read_text())
    assert load_keys(file) == [b"n" * 32, *made]
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others"):
        load_keys(file)
    monkeypatch.setenv(KEY_VARIABLE, "v" * 40)
    assert load_keys(file) == [b"v" * 40]
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(ConfigError, match="variable RECSYS_SERVE_KEY must hold keys of at least 32 characters"):
        load_keys(file)
