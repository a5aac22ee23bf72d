"""Replay: every decision of a log once more, by the same policies, from what was logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.explore import Explore
from recsys_cli.serving.deciding import BY_CALLER, Decided, choose, decide
from recsys_cli.serving.draws import seeds_of
from recsys_cli.serving.folder import CALLER, ServiceFolder
from recsys_cli.serving.live import LiveSet
from recsys_cli.serving.log.arrays import candidates_of, users_of
from recsys_cli.serving.log.reading import read_from
from recsys_cli.serving.log.records import DecisionRecord, unpack
from recsys_cli.serving.model import Model
from recsys_cli.serving.sessions.memories import Memories

BATCH = 256
SAME = 1e-4  # difference of log-probabilities: sums of float32 depend on how many users there are at once

Versions = tuple[tuple[str, str], ...]
"""Names and versions of policies that are live at the same time."""


@dataclass
class Replay:
    """What a replay found.

    Attributes:
        same: decisions that came out as logged: policy, slate and probabilities.
        different: others.
        first: the first that is different, in words.
    """

    same: int = 0
    different: int = 0
    first: str = ""

    def differs(self, record: DecisionRecord, how: str) -> None:
        """Count a decision that is different."""
        self.different += 1
        self.first = self.first or f"event {record.event_id}: {how}"


def replay_decisions(service: ServiceFolder) -> Replay:
    """Decide everything that a service has logged once more.

    Raises:
        ConfigError: a bundle isn't there, or not sound.
    """
    found = Replay()

    @cache
    def live(versions: Versions, explore: str) -> LiveSet:
        parsed = Explore.parse(explore)
        models = [Model.load(service.bundle(*each), each[0], each[0], parsed) for each in versions]
        return LiveSet(tuple(models), Memories(models))

    waiting: dict[tuple[Versions, str], list[DecisionRecord]] = {}
    for _, _, record in read_from(service.log, {}):
        if isinstance(record, DecisionRecord):
            key = tuple(record.versions.items()), record.explore
            batch = waiting.setdefault(key, [])
            batch.append(record)
            if len(batch) == BATCH:
                _compare(live(*key), waiting.pop(key), found)
    for key, batch in waiting.items():
        _compare(live(*key), batch, found)
    return found


def _compare(live: LiveSet, records: Sequence[DecisionRecord], found: Replay) -> None:
    names = [model.name for model in live.models]
    weights = np.array([[record.weights.get(name, 0.0) for name in names] for record in records])
    which = np.array([BY_CALLER if record.policy == CALLER else names.index(record.policy) for record in records])
    decided = _decided(live, records, weights, which)
    sessions, epochs = [record.session for record in records], np.array([record.epoch for record in records])
    chosen = np.full(len(records), BY_CALLER)
    for epoch in np.unique(epochs):
        rows = np.flatnonzero(epochs == epoch)
        chosen[rows] = choose(weights[rows], [sessions[row] for row in rows], int(epoch))
    lengths, known = decided.lengths, decided.known
    for row, record in enumerate(records):
        if record.first and which[row] not in (chosen[row], BY_CALLER):  # later ones stay with their session's policy
            found.differs(record, f"policy {record.policy}, now {names[chosen[row]]}")
        elif (slate := decided.slates[row, : lengths[row]].tolist()) != list(record.slate):
            found.differs(record, f"slate {list(record.slate)}, now {slate}")
        elif known[row] != (record.log_propensity is not None) or not _close(decided, row, record, names):
            found.differs(record, "other probabilities of the same slate")
        else:
            found.same += 1


def _close(decided: Decided, row: int, record: DecisionRecord, names: Sequence[str]) -> bool:
    logged = list(record.log_propensity or [np.nan] * len(record.slate))
    policies = record.by_policy or {}
    probabilities = np.array([policies.get(name) for name in names], np.float64)
    anew = np.exp(decided.by_policy[row])
    if record.policy == CALLER:  # policies may not have been asked
        anew[np.isnan(probabilities)] = np.nan
    pairs = [
        (decided.log_propensity[row, : len(logged)], np.array(logged, np.float64)),
        (decided.log_total[row], np.array(record.log_total, np.float64)),
        (anew, probabilities),
    ]
    return all(np.allclose(new, old, rtol=0, atol=SAME, equal_nan=True) for new, old in pairs)


def _decided(
    live: LiveSet, records: Sequence[DecisionRecord], weights: NDArray[np.float64], which: NDArray[np.int64]
) -> Decided:
    doc, mask = candidates_of(records, len(live.spec.documents))
    states = unpack(b"".join(record.state or b"" for record in records)).reshape(len(records), -1)
    observations = live.memories.restored(states).observations({"user": users_of(records), "doc": doc, "mask": mask})
    seeds = seeds_of(record.event_id for record in records)
    return decide(live.models, observations, weights, which, seeds)
