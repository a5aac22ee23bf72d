"""A client of a service, for Python programs; other languages send the same JSON (see `/openapi.json` of a service).

It needs msgspec, NumPy and urllib3; neither PyTorch nor Ray is imported.

    from recsys_cli.serving.client import Client

    client = Client("http://127.0.0.1:8000")
    session = client.session("user-17")
    decision = session.rank(ids=["a", "b", "c"], features=[[0.1, 0.9], [0.7, 0.3], [0.5, 0.5]], user=[0.2, 0.4])
    print([document.id for document in decision.slate], decision.policy, decision.propensity.total)
    session.reward(1.0, clicked=decision.slate[0].id, final=True)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec
import urllib3
from msgspec.structs import replace
from numpy.typing import ArrayLike

from recsys_cli.serving.client_session import Response, Session, candidates, plain, row
from recsys_cli.serving.messages import (
    Decision,
    Decisions,
    Policies,
    PolicyChange,
    Problem,
    RankRequest,
    Reward,
    RouterChange,
)

T = TypeVar("T")

PASSING = (500, 502, 503, 504)  # a proxy answers these while a replica dies or starts; the service itself 503 alone
LONGEST_WAIT_S = 5.0


class ServiceError(Exception):
    """The service did not do what was asked.

    Attributes:
        status: of HTTP; None if there was no answer.
        message: why, in one line.
        retries: how often it was tried again.
    """

    def __init__(self, status: int | None, message: str, retries: int = 0) -> None:
        """Take the parts."""
        super().__init__(f"{status}: {message}" if status else message)
        self.status, self.message, self.retries = status, message, retries


class Client:
    """Talks to one service over connections that are kept; threads may share it.

    What fails in passing (no connection, or 500, 502, 503, 504) is tried again after growing waits, or after what
    `Retry-After` says. Decisions have their event id before they are first sent: however often they arrive, they count
    once, and so do their rewards.

    Attributes:
        retried: how many tries were repeated, by their status; None: no answer.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout: float = 10.0, retries: int = 8, connections: int = 16
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: of the service, such as `http://127.0.0.1:8000`.
            token: the service's bearer token, if it needs one.
            timeout: seconds for each connection and each answer.
            retries: the most; the default lasts for about 16 s.
            connections: kept; more threads than that open and close others.
        """
        self.url, self._retries = url.rstrip("/"), retries
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {token}"} if token else {})}
        retry = urllib3.Retry(
            total=retries,
            allowed_methods=None,
            status_forcelist=PASSING,
            backoff_factor=0.1,
            backoff_jitter=0.2,
            backoff_max=LONGEST_WAIT_S,
            retry_after_max=int(LONGEST_WAIT_S),
            raise_on_status=False,
            redirect=False,
        )
        self.retried, self._lock = Counter[int | None](), Lock()
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=connections, headers=headers, timeout=urllib3.Timeout(timeout), retries=retry
        )

    def rank(
        self,
        ids: Sequence[str],
        features: ArrayLike,
        user: ArrayLike = (),
        *,
        session: str | None = None,
        session_state: str | None = None,
        response: Response | None = None,
        exclude: Sequence[str] = (),
        event_id: str | None = None,
        defer_activation: bool = False,
    ) -> Decision:
        """Return the slate for a user.

        Args:
            ids: of the candidates.
            features: of the candidates, `[C, F]`; a NumPy array is sent packed, which is cheapest for many candidates.
            user: features, `[U]`.
            session: see `messages.RankRequest`, also for the others; `Client.session` takes care of all three.
            session_state: see there.
            response: see there.
            exclude: ids of candidates that must not be shown.
            event_id: of the decision; by default a new one.
            defer_activation: whether the decision counts only after `activate`.

        Raises:
            ServiceError: the request is wrong, or no answer came in spite of retries.
        """
        request = RankRequest(
            candidates=candidates(ids, features),
            user=row(user),
            event_id=event_id,
            session=session,
            session_state=session_state,
            response=plain(response),
            exclude=list(exclude),
            defer_activation=defer_activation,
        )
        return self.rank_one(request)

    def rank_one(self, request: RankRequest) -> Decision:
        """Return the slate that a request asks for.

        Raises:
            ServiceError: see `rank`.
        """
        return self._post("/v1/rank", _named(request), Decision)

    def rank_many(self, requests: Sequence[RankRequest]) -> list[Decision]:
        """Return the slates for several users, asked for in one request: several times cheaper than one by one.

        Raises:
            ServiceError: see `rank`.
        """
        body = {"requests": [_named(request) for request in requests]}
        return self._post("/v1/rank", body, Decisions).decisions

    def reward(
        self,
        event_id: str,
        reward: float | None = None,
        *,
        clicked: str | None = None,
        response: Response | None = None,
        reward_id: str | None = None,
        final: bool = False,
    ) -> None:
        """Report what came of a decision; see `messages.Reward`.

        If a decision has several rewards that are to be added up, each needs a `reward_id`: of those without one, the
        first counts.

        Raises:
            ServiceError: see `rank`.
        """
        body = Reward(
            reward=reward,
            clicked=clicked,
            response=plain(response),
            reward_id=reward_id,
            final=final,
        )
        self._post(f"/v1/events/{quote(event_id, safe='')}/reward", body)

    def activate(self, event_id: str) -> None:
        """Let a deferred decision count.

        Raises:
            ServiceError: see `rank`.
        """
        self._post(f"/v1/events/{quote(event_id, safe='')}/activate")

    def policies(self) -> Policies:
        """Return the live policies and their shares.

        Raises:
            ServiceError: see `rank`.
        """
        return self._ask("GET", "/v1/policies", None, Policies)

    def change_router(self, change: RouterChange) -> Policies:
        """Say which policies may be chosen.

        Raises:
            ServiceError: see `rank`.
        """
        return self._ask("PUT", "/v1/router", change, Policies)

    def change_policy(self, name: str, checkpoint: str) -> Policies:
        """Let another checkpoint take a policy's place.

        Raises:
            ServiceError: see `rank`.
        """
        return self._ask("PUT", f"/v1/policies/{quote(name, safe='')}", PolicyChange(checkpoint=checkpoint), Policies)

    def session(self, session_id: str | None = None) -> Session:
        """Return a session, which carries its state from decision to decision."""
        return Session(self, session_id or uuid4().hex)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _post(self, path: str, body: Any = None, answer: type[T] = object) -> T:  # type: ignore[assignment]
        return self._ask("POST", path, body, answer)

    def _ask(self, method: str, path: str, body: Any, answer: type[T]) -> T:
        content = None if body is None else msgspec.json.encode(body)
        try:
            response = self._pool.request(method, self.url + path, body=content)
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise ServiceError(None, f"no answer from {self.url}: {type(reason).__name__}", self._retries) from None
        tried = self._count(response.retries)
        if response.status >= 300:
            raise ServiceError(response.status, _problem(response.data), tried)
        try:
            return msgspec.json.decode(response.data, type=answer)
        except msgspec.MsgspecError as error:
            raise ServiceError(response.status, f"{self.url} does not answer as a service: {error}", tried) from None

    def _count(self, retry: urllib3.Retry | None) -> int:
        history = retry.history if retry else ()
        with self._lock:
            self.retried.update(each.status for each in history)
        return len(history)


def _named(request: RankRequest) -> RankRequest:
    return request if request.event_id else replace(request, event_id=uuid4().hex)


def _problem(content: bytes) -> str:
    """Return the line of a refusal; a proxy's own page has none."""
    try:
        return msgspec.json.decode(content, type=Problem).error
    except msgspec.MsgspecError:
        return "the answer is not the service's"
