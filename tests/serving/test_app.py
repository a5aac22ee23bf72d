"""What the app answers, and which operation it passes a request to."""

from __future__ import annotations

import pytest
from serving.asgi import request
from serving.bodies import rank_body
from serving.services import FirstOnes, limits_of

from recsys_cli.config.structured import load
from recsys_cli.serving.app import make_api

SPEC = load("env", "interest_evolution").spec
LIMITS = limits_of()


@pytest.fixture
def service() -> FirstOnes:
    return FirstOnes(SPEC, LIMITS)


def test_one_request_gets_one_decision(service: FirstOnes) -> None:
    answer = request(make_api(service, LIMITS, None), "POST", "/v1/rank", rank_body(candidates=10))
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert [shown["id"] for shown in answer.json["slate"]] == ["d0", "d1"]
