"""The OpenAPI document of a service: its operations, the types of their bodies and answers, its problem's numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from recsys_cli import __version__
from recsys_cli.config.serving import ServingConfig
from recsys_cli.envs.spec import ProblemSpec, ResponseField
from recsys_cli.serving.http.operations import Operation
from recsys_cli.serving.http.ranges import FeatureRange, ResponseRange
from recsys_cli.serving.messages import Id, Problem

SCHEMA = "#/components/schemas/{name}"
REFUSED = {"$ref": SCHEMA.format(name=Problem.__name__)}
ANY, WITH_BODY = (
    {431: "too many or too long headers", 500: "an error of the service"},
    {
        400: "malformed JSON",
        408: "a body that did not arrive in time",
        413: "too large a body",
        415: "another content type, or a compressed body",
        422: "values that are not the problem's, or contradict each other",
    },
)
BUSY = {503: "too many requests at once, or a log that cannot be written"}
GUARDED = {401: "no or another bearer token"}
OPEN = {403: "another host than this machine itself, without a bearer token"}
HEADERS = {401: "WWW-Authenticate", 503: "Retry-After"}


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
    _, schemas = msgspec.json.schema_components(types, ref_template=SCHEMA)
    _describe_problem(schemas, spec, limits)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        path = paths.setdefault(re.sub(r":\w+}", "}", each.path), {})
        path[each.method.lower()] = _operation(each, guarded)
    components: dict[str, Any] = {"schemas": schemas}
    if guarded:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    title = f"Slates of {spec.slate_size} for {spec.name}"
    info = {"title": title, "version": __version__, "summary": "recsys serve"}
    return _ecma({"openapi": "3.1.0", "info": info, "paths": paths, "components": components})


def _operation(operation: Operation, guarded: bool) -> dict[str, Any]:
    entrance = (GUARDED if guarded else OPEN) if operation.guarded else {}
    names = re.findall(r"{(\w+)", operation.path)
    refusals = {
        **ANY,
        **(WITH_BODY if operation.body else {}),
        **({422: WITH_BODY[422]} if "event_id" in names else {}),
        **entrance,
        **(BUSY if operation.queued else {}),
        **operation.refusals,
    }
    answers = {str(status): _refusal(status, text) for status, text in sorted(refusals.items())}
    answers[str(operation.status)] = {
        "description": HTTPStatus(operation.status).phrase,
        "content": _json(operation.returns) if operation.returns else _TEXT,
    }
    described: dict[str, Any] = {"summary": operation.summary, "responses": answers}
    if operation.body:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    if names:
        kind = msgspec.json.schema(Id)
        described["parameters"] = [{"name": name, "in": "path", "required": True, "schema": kind} for name in names]
    if entrance is GUARDED:
        described["security"] = [{"token": []}]
    return described


def _json(types: Sequence[type]) -> dict[str, Any]:
    schemas = [{"$ref": SCHEMA.format(name=kind.__name__)} for kind in types]
    return {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}}}


_TEXT = {CONTENT_TYPE_PLAIN_0_0_4: {"schema": {"type": "string"}}}


def _refusal(status: int, text: str) -> dict[str, Any]:
    described: dict[str, Any] = {"description": text, "content": {"application/json": {"schema": REFUSED}}}
    if status in HEADERS:
        described["headers"] = {HEADERS[status]: {"schema": {"type": "string"}}}
    return described


def _describe_problem(schemas: dict[str, Any], spec: ProblemSpec, limits: ServingConfig) -> None:
    """Put the problem's numbers into the schemas of requests."""
    request, candidates = schemas["RankRequest"], {"minItems": 1, "maxItems": limits.max_candidates}
    request["properties"]["user"] |= _features(FeatureRange(spec.user))
    if len(spec.user):
        del request["properties"]["user"]["default"]
        request["required"] = [*request["required"], "user"]
    schemas["Candidate"]["properties"]["features"] |= _features(
        FeatureRange(spec.documents.features, spec.documents.topics), spec.documents.one_hot
    )
    for kind in request["properties"]["candidates"]["anyOf"]:
        if kind.get("type") == "array":
            kind |= candidates
    schemas["Packed"]["properties"]["ids"] |= candidates
    schemas["Packed"]["properties"]["features_b64"]["contentEncoding"] = "base64"
    schemas["RankRequests"]["properties"]["requests"] |= {"minItems": 1, "maxItems": limits.max_requests}
    response = {
        "type": "object",
        "properties": {each.name: _response_field(each, spec.slate_size) for each in spec.response},
        "additionalProperties": False,
    }
    for owner in ("RankRequest", "Reward"):
        schemas[owner]["properties"]["response"]["anyOf"] = [{"type": "null"}, response]
    number, text = {"type": "number"}, {"type": "string"}
    said = {"reward": number, "clicked": text, "response": {"type": "object"}, "final": {"const": True}}
    schemas["Reward"]["anyOf"] = [{"required": [name], "properties": {name: kind}} for name, kind in said.items()]


def _features(features: FeatureRange, one_hot: bool = False) -> dict[str, Any]:
    """Return the schema of a vector of features."""
    size = {"minItems": len(features), "maxItems": len(features)}
    if one_hot:
        return {**size, "items": {"enum": [0, 1]}, "contains": {"const": 1}, "minContains": 1, "maxContains": 1}
    each = [{"type": "number", "minimum": low, "maximum": high} for low, high in features.bounds]
    if all(one == each[0] for one in each):
        return {**size, **({"items": each[0]} if each else {})}
    return {**size, "prefixItems": each}


def _response_field(field: ResponseField, slate_size: int) -> dict[str, Any]:
    if field.kind == "number":
        low, high = ResponseRange.ends(field)
        item: dict[str, Any] = {"type": "number", "minimum": low, "maximum": high}
    else:
        item = {"type": "integer", "minimum": 0, "maximum": 1 if field.kind == "flag" else int(field.high) - 1}
    return {"type": "array", "maxItems": slate_size, "items": item}


def _ecma(value: Any) -> Any:
    r"""Return a schema with regular expressions as JSON Schema has them: Python's \A and \Z are ^ and $ there."""
    if isinstance(value, dict):
        return {
            name: each.replace(r"\A", "^").replace(r"\Z", "$")
            if name == "pattern" and isinstance(each, str)
            else _ecma(each)
            for name, each in value.items()
        }
    return [_ecma(each) for each in value] if isinstance(value, list | tuple) else value
