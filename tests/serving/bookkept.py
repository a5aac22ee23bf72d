"""A service's log written by hand, and its bookkeeper under a clock that the test turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.config.structured import load
from recsys_cli.files import read_json
from recsys_cli.serving.folder import ServiceFolder
from recsys_cli.serving.log.records import (
    ActivationRecord,
    DecisionRecord,
    PoliciesRecord,
    Record,
    RewardRecord,
    encode_lines,
    pack,
)
from recsys_cli.serving.router.base import Arm
from recsys_cli.serving.router.bookkeeper import Bookkeeper
from recsys_cli.serving.router.epochs import Key
from recsys_cli.serving.router.settling import Rules

DOC = pack(np.zeros((3, 1)))


def decided(
    event_id: str, session: str | None = None, policy: str = "a", time_ms: int = 0, step: int = 0, **changes: Any
) -> DecisionRecord:
    fields: dict[str, Any] = {
        "version": "1",
        "explore": "none",
        "epoch": 0,
        "versions": {"a": "1", "b": "1"},
        "weights": {"a": 0.5, "b": 0.5},
        "user": [0.5],
        "ids": ["x", "y", "z"],
        "doc": DOC,
        "excluded": [],
        "slate": [0, 2],
        "log_propensity": [0.0, 0.0],
        "log_total": 0.0,
        "by_policy": {"a": 1.0, "b": 0.25},
        "scores": None,
        "first": step == 0,
    }
    return DecisionRecord(
        event_id=event_id, session=session or event_id, policy=policy, time_ms=time_ms, step=step, **(fields | changes)
    )


def rewarded(event_id: str, reward: float | None = None, time_ms: int = 0, **changes: Any) -> RewardRecord:
    return RewardRecord(event_id=event_id, reward=reward, time_ms=time_ms, **changes)


def activated(event_id: str) -> ActivationRecord:
    return ActivationRecord(event_id=event_id, time_ms=0)


def live(time_ms: int = 0, **versions: str) -> PoliciesRecord:
    return PoliciesRecord(time_ms=time_ms, policies={name: (version, name) for name, version in versions.items()})


class Books:
    """A service's folder with its bookkeeper; `now` is the clock, seconds."""

    def __init__(self, path: Path, router: str = "thompson", session_seconds: float = 100.0, **changes: Any) -> None:
        self.folder = ServiceFolder(path)
        self.folder.log.mkdir(parents=True, exist_ok=True)
        settings = {"epoch_seconds": 10.0, "wait_seconds": 50.0, "state": "sqlite://"} | changes
        self.rules = Rules(load("router", router, **settings), "click", session_seconds)
        self.now = 0.0
        self.start()

    def start(self) -> None:
        self.bookkeeper = Bookkeeper(self.folder, self.rules, clock=lambda: self.now)
        self.bookkeeper.step()

    def write(self, *records: Record, segment: str = "0") -> None:
        with (self.folder.log / f"{segment}.jsonl").open("ab") as file:
            file.write(encode_lines(records))

    def after(self, *seconds: float) -> dict[Key, Arm]:
        """Let time go by, and an epoch end after each part of it; return the statistics."""
        for each in seconds:
            self.now += each
            self.bookkeeper.step()
        return self.arms()

    def arms(self) -> dict[Key, Arm]:
        return self.bookkeeper.arms()

    def told(self) -> dict[str, tuple[int, float]]:
        """Number and mean of each policy's observations."""
        return {policy: (arm.count, arm.mean) for (policy, _), arm in self.arms().items()}

    def published(self) -> dict[str, Any]:
        return dict(read_json(self.folder.router, {}))

    def counters(self) -> dict[str, int]:
        return self.bookkeeper._counters
