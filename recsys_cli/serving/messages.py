"""What clients and the service say to each other: the bodies of requests and answers.

The words are Azure Personalizer's: rank, reward, activate, event id, excluded and deferred. Decoding is strict: unknown
fields, numbers in strings, NaN and infinities are refused.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

_PRINTABLE = r"\A[!-~]([ -~]*[!-~])?\Z"
Id = Annotated[str, Meta(min_length=1, max_length=128, pattern=_PRINTABLE, description="printable ASCII")]
Number = Annotated[float, Meta(ge=-1e12, le=1e12)]
Token = Annotated[str, Meta(max_length=1_000_000)]
# Of candidates, of which there may be many: `inputs` checks all of them at once.
CandidateId = Annotated[
    str,
    Meta(min_length=1, max_length=128, description="printable ASCII", extra_json_schema={"pattern": _PRINTABLE}),
]
Feature = float


class Body(Struct, forbid_unknown_fields=True, kw_only=True):
    """A part of a request."""


class Candidate(Body):
    """A document that may be shown."""

    id: CandidateId
    features: list[Feature]


class Packed(Body):
    """All candidates of a request, packed: little-endian float32 `[C, F]`, row by row, in base64."""

    ids: list[CandidateId]
    features_b64: Annotated[str, Meta(max_length=100_000_000)]


class RankRequest(Body):
    """One user for whom a slate is wanted.

    Attributes:
        candidates: in the caller's own order, which `router=apprentice` and `router=logging_only` show.
        user: features `[U]`.
        event_id: of the decision; the same one gets the same answer and counts once. None: the service makes one.
        session: of the user, whose decisions are one episode; it stays with one policy. None: an episode of its own.
        session_state: of the session's previous answer.
        response: of the user to the slate of the previous answer, `[k]` for each field of the problem; None: nothing
            was clicked, or the response was sent as that event's reward (`serving.sessions=server`).
        exclude: ids of candidates that must not be shown.
        defer_activation: whether the decision counts only once it is activated.
    """

    candidates: list[Candidate] | Packed
    user: list[Number] = []
    event_id: Id | None = None
    session: Id | None = None
    session_state: Token | None = None
    response: dict[str, list[Number]] | None = None
    exclude: list[Id] = []
    defer_activation: bool = False


class RankRequests(Body):
    """Several users, for each of whom a slate is wanted."""

    requests: list[RankRequest]


class Shown(Struct):
    """A document of a slate; `score` is the policy's own, None if it has none."""

    id: str
    score: float | None


class Propensity(Struct):
    """Probabilities of what was decided.

    Attributes:
        policy: of the slate, under the policy that chose it; None if that is known by draws only.
        router: of that policy, under the router.
        total: of the slate, whichever policy had been chosen; None likewise.
    """

    policy: float | None
    router: float
    total: float | None


class Decision(Struct):
    """The answer to a `RankRequest`.

    Attributes:
        slate: at most k documents, in order.
        policy: that chose it; "caller" if the caller's order was kept.
        version: the policy's.
        session_state: to be sent with the session's next request; None if the request named no session, or the service
            keeps it.
    """

    event_id: str
    slate: list[Shown]
    propensity: Propensity
    policy: str
    version: str
    session_state: str | None = None


class Decisions(Struct):
    """The answers to several requests of one body."""

    decisions: list[Decision]


class Reward(Body):
    """What came of a decision; at least one of `reward`, `clicked`, `response` and `final`.

    Attributes:
        reward: of the slate; None: computed from what was clicked.
        clicked: id of the clicked document.
        response: of the user to each position, `[k]` for each field of the problem.
        reward_id: of this report, of which only the first counts; for several reports of one decision.
        final: whether the session is over.
    """

    reward: Number | None = None
    clicked: Id | None = None
    response: dict[str, list[Number]] | None = None
    reward_id: Id | None = None
    final: bool = False


class Accepted(Struct):
    """The answer to a reward or an activation: it is in the log."""

    event_id: str


class PolicyInfo(Struct):
    """A live policy: `share` is the probability that the router now gives it, `source` where it was loaded from."""

    name: str
    version: str
    algo: str
    source: str
    share: float
    control: bool
    enabled: bool


class Policies(Struct):
    """The answer to `GET /v1/policies`."""

    router: str
    epoch: int
    policies: list[PolicyInfo]


class RouterChange(Body):
    """`PUT /v1/router`: which policies may be chosen; `only_control` is the kill switch."""

    disable: list[Id] = []
    enable: list[Id] = []
    only_control: bool | None = None


class PolicyChange(Body):
    """`PUT /v1/policies/{name}`: the checkpoint that is to take a policy's place."""

    checkpoint: Annotated[str, Meta(min_length=1, max_length=4096)]


class Health(Struct):
    """The answer to questions about health."""

    ready: bool


class Problem(Struct):
    """The body of every refusal."""

    error: str
