"""Sessions of a log as episodes: where they begin and end, and whether more may come of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from recsys_cli.serving.log.joining import Entry, Joined, decode_joined
from recsys_cli.serving.log.records import RewardRecord
from recsys_cli.serving.log.rewards import Aggregation, Outcome, outcome_of, response_of, value_of


@dataclass(frozen=True)
class Terms:
    """When a session is over, and what counts as its rewards.

    Attributes:
        reward: the response's field that is the reward of a click.
        aggregation: of several rewards of one decision.
        session_ms: of silence after which a session is over.
        wait_ms: for a reward, from the session's last decision.
        now_ms: the time.
    """

    reward: str | None
    aggregation: Aggregation
    session_ms: float
    wait_ms: float
    now_ms: int


@dataclass
class Step:
    """A decision and what came of it; `time_ms` is when it was made, as far as the order of the log allows."""

    time_ms: int
    joined: Joined
    outcome: Outcome

    @property
    def number(self) -> int:
        """Its number within the session."""
        return self.joined.decision.step


@dataclass
class Episode:
    """The decisions of one session, in order; some may never have been activated.

    Attributes:
        over: whether the session ended.
        settled: whether all its rewards are known, or have been waited for.
    """

    steps: list[Step]
    over: bool
    settled: bool


def episodes_of(entries: Iterable[Entry], terms: Terms) -> list[Episode]:
    """Return the episodes of joined decisions (see `joining`), by the time of their first.

    A session id names one episode after another: a new one begins after a report that was final, and after silence.
    Decisions of a client that does not carry the session's state are all marked as the first.
    """
    found = [(entry, decode_joined(entry.payload)) for entry in entries]
    found.sort(key=lambda each: (each[1].decision.session, each[0].time_ms, each[0].place))
    episodes: list[Episode] = []
    for _, group in groupby(found, lambda each: each[1].decision.session):
        steps = [Step(entry.time_ms, joined, _outcome(joined, terms)) for entry, joined in group]
        chains = _continued(list(_chains(steps, terms.session_ms)))
        for chain in chains:
            _take_later_responses(chain, terms)
            episodes.append(_episode(chain, terms))
    episodes.sort(key=lambda episode: (episode.steps[0].time_ms, episode.steps[0].joined.decision.session))
    return episodes


def _outcome(joined: Joined, terms: Terms) -> Outcome:
    decision = joined.decision
    return outcome_of(joined.reports, decision.shown, terms.reward, terms.aggregation)


def _chains(steps: list[Step], silence_ms: float) -> Iterator[list[Step]]:
    chain: list[Step] = []
    for step in steps:
        if chain and _ends(chain[-1], step, silence_ms):
            yield chain
            chain = []
        chain.append(step)
    if chain:
        yield chain


def _ends(last: Step, following: Step, silence_ms: float) -> bool:
    """Return whether an episode ended between two decisions: not if the service went on with its state."""
    went_on = not following.joined.decision.first and following.number == last.number + 1
    return last.outcome.final or (following.time_ms - last.time_ms > silence_ms and not went_on)


def _continued(chains: list[list[Step]]) -> list[list[Step]]:
    """Put what another process's clock has put before its beginning behind it, by the numbers of the steps."""
    kept: list[list[Step]] = []
    for chain in reversed(chains):
        before = None if chain[0].joined.decision.first else next((o for o in kept if _precedes(o, chain[0])), None)
        if before is None:
            kept.append(chain)
        else:
            before += chain
    return kept[::-1]


def _precedes(chain: list[Step], step: Step) -> bool:
    last = chain[-1]
    return chain[0].joined.decision.first and last.number + 1 == step.number and not last.outcome.final


def _take_later_responses(steps: list[Step], terms: Terms) -> None:
    """Take the response that came with the next request where no report had one."""
    for step, following in pairwise(steps):
        response = following.joined.decision.response
        if response and step.outcome.response is None and step.number + 1 == following.number:
            decision = step.joined.decision
            report = RewardRecord(event_id=decision.event_id, time_ms=following.time_ms, response=response)
            value = value_of(report, decision.shown, terms.reward) if step.outcome.value is None else step.outcome.value
            step.outcome = Outcome(value, response_of(report, decision.shown), step.outcome.final)


def _episode(steps: list[Step], terms: Terms) -> Episode:
    quiet = terms.now_ms - max(step.time_ms for step in steps)
    over = any(step.outcome.final for step in steps) or quiet > terms.session_ms
    return Episode(steps, over, quiet > terms.wait_ms or all(_rewarded(step, terms) for step in steps))


def _rewarded(step: Step, terms: Terms) -> bool:
    """Whether a decision counts and no more rewards are expected: a report without an id is the whole of it."""
    reports = step.joined.reports
    whole = terms.aggregation == "earliest" or not reports or any(each.reward_id is None for each in reports)
    return step.joined.active and step.outcome.value is not None and whole
