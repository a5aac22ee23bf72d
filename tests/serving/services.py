"""A service without policies, for tests of what lies before it: it shows the first candidates that it may."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from recsys_cli.config.compose import compose
from recsys_cli.config.serving import ServingConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.serving.http.inputs import Batch
from recsys_cli.serving.http.limits import Load
from recsys_cli.serving.messages import (
    Decision,
    Policies,
    PolicyChange,
    PolicyInfo,
    Propensity,
    Reward,
    RouterChange,
    Shown,
)


class CountedCalls:
    """What the app counts."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.decisions, self.rewards = 0, 0

    def decided(self, batch: Batch, decisions: list[Decision], seconds: float) -> None:
        self.decisions += len(decisions)

    def rewarded(self, reward: Reward) -> None:
        self.rewards += 1

    def refused(self, status: int) -> None:
        self.statuses.append(status)

    def prometheus(self) -> bytes:
        return b"# nothing\n"


class FirstOnes:
    """A service whose slates are the first candidates."""

    def __init__(self, spec: ProblemSpec, limits: ServingConfig, seconds: float = 0.0) -> None:
        self.spec, self.limits, self.seconds = spec, limits, seconds
        self.load, self.statistics = Load(limits), CountedCalls()
        self.batches: list[Batch] = []
        self.rewards: list[tuple[str, Reward]] = []
        self.activated: list[str] = []
        self.is_ready, self.keep = True, False

    async def rank(self, batch: Batch) -> list[Decision]:
        if self.keep:
            self.batches.append(batch)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        decisions = []
        for i, request in enumerate(batch.requests):
            slate = [Shown(batch.ids[i][j], 0.5) for j in np.flatnonzero(batch.mask[i])[: self.spec.slate_size]]
            propensity = Propensity(1.0, 1.0, 1.0)
            decisions.append(Decision(request.event_id or f"event-{i}", slate, propensity, "first", "0" * 12))
        return decisions

    async def reward(self, event_id: str, reward: Reward) -> None:
        self.rewards.append((event_id, reward))

    async def activate(self, event_id: str) -> None:
        self.activated.append(event_id)

    def policies(self) -> Policies:
        return Policies("thompson", 3, [PolicyInfo("first", "0" * 12, "first", "runs/first", 1.0, True, True)])

    def change_router(self, change: RouterChange) -> Policies:
        return self.policies()

    def change_policy(self, name: str, change: PolicyChange) -> Policies:
        return self.policies()

    def ready(self) -> bool:
        return self.is_ready

    def close(self) -> None:
        pass


def limits_of(*overrides: str) -> ServingConfig:
    """Return `conf/serving/local.yaml` with some keys changed."""
    config: Any = compose("serve", ["checkpoint=none", *(f"serving.{override}" for override in overrides)])
    return config.serving
