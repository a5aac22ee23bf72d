"""What a service does for its clients: each operation with its address, and the types of its body and answer."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.serving import ServingConfig
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.http.inputs import Inputs, decode
from recsys_cli.serving.http.limits import RETRY_S
from recsys_cli.serving.messages import (
    Accepted,
    Decision,
    Decisions,
    Health,
    Id,
    Policies,
    PolicyChange,
    RankRequest,
    RankRequests,
    Reward,
    RouterChange,
)

if TYPE_CHECKING:
    from recsys_cli.serving.service import Service

LOG = logging.getLogger("recsys_cli.serving")  # where it goes is the back end's business
LIVE, READY = "/v2/health/live", "/v2/health/ready"
Words = Mapping[str, str]


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        method: of HTTP.
        path: in Starlette's words: `{name}`, or `{name:path}` if it may have slashes.
        summary: one line.
        answer: makes the answer from the body and the path's words.
        returns: types that the answer may have, JSON; none: Prometheus' text.
        body: types that the request's body may have; none: it has no body.
        status: of the answer.
        refusals: what this operation is refused with beside what all are, and when.
        guarded: whether it needs the token.
    """

    method: str
    path: str
    summary: str
    answer: Callable[[bytes, Words], Awaitable[Any]]
    returns: tuple[type, ...] = ()
    body: tuple[type, ...] = ()
    status: int = 200
    refusals: Mapping[int, str] = field(default_factory=dict)
    guarded: bool = True

    @property
    def queued(self) -> bool:
        """Whether it is turned away under load: what decides or logs is."""
        return self.method == "POST"


class Operations:
    """All operations of one service."""

    def __init__(self, service: Service, limits: ServingConfig) -> None:
        """Take the service and its limits."""
        self.service, self.inputs = service, Inputs(service.spec, limits)
        self._router_change = msgspec.json.Decoder(RouterChange)
        self._policy_change = msgspec.json.Decoder(PolicyChange)

    def all(self) -> list[Operation]:
        """Return them, the most frequent first."""
        unknown = {404: "there is no such policy"}
        asked, slates = (RankRequest, RankRequests), (Decision, Decisions)
        rank, event = "Choose a slate for a user, or for each of several", "/v1/events/{event_id:path}"
        reward, activate = "Report what came of a decision", "Let a deferred decision count"
        return [
            Operation("POST", "/v1/rank", rank, self.rank, slates, asked),
            Operation("POST", "/v1/recommend", rank, self.rank, slates, asked),
            Operation("POST", f"{event}/reward", reward, self.reward, (Accepted,), (Reward,), 202),
            Operation("POST", f"{event}/activate", activate, self.activate, (Accepted,), (), 202),
            Operation("GET", "/v1/policies", "The live policies and their shares", self.policies, (Policies,)),
            Operation(
                "PUT", "/v1/router", "Switch policies on or off", self.change_router, (Policies,), (RouterChange,)
            ),
            Operation(
                *("PUT", "/v1/policies/{name}", "Put another version in a policy's place", self.change_policy),
                *((Policies,), (PolicyChange,), 200, unknown),
            ),
            Operation("GET", LIVE, "Whether the process answers", self.live, (Health,), guarded=False),
            Operation(
                *("GET", READY, "Whether it can decide", self.ready, (Health,)),
                refusals={503: "it cannot yet"},
                guarded=False,
            ),
            Operation(
                *("GET", "/v2/models/{name}/ready", "Whether a policy is live", self.policy_ready, (Health,)),
                refusals=unknown,
            ),
            Operation("GET", "/metrics", "Counters for Prometheus", self.metrics),
        ]

    async def rank(self, body: bytes, words: Words) -> Decision | Decisions:
        """Choose slates."""
        began = time.perf_counter()
        batch = self.inputs.batch(body)
        decisions = await self.service.rank(batch)
        self.service.statistics.decided(batch, decisions, time.perf_counter() - began)
        return Decisions(decisions) if batch.many else decisions[0]

    async def reward(self, body: bytes, words: Words) -> Accepted:
        """Log a reward."""
        event_id, reward = _event_id(words), self.inputs.reward(body)
        await self.service.reward(event_id, reward)
        self.service.statistics.rewarded(reward)
        return Accepted(event_id)

    async def activate(self, body: bytes, words: Words) -> Accepted:
        """Log an activation."""
        event_id = _event_id(words)
        await self.service.activate(event_id)
        return Accepted(event_id)

    async def policies(self, body: bytes, words: Words) -> Policies:
        """Say what is live."""
        return self.service.policies()

    async def change_router(self, body: bytes, words: Words) -> Policies:
        """Change what may be chosen."""
        return self.service.change_router(decode(self._router_change, body))

    async def change_policy(self, body: bytes, words: Words) -> Policies:
        """Put another version in a policy's place; it is found and read in a thread, for that may take seconds."""
        name, change = self._live(words), decode(self._policy_change, body)
        try:
            return await asyncio.to_thread(self.service.change_policy, name, change)
        except ConfigError as error:
            LOG.warning("PUT /v1/policies: %s", error)
            raise Refused(422, "checkpoint: cannot be served; the service's errors.log says why") from None

    async def live(self, body: bytes, words: Words) -> Health:
        """Answer."""
        return Health(ready=self.service.ready())

    async def ready(self, body: bytes, words: Words) -> Health:
        """Answer if decisions can be made."""
        if not self.service.ready():
            raise Refused(503, "not ready yet", RETRY_S)
        return Health(ready=True)

    async def policy_ready(self, body: bytes, words: Words) -> Health:
        """Answer if there is such a policy."""
        self._live(words)
        return Health(ready=self.service.ready())

    async def metrics(self, body: bytes, words: Words) -> bytes:
        """Return what was counted."""
        return self.service.statistics.prometheus()

    def _live(self, words: Words) -> str:
        name = words["name"]
        if name not in (policy.name for policy in self.service.policies().policies):
            raise Refused(404, "there is no such policy")
        return name


_ID = next(meta for meta in Id.__metadata__ if meta.pattern)  # type: ignore[attr-defined]


def _event_id(words: Words) -> str:
    event_id = words["event_id"]
    if len(event_id) > _ID.max_length or not re.fullmatch(_ID.pattern, event_id):
        raise Refused(422, f"event id: must be printable ASCII, at most {_ID.max_length} characters")
    return event_id
