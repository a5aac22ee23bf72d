"""From the bytes of a request to what policies take, or a refusal in one line.

Structure and types are checked by msgspec, and what it cannot know by the service's problem: numbers of features, their
ranges, topics, ids, responses. A refusal names the place and what belongs there, and never repeats what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from recsys_cli.config.serving import ServingConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.serving import messages
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.http.documents import Layout, candidate_ids, candidate_rows, from_lists
from recsys_cli.serving.http.ranges import FeatureRange, ResponseRange
from recsys_cli.serving.messages import Candidate, Packed, RankRequest, Reward

Floats = NDArray[np.float32]
T = TypeVar("T")

PADDING = 8  # bytes of padded features for each byte that a body may have


class RankBody(RankRequest):
    """The body of `POST /v1/rank`: a `RankRequest`, or `requests` alone."""

    candidates: list[Candidate] | Packed | UnsetType = UNSET  # type: ignore[assignment]  # absent beside `requests`
    requests: list[RankRequest] | UnsetType = UNSET


@dataclass(frozen=True)
class Batch:
    """What one body asks.

    Attributes:
        requests: N of them.
        user: features `[N, U]`.
        doc: features `[N, C, F]`, zero where a request has fewer than C candidates.
        mask: `[N, C]`: the candidates that may be shown: present and not excluded.
        ids: of each request's candidates.
        many: whether the body had `requests`, so that the answer has `decisions`.
    """

    requests: list[RankRequest]
    user: Floats
    doc: Floats
    mask: NDArray[np.bool_]
    ids: list[list[str]]
    many: bool


class Inputs:
    """Reads the bodies of requests to one service."""

    def __init__(self, spec: ProblemSpec, limits: ServingConfig) -> None:
        """Take the problem and the limits."""
        self.limits, self._size = limits, len(spec.documents)
        self._user = FeatureRange(spec.user)
        self._document = FeatureRange(spec.documents.features, spec.documents.topics)
        self._response = ResponseRange(spec)
        self._rank = msgspec.json.Decoder(RankBody)
        self._reward = msgspec.json.Decoder(Reward)

    def batch(self, body: bytes) -> Batch:
        """Return what a body of `POST /v1/rank` asks.

        Raises:
            Refused: 400 or 422.
        """
        asked = decode(self._rank, body)
        requests, layout = self._requests(asked)
        ids = candidate_ids(requests, layout, self.limits.max_candidates)
        layout.check_padding(self._size, PADDING * self.limits.max_body_bytes)
        with np.errstate(over="ignore"):  # what does not fit into a float32 is infinite, and out of range
            rows = candidate_rows(requests, layout, self._size)
            user = self._users(requests, layout)
        doc, mask = layout.padded(self._document.settle(rows, layout.feature_path))
        for i, request in enumerate(requests):
            if request.exclude:
                _exclude(request.exclude, ids[i], mask[i], layout.path(i))
        self._response.check([(layout.path(i), r.response) for i, r in enumerate(requests) if r.response is not None])
        return Batch(requests, user, doc, mask, ids, layout.many)

    def reward(self, body: bytes) -> Reward:
        """Return the body of `POST /v1/events/{id}/reward`.

        Raises:
            Refused: 400 or 422.
        """
        reward = decode(self._reward, body)
        if reward.reward is None and reward.clicked is None and reward.response is None and not reward.final:
            raise Refused(422, "at least one of reward, clicked, response and final is needed")
        if reward.response is not None:
            self._response.check([("", reward.response)])
        return reward

    def _requests(self, asked: RankBody) -> tuple[list[RankRequest], Layout]:
        if asked.requests is UNSET:
            if asked.candidates is UNSET:
                raise Refused(422, "candidates or requests is needed")
            return [asked], Layout(many=False)
        if asked != RankBody(requests=asked.requests):
            raise Refused(422, "requests: no other field may stand beside it")
        if not 1 <= len(asked.requests) <= self.limits.max_requests:
            raise Refused(422, f"requests: must be 1 to {self.limits.max_requests:,}")
        events = [request.event_id for request in asked.requests if request.event_id is not None]
        if len(set(events)) < len(events):
            raise Refused(422, "requests: each event_id may occur once")
        return asked.requests, Layout(many=True)

    def _users(self, requests: Sequence[RankRequest], layout: Layout) -> Floats:
        size = len(self._user)
        for i, request in enumerate(requests):
            if len(request.user) != size:
                raise Refused(422, f"{layout.path(i)}user: must have {size} features")
        rows = from_lists([request.user for request in requests], size)
        return self._user.settle(rows, lambda row, column: f"{layout.path(row)}user[{column}]")


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body.

    Raises:
        Refused: 400 for what is not JSON, 422 for what is not of the type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        refused = Refused(422, explain(str(error)))
    except msgspec.DecodeError as error:  # its text has a position, and nothing of the body
        refused = Refused(400, str(error))
    except UnicodeDecodeError:
        refused = Refused(400, "JSON is malformed: not UTF-8")
    except RecursionError:
        refused = Refused(400, "JSON is malformed: nested too deeply")
    raise refused


def explain(text: str) -> str:
    """Return msgspec's line with the path in front and without what a client sent: unknown fields are not named."""
    what, path = text, ""
    if found := re.fullmatch(r"(.*) - at `\$\.?([\w.\[\]]*)`", text, re.DOTALL):
        what, path = found[1], found[2] if set(re.findall(r"[A-Za-z_]+", found[2])) <= _WORDS else ""
    if "unknown field" in what:
        what = "unknown field"
    elif "matching regex" in what:
        what = "must be printable ASCII"
    what = what.replace("`", "")
    return f"{path}: {what[0].lower()}{what[1:]}" if path else what[0].lower() + what[1:]


def _field_names() -> Iterable[str]:
    for value in vars(messages).values():
        if isinstance(value, type) and issubclass(value, msgspec.Struct):
            yield from value.__struct_fields__


_WORDS = {*_field_names(), "requests"}


def _exclude(excluded: Sequence[str], ids: Sequence[str], mask: NDArray[Any], path: str) -> None:
    """Take candidates out of the mask."""
    position = {name: i for i, name in enumerate(ids)}
    for i, name in enumerate(excluded):
        if name not in position:
            raise Refused(422, f"{path}exclude[{i}]: must be the id of a candidate")
        mask[position[name]] = False
    if not mask.any():
        raise Refused(422, f"{path}exclude: at least one candidate must be left")
