"""The OpenAPI document of a service, made from its operations and the types of their bodies and answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from recsys_cli import __version__
from recsys_cli.config.serving import ServingConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.serving.messages import Problem
from recsys_cli.serving.operations import Operation

SCHEMA = "#/components/schemas/{name}"


def document(
    operations: Sequence[Operation], spec: ProblemSpec, limits: ServingConfig, guarded: bool
) -> dict[str, Any]:
    """Return the document.

    Args:
        operations: of the service.
        spec: of its problem, whose features and responses are described.
        limits: on sizes.
        guarded: whether a bearer token is needed.
    """
    types = {Problem, *(kind for each in operations for kind in (*each.body, *each.returns))}
    _, components = msgspec.json.schema_components(types, ref_template=SCHEMA)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        path = paths.setdefault(re.sub(r":\w+}", "}", each.path), {})
        path[each.method.lower()] = _operation(each, guarded)
    return {
        "openapi": "3.1.0",
        "info": {"title": "recsys serve", "version": __version__},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(operation: Operation, guarded: bool) -> dict[str, Any]:
    refusals = {431: "too many or too long headers", 500: "an error of the service", **operation.refusals}
    answers: dict[str, Any] = {
        str(status): _response(text, {"$ref": "#/components/schemas/Problem"}) for status, text in refusals.items()
    }
    answers[str(operation.status)] = _response(
        HTTPStatus(operation.status).phrase,
        {"oneOf": [{"$ref": SCHEMA.format(name=kind.__name__)} for kind in operation.returns]},
    )
    return {"summary": operation.summary, "responses": answers}


def _response(text: str, schema: Any) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
