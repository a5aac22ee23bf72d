"""Malformed and hostile requests get one line and never an error of the service: the app in this process."""

from __future__ import annotations

import logging

import pytest
from serving.asgi import request
from serving.services import FirstOnes, limits_of

from experiments.hostile.requests import MARK, Request, all_requests, sound
from recsys_cli.config.structured import load
from recsys_cli.serving.http.app import make_api

LIMITS = limits_of()
SERVICE = FirstOnes(load("env", "interest_evolution").spec, LIMITS)
APP = make_api(SERVICE, LIMITS, None)


@pytest.mark.parametrize("hostile", all_requests(), ids=lambda hostile: hostile.name)
def test_a_hostile_request_is_refused_in_one_line(hostile: Request, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        answer = request(APP, hostile.method, hostile.path, hostile.body, dict(hostile.headers))
    assert answer.status == hostile.status, answer.body
    assert list(answer.json) == ["error"] and 5 < len(answer.json["error"]) < 200
    assert MARK.encode() not in answer.body and answer.body.isascii() and b"\\n" not in answer.body
    assert answer.headers["content-type"] == "application/json" and not caplog.records
    assert SERVICE.statistics.statuses[-1] == hostile.status


def test_what_the_hostile_requests_were_made_of_is_answered() -> None:
    assert request(APP, "POST", "/v1/rank", sound()).status == 200
