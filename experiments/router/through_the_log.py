"""A router that learns from a service's log, while its bookkeeper is killed again and again."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from experiments.router.sessions import NAMES, Played
from recsys_cli.config.structured import load
from recsys_cli.serving.deciding import choose
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.log.reading import read_from
from recsys_cli.serving.log.records import DecisionRecord, EpochRecord, PoliciesRecord, RewardRecord, encode_lines
from recsys_cli.serving.log.segments import Segment
from recsys_cli.serving.router.base import Arm
from recsys_cli.serving.router.bookkeeper import Bookkeeper
from recsys_cli.serving.router.build import build_router
from recsys_cli.serving.router.replay import replay_epochs
from recsys_cli.serving.router.settling import Rules
from recsys_cli.serving.router.view import RouterView

SESSIONS, AT_ONCE, KILLS = 500, 5, 8
VERSIONS = dict.fromkeys(NAMES, "1")
Statistics = dict[tuple[str, str], tuple[int, Fraction, Fraction]]


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        sessions: that were played.
        records: in the log.
        kills: of the bookkeeper.
        epochs: that ended.
        counted: sessions in the statistics.
        same_as_undisturbed: whether the statistics are those of a bookkeeper that nobody killed, to the bit.
        same_when_replayed: whether every epoch's state is, and with it the probabilities logged with each decision.
        slateq: share of the last tenth of the sessions.
    """

    sessions: int
    records: int
    kills: int
    epochs: int
    counted: int
    same_as_undisturbed: bool
    same_when_replayed: bool
    slateq: float


def run(work: Path, played: Mapping[str, Played], seed: int = 0) -> Outcome:
    """Play sessions into a log, with a bookkeeper beside that is killed at random moments."""
    shutil.rmtree(work, ignore_errors=True)
    folder = ServiceFolder(work / "service")
    folder.log.mkdir(parents=True)
    rules = Rules(load("router", "thompson", epoch_seconds=0.5), None, 1800.0)
    rng, forked = np.random.default_rng(seed), multiprocessing.get_context("fork")
    batches = SESSIONS // AT_ONCE
    killed_at = (np.linspace(0, batches, KILLS + 2)[1:-1] + rng.integers(-3, 4, KILLS)).astype(int).tolist()
    book = _begin(forked, folder, rules)
    view, log = RouterView(folder.path, rules.router, NAMES), Segment(folder.log, "process")
    log.write(PoliciesRecord(time_ms=0, policies={name: ("1", name) for name in NAMES}))
    chosen: list[str] = []
    for batch in range(batches):
        view.poll()
        chosen += _play(log, view, played, list(range(batch * AT_ONCE, (batch + 1) * AT_ONCE)))
        time.sleep(rng.uniform(0.2, 0.6))
        if batch in killed_at:
            os.kill(book.pid, signal.SIGKILL)
            book.join()
            book = _begin(forked, folder, rules)
    os.kill(book.pid, signal.SIGKILL)
    book.join()
    log.close()
    return _outcome(work, folder, rules, chosen)


def _begin(forked: Any, folder: ServiceFolder, rules: Rules) -> Any:
    process = forked.Process(target=_keep_books, args=(folder, rules), daemon=True)
    process.start()
    return process


def _keep_books(folder: ServiceFolder, rules: Rules) -> None:
    bookkeeper = Bookkeeper(folder, rules)
    while True:
        bookkeeper.step()
        time.sleep(0.02)


def _play(log: Segment, view: RouterView, played: Mapping[str, Played], users: list[int]) -> list[str]:
    """Log sessions, each with the policy that the router gives it; return the policies."""
    now, features = view.now, played[NAMES[0]].user[users]
    weights, names = now.weights(features), [f"session {user}" for user in users]
    chosen = [NAMES[m] for m in choose(weights, names, now.number)]
    for user, session, policy, probability in zip(users, names, chosen, weights, strict=True):
        shares, rewards = dict(zip(NAMES, map(float, probability), strict=True)), played[policy].rewards[user]
        for step, reward in enumerate(rewards):
            event, now_ms = f"{session}, step {step}", int(time.time() * 1000)
            decision = DecisionRecord(
                time_ms=now_ms,
                event_id=event,
                session=session,
                first=step == 0,
                step=step,
                policy=policy,
                version="1",
                versions=VERSIONS,
                explore="none",
                epoch=now.number,
                weights=shares,
                user=[],
                ids=["a", "b"],
                doc=b"",
                excluded=[],
                slate=[0, 1],
                log_propensity=None,
                log_total=None,
                by_policy=None,
                scores=None,
            )
            final = step == len(rewards) - 1
            log.write(decision, RewardRecord(time_ms=now_ms, event_id=event, reward=float(reward), final=final))
    return chosen


def _outcome(work: Path, folder: ServiceFolder, rules: Rules, chosen: list[str]) -> Outcome:
    statistics = _finish(folder, rules)
    records = [record for _, _, record in read_from(folder.log, {})]
    replayed = replay_epochs(folder.log, rules)
    return Outcome(
        sessions=len(chosen),
        records=len(records),
        kills=KILLS + 1,
        epochs=len(replayed.epochs),
        counted=sum(count for count, _, _ in statistics.values()),
        same_as_undisturbed=statistics == _undisturbed(work / "undisturbed", records, rules),
        same_when_replayed=not replayed.different
        and statistics == {key: (arm.count, arm.total, arm.squares) for key, arm in replayed.arms.items()}
        and _weights_follow(records, replayed.computed, rules),
        slateq=float(np.mean([name == "slateq" for name in chosen[-len(chosen) // 10 :]])),
    )


def _finish(folder: ServiceFolder, rules: Rules) -> Statistics:
    """Let a bookkeeper fold what is left, and end two epochs; return the statistics."""
    clock = iter(range(0, 6_000, 60))
    bookkeeper = Bookkeeper(folder, rules, clock=lambda: float(next(clock)))
    for _ in range(3):
        bookkeeper.step()
    statistics = {key: (arm.count, arm.total, arm.squares) for key, arm in bookkeeper.arms().items()}
    bookkeeper.close()
    return statistics


def _undisturbed(path: Path, records: list[Any], rules: Rules) -> Statistics:
    """Return the statistics of a bookkeeper that folds the same decisions and rewards at once."""
    folder = ServiceFolder(path / "service")
    folder.log.mkdir(parents=True)
    own = [record for record in records if not isinstance(record, EpochRecord)]
    (folder.log / "0.jsonl").write_bytes(encode_lines(own))
    return _finish(folder, rules)


def _weights_follow(records: list[Any], states: Mapping[int, Mapping[str, Any]], rules: Rules) -> bool:
    """Return whether the probabilities logged with each decision are those of the replayed states."""
    router = build_router(rules.router, NAMES)
    start = {0: {"state": router.freeze([Arm()] * len(NAMES), {})}}
    everybody, nobody = np.ones(len(NAMES), bool), np.zeros((1, 0))
    found = {
        number: dict(zip(NAMES, map(float, router.law(state["state"], everybody)(nobody)[0]), strict=True))
        for number, state in (start | dict(states)).items()
    }
    return all(each.weights == found[each.epoch] for each in records if isinstance(each, DecisionRecord))
