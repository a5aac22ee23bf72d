"""What the OpenAPI document says is true: schemathesis looks for answers that it does not allow."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import seed, settings
from schemathesis import GenerationMode
from serving.asgi import request
from serving.bodies import TOPICS
from serving.services import FirstOnes, limits_of
from starlette.types import ASGIApp

from recsys_cli.config.structured import load
from recsys_cli.serving.http.app import make_api

LIMITS, TOKEN = limits_of("max_candidates=20", "max_requests=4"), "a-token-of-the-tests"
BEARER, LOCAL = {"Authorization": f"Bearer {TOKEN}"}, {"Host": "localhost"}


OPEN, GUARDED = (schemathesis.pytest.from_fixture(name) for name in ("open_schema", "guarded_schema"))


def app_of(token: str | None) -> ASGIApp:
    return make_api(FirstOnes(load("env", "interest_evolution").spec, LIMITS), LIMITS, token)


@pytest.fixture(scope="module")
def open_schema() -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", app_of(None), headers=LOCAL)


@pytest.fixture(scope="module")
def guarded_schema() -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", app_of(TOKEN), headers=BEARER)


@OPEN.exclude(path="/v1/recommend").parametrize()
@settings(max_examples=2, deadline=None, database=None)
@seed(1)
def test_the_document_is_true(case: schemathesis.Case) -> None:
    _agree(case)
    case.call_and_validate(headers=LOCAL)


@pytest.mark.slow
@GUARDED.parametrize()
@settings(max_examples=300, deadline=None, database=None)
@seed(2)
def test_the_document_is_true_for_many_and_with_a_token(case: schemathesis.Case) -> None:
    _agree(case)
    case.call_and_validate(headers=BEARER)


def _agree(case: schemathesis.Case) -> None:
    """Let a body that the schema allows agree with itself, which no schema can ask for: ids, and bytes of features."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE or not isinstance(case.body, dict):
        return
    requests = case.body.get("requests", [case.body])
    for i, each in enumerate(requests):
        candidates = each.get("candidates")
        if candidates is None:
            continue
        if isinstance(candidates, dict):
            candidates["ids"] = [str(j) for j in range(len(candidates["ids"]))]
            rows = np.eye(TOPICS, dtype="<f4")[: len(candidates["ids"])]
            candidates["features_b64"] = base64.b64encode(rows.tobytes()).decode()
        else:
            for j, candidate in enumerate(candidates):
                candidate["id"] = f"{j}{candidate['id']}"[:128]
        each["exclude"] = []
        if each.get("event_id") is not None:
            each["event_id"] = f"{i}{each['event_id']}"[:128].rstrip()


def test_the_problem_is_described() -> None:
    answer = request(app_of(None), "GET", "/openapi.json")
    schemas = answer.json["components"]["schemas"]
    features = schemas["Candidate"]["properties"]["features"]
    assert features["minItems"] == features["maxItems"] == TOPICS
    assert schemas["RankRequest"]["required"] == ["candidates", "user"]
    response = schemas["Reward"]["properties"]["response"]["anyOf"][1]
    assert list(response["properties"]) == ["click", "watch_time", "liked", "quality", "cluster_id"]
    assert all(field["maxItems"] == 2 for field in response["properties"].values())
    assert "securitySchemes" not in answer.json["components"]
