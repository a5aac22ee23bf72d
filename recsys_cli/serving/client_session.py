"""A session as its client sees it, and what a request is made of."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from recsys_cli.serving.messages import Candidate, Decision, Packed, RankRequest

if TYPE_CHECKING:
    from recsys_cli.serving.client import Client

Response = Mapping[str, ArrayLike]


class Session:
    """A user's session: its decisions are one episode, made by one policy, which remembers the user's responses.

    Attributes:
        id: of the session.
        decision: the last one; None before the first, and once the session is over: the next begins another.
    """

    def __init__(self, client: Client, session_id: str) -> None:
        """Begin."""
        self.id, self._client = session_id, client
        self.decision: Decision | None = None
        self._response: dict[str, list[float]] | None = None

    def rank(
        self, ids: Sequence[str], features: ArrayLike, user: ArrayLike = (), exclude: Sequence[str] = ()
    ) -> Decision:
        """Return the next slate; see `Client.rank`.

        Raises:
            ServiceError: see `Client.rank`.
        """
        return self.take(self._client.rank_one(self.request(ids, features, user, exclude)))

    def request(
        self, ids: Sequence[str], features: ArrayLike, user: ArrayLike = (), exclude: Sequence[str] = ()
    ) -> RankRequest:
        """Return what asks for the next slate, for `Client.rank_many`; `take` must get the answer."""
        state = None if self.decision is None else self.decision.session_state
        return RankRequest(
            candidates=candidates(ids, features),
            user=row(user),
            session=self.id,
            session_state=state,
            response=self._response if state else None,  # else the service knows it from the reward
            exclude=list(exclude),
        )

    def take(self, decision: Decision) -> Decision:
        """Take the answer to `request`."""
        self.decision, self._response = decision, None
        return decision

    def reward(
        self,
        reward: float | None = None,
        *,
        clicked: str | None = None,
        response: Response | None = None,
        final: bool = False,
    ) -> None:
        """Report what came of the last decision, and whether it was the session's last; see `Client.reward`.

        Raises:
            ServiceError: see `Client.rank`.
        """
        assert self.decision is not None, "rank before reward"
        if response is None and clicked is not None:
            self.responded({"click": [shown.id == clicked for shown in self.decision.slate]})
        elif response is not None:
            self.responded(response)
        self._client.reward(self.decision.event_id, reward, clicked=clicked, response=response, final=final)
        if final:
            self.decision = self._response = None

    def responded(self, response: Response) -> None:
        """Take the user's response to the last slate into the next request; `reward` does so too."""
        self._response = plain(response)


def candidates(ids: Sequence[str], features: ArrayLike) -> list[Candidate] | Packed:
    """Return the candidates of a request; see `Client.rank`."""
    if isinstance(features, np.ndarray):
        packed = np.ascontiguousarray(features, "<f4")
        return Packed(ids=list(ids), features_b64=b64encode(packed.tobytes()).decode())
    rows = np.asarray(features, np.float64).tolist()
    return [Candidate(id=each, features=row) for each, row in zip(ids, rows, strict=True)]


def row(values: ArrayLike) -> list[float]:
    """Return numbers, in whatever they are, as a list."""
    numbers: list[float] = np.asarray(values, np.float64).tolist()
    return numbers


def plain(response: Response | None) -> dict[str, list[float]] | None:
    """Return a response in lists."""
    return None if response is None else {name: row(values) for name, values in response.items()}
