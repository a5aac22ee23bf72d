"""Who has the bearer token may enter, nobody learns it, and it is looked at before anything else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from serving.asgi import request, scope_of
from serving.bodies import rank_body
from serving.services import FirstOnes, limits_of
from starlette.types import Message

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.serving import TOKEN_VARIABLE
from recsys_cli.config.structured import load
from recsys_cli.serving.http.app import make_api
from recsys_cli.serving.http.auth import read_token

TOKEN, LIMITS = "a-secret-of-the-tests", limits_of()
SPEC = load("env", "interest_evolution").spec
PATHS = ("/v1/policies", "/metrics", "/openapi.json", "/v2/models/first/ready", "/ui/state", "/nowhere")


def test_all_but_health_needs_the_token() -> None:
    app = make_api(FirstOnes(SPEC, LIMITS), LIMITS, TOKEN)
    for path in PATHS:
        answer = request(app, "GET", path)
        assert answer.status == 401 and answer.json == {"error": "a bearer token is needed"}
        assert answer.headers["www-authenticate"] == "Bearer"
    assert request(app, "POST", "/v1/rank", rank_body()).status == 401
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert request(app, "GET", path).status == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_lets_in(scheme: str) -> None:
    app = make_api(FirstOnes(SPEC, LIMITS), LIMITS, TOKEN)
    headers = {"content-type": "application/json", "authorization": f"{scheme} {TOKEN}"}
    assert request(app, "POST", "/v1/rank", rank_body(), headers).status == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        TOKEN,
        "Bearer",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        "Bearer \xff",
        f"Bearer{TOKEN}",
    ],
)
def test_nothing_else_does(given: str) -> None:
    app = make_api(FirstOnes(SPEC, LIMITS), LIMITS, TOKEN)
    answer = request(app, "GET", "/v1/policies", None, {"authorization": given})
    assert answer.status == 401 and TOKEN.encode() not in answer.body


def test_no_body_is_read_without_it() -> None:
    app, sent = make_api(FirstOnes(SPEC, LIMITS), LIMITS, TOKEN), list[Message]()

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope_of("POST", "/v1/rank", [(b"content-type", b"application/json")]), receive, send))
    assert sent[0]["status"] == 401


def test_it_is_in_no_answer_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    service = FirstOnes(SPEC, LIMITS)
    app, headers = make_api(service, LIMITS, TOKEN), {"authorization": f"Bearer {TOKEN}"}
    answers = [request(app, "GET", path, None, headers) for path in PATHS]
    service.policies = None  # type: ignore[assignment, method-assign]  # as a bug would
    answers.append(request(app, "GET", "/v1/policies", None, headers))
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 404, 404, 500]
    assert "TypeError" in caplog.text and TOKEN not in caplog.text
    assert not any(TOKEN in f"{answer.headers}{answer.body!r}" for answer in answers)


def test_it_is_read_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("  from-the-file\n")
    monkeypatch.setenv(TOKEN_VARIABLE, "from-the-environment")
    assert read_token(compose("serve", ["checkpoint=x"])) == "from-the-environment"
    config = compose("serve", ["checkpoint=x", f"token_file={file}"])
    assert read_token(config) == "from-the-file"
    for wrong in (b"", b"\n", b"two words", b"\xff\xfe", b"a\nb"):
        file.write_bytes(wrong)
        with pytest.raises(ConfigError, match="token_file="):
            read_token(config)
    file.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        read_token(config)
    monkeypatch.delenv(TOKEN_VARIABLE)
    assert read_token(compose("serve", ["checkpoint=x"])) is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[fe80::1]:8000", ""])
def test_without_a_token_only_this_machine_s_own_names_are_answered(host: str) -> None:
    """Or a web page could reach the service by a name that points at its reader's machine."""
    app = make_api(FirstOnes(SPEC, LIMITS), LIMITS, None)
    assert request(app, "GET", "/v1/policies", None, {"host": host}).status == 403
    assert request(app, "GET", "/v2/health/ready", None, {"host": host}).status == 200
    guarded = make_api(FirstOnes(SPEC, LIMITS), LIMITS, TOKEN)
    headers = {"host": host, "authorization": f"Bearer {TOKEN}"}
    assert request(guarded, "GET", "/v1/policies", None, headers).status == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_its_own_names_are(host: str) -> None:
    app = make_api(FirstOnes(SPEC, LIMITS), LIMITS, None)
    assert request(app, "GET", "/v1/policies", None, {"host": host}).status == 200
