"""From requests to records and answers: sessions, the router's choice, the decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_cli.serving.deciding import BY_CALLER, Decided, Ints, choose, decide, keep_order
from recsys_cli.serving.draws import seeds_of
from recsys_cli.serving.folder import CALLER
from recsys_cli.serving.http.inputs import Batch
from recsys_cli.serving.live import LiveSet
from recsys_cli.serving.log.arrays import candidates_of, ragged
from recsys_cli.serving.log.records import DecisionRecord, pack, unpack
from recsys_cli.serving.messages import Decision, Propensity, RankRequest, Shown
from recsys_cli.serving.router.view import RouterView
from recsys_cli.serving.sessions.memories import Recalled
from recsys_cli.serving.sessions.tokens import Sessions, SessionState
from recsys_cli.slates.distributions.base import PADDING

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """Requests that are to be decided, N of them.

    Attributes:
        events: ids.
        requests: as sent.
        user: features `[N, U]`.
        doc: features `[N, C, F]`, zero behind the end.
        mask: `[N, C]`: what may be shown.
        ids: of each request's candidates.
    """

    events: list[str]
    requests: list[RankRequest]
    user: NDArray[np.float32]
    doc: NDArray[np.float32]
    mask: NDArray[np.bool_]
    ids: list[list[str]]

    @classmethod
    def of(cls, batch: Batch, events: Sequence[str], rows: Sequence[int]) -> Asked:
        """Return some of a body's requests."""
        if len(rows) == len(events):
            return cls(list(events), batch.requests, batch.user, batch.doc, batch.mask, batch.ids)
        return cls(
            [events[row] for row in rows],
            [batch.requests[row] for row in rows],
            batch.user[rows],
            batch.doc[rows],
            batch.mask[rows],
            [batch.ids[row] for row in rows],
        )

    @property
    def sessions(self) -> list[str]:
        """The session of each request: an episode of its own if it names none."""
        return [request.session or event for request, event in zip(self.requests, self.events, strict=True)]


@dataclass
class Chosen:
    """Who decides for N users.

    Attributes:
        which: number of the policy, `[N]`, or `BY_CALLER`.
        weights: of the policies under the router when the session was given to its policy, `[N, M]`.
        epochs: of the router then.
    """

    which: Ints
    weights: Floats
    epochs: list[int]


class Answering:
    """Answers requests by a live set and a router.

    Attributes:
        sessions: where sessions are between two decisions.
    """

    def __init__(self, sessions: Sessions, explore: str) -> None:
        """Take the sessions, and how policies explore, for the log."""
        self.sessions, self._explore = sessions, explore

    def answer(
        self, live: LiveSet, router: RouterView, asked: Asked, now_ms: int
    ) -> tuple[list[DecisionRecord], list[Decision]]:
        """Decide, and return what is to be logged and what is to be answered.

        Raises:
            Refused: a session that cannot go on, or a number of candidates that a policy does not take.
        """
        states = self.sessions.open(asked.requests, now_ms)
        chosen = _chosen(live, router, asked, states)
        recalled = live.memories.recall(states)
        if router.mode == "logging_only":
            decided = keep_order(asked.mask, chosen.weights, live.spec.slate_size)
        else:
            observations = recalled.observations({"user": asked.user, "doc": asked.doc, "mask": asked.mask})
            decided = decide(live.models, observations, chosen.weights, chosen.which, seeds_of(asked.events))
        records = self._records(live, asked, states, chosen, recalled, decided, now_ms)
        after = _after(live, records, recalled.after(decided.slates, asked.doc))
        self.sessions.close(after)
        return records, self._answers(records, after)

    def again(self, live: LiveSet, records: Sequence[DecisionRecord]) -> list[Decision]:
        """Return the answers that were given for records of the same versions as are live."""
        if not records:
            return []
        doc, _ = candidates_of(records, len(live.spec.documents))
        states = unpack(b"".join(record.state or b"" for record in records)).reshape(len(records), -1)
        slates = ragged([record.slate for record in records], live.spec.slate_size, PADDING, np.int64)
        return self._answers(records, _after(live, records, live.memories.restored(states).after(slates, doc)))

    def _answers(self, records: Sequence[DecisionRecord], after: Sequence[SessionState | None]) -> list[Decision]:
        return [_answer(*each) for each in zip(records, self.sessions.carried(after), strict=True)]

    def _records(
        self,
        live: LiveSet,
        asked: Asked,
        states: Sequence[SessionState | None],
        chosen: Chosen,
        recalled: Recalled,
        decided: Decided,
        now_ms: int,
    ) -> list[DecisionRecord]:
        names, versions = [model.name for model in live.models], {model.name: model.version for model in live.models}
        remembered = recalled.remembered if live.memories.size else None
        rows = zip(
            asked.events,
            asked.sessions,
            asked.requests,
            asked.user.tolist(),  # as policies see it: put on a bound that it was beyond by a rounding
            asked.ids,
            states,
            chosen.which.tolist(),
            chosen.weights.tolist(),
            chosen.epochs,
            decided.lengths,
            strict=True,
        )
        known, by_policy = decided.known, np.exp(decided.by_policy).tolist()
        records = []
        for row, (event, session, request, user, ids, state, which, weights, epoch, length) in enumerate(rows):
            model = None if which == BY_CALLER else live.models[which]
            records.append(
                DecisionRecord(
                    time_ms=now_ms,
                    event_id=event,
                    session=session,
                    first=state is None,
                    step=0 if state is None else state.step,
                    policy=CALLER if model is None else model.name,
                    version="" if model is None else model.version,
                    explore=self._explore,
                    epoch=epoch,
                    versions=versions,
                    weights=dict(zip(names, weights, strict=True)),
                    user=user,
                    ids=ids,
                    doc=pack(asked.doc[row, : len(ids)]),
                    excluded=np.flatnonzero(~asked.mask[row, : len(ids)]).tolist() if request.exclude else [],
                    slate=decided.slates[row, :length].tolist(),
                    log_propensity=decided.log_propensity[row, :length].tolist() if known[row] else None,
                    by_policy=dict(zip(names, _or_none(by_policy[row]), strict=True)),
                    log_total=None if np.isnan(decided.log_total[row]) else float(decided.log_total[row]),
                    scores=decided.scores[row, :length].tolist() if decided.scored[row] else None,
                    state=None if remembered is None else pack(remembered[row]),
                    response=request.response,
                    active=not request.defer_activation,
                )
            )
        return records


def _after(live: LiveSet, records: Sequence[DecisionRecord], memories: Sequence[bytes]) -> list[SessionState | None]:
    """Return the sessions after their decisions; None for requests that named none, which are over."""
    return [
        None
        if record.session == record.event_id
        else SessionState(
            session=record.session,
            event_id=record.event_id,
            step=record.step + 1,
            time_ms=record.time_ms,
            policy=record.policy,
            version=record.version,
            epoch=record.epoch,
            weights=record.weights,
            layout=live.memories.layout,
            memory=memory,
            slate=[record.ids[position] for position in record.slate],
        )
        for record, memory in zip(records, memories, strict=True)
    ]


def _chosen(live: LiveSet, router: RouterView, asked: Asked, states: Sequence[SessionState | None]) -> Chosen:
    """Let the router choose; a session stays with its policy as long as that may be chosen."""
    now, names = router.now, list(router.names)
    weights = np.array(now.weights(asked.user), np.float64)
    epochs = [now.number] * len(states)
    if router.mode in ("apprentice", "logging_only"):
        return Chosen(np.full(len(states), BY_CALLER), weights, epochs)
    which = choose(weights, asked.sessions, now.number)
    for row, state in enumerate(states):
        if state is not None and state.policy in names and weights[row, names.index(state.policy)] > 0:
            which[row], epochs[row] = names.index(state.policy), state.epoch
            weights[row] = [state.weights.get(name, 0.0) for name in names]
    return Chosen(which, weights, epochs)


def _answer(record: DecisionRecord, token: str | None) -> Decision:
    scores: Sequence[float | None] = record.scores or [None] * len(record.slate)
    own = (record.by_policy or {}).get(record.policy, 1.0)  # the caller's order is certain
    return Decision(
        event_id=record.event_id,
        slate=[Shown(record.ids[at], score) for at, score in zip(record.slate, scores, strict=True)],
        propensity=Propensity(
            own,
            record.weights.get(record.policy, 1.0),
            None if record.log_total is None else math.exp(record.log_total),
        ),
        policy=record.policy,
        version=record.version,
        session_state=token,
    )


def _or_none(values: Sequence[float]) -> list[float | None]:
    """Return None for numbers that are not known."""
    return [None if math.isnan(value) else value for value in values]
