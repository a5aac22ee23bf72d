"""The service: policies, router, sessions and log behind the requests. It knows nothing of HTTP."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict

from recsys_cli.config.explore import Explore
from recsys_cli.config.serving import ServeConfig
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.serving.answering import Answering, Asked
from recsys_cli.serving.errors import Refused
from recsys_cli.serving.folder import ServiceFolder, finder
from recsys_cli.serving.http.inputs import Batch
from recsys_cli.serving.http.limits import Load
from recsys_cli.serving.live import Live, LiveSet, require_same_problem
from recsys_cli.serving.log.reading import recent_decisions
from recsys_cli.serving.log.records import ActivationRecord, DecisionRecord, PoliciesRecord, RewardRecord
from recsys_cli.serving.log.segments import Segment
from recsys_cli.serving.messages import Decision, Policies, PolicyChange, PolicyInfo, Reward, RouterChange
from recsys_cli.serving.model import Model
from recsys_cli.serving.router.view import RouterView
from recsys_cli.serving.sessions.server import ServerSessions
from recsys_cli.serving.sessions.tokens import ClientSessions, Sessions, Tokens, load_keys
from recsys_cli.serving.watching.metrics import Readings, Statistics

ANSWERS_KEPT = 20_000  # so that an event that is asked for again, by a client that got no answer, gets the same
RECENT_MS = 60_000  # before the start: what another process, which may have died, answered is known too


class Service:
    """One process of a service; several may share a folder.

    Attributes:
        folder: of the service.
        config: what it was started with.
        live: the policies.
        router: what is known of it here.
        statistics: what this process counts; who answers the requests tells it.
        load: how busy this process is.
    """

    def __init__(self, folder: ServiceFolder, config: ServeConfig) -> None:
        """Load policies and keys, and begin a segment of the log.

        Raises:
            ConfigError: a policy that cannot be served, or a router or a key that does not fit.
        """
        self.folder, self.config = folder, config
        self.segment = Segment(folder.log, config.serving.durability)
        self._explore = Explore.parse(config.explore)
        self.live = Live(folder, self._explore, self._log_policies)
        self.router = RouterView(folder.path, config.router, [model.name for model in self.live.now.models])
        self._answering = Answering(_sessions(folder, config), str(self._explore))
        self._answers = OrderedDict[str, Decision]()
        self._recall_answers()
        self.load = Load(config.serving)
        self.statistics = Statistics(self._readings)
        self._log_policies(self.live.now)

    @property
    def spec(self) -> ProblemSpec:
        """The problem that all policies are for."""
        return self.live.now.spec

    async def rank(self, batch: Batch) -> list[Decision]:
        """Decide; an event that was decided before, by this process, gets the same answer and is not logged again.

        Returns:
            A decision for each request.

        Raises:
            Refused: a session that cannot go on, a number of candidates that the policies do not take, or a log that
                cannot be written.
        """
        ids = [request.event_id or uuid.uuid4().hex for request in batch.requests]
        known = {event: self._answers[event] for event in ids if event in self._answers}
        rows = [row for row, event in enumerate(ids) if event not in known]
        if rows:
            asked = Asked.of(batch, ids, rows)
            records, decisions = self._answering.answer(self.live.now, self.router, asked, _now_ms())
            await self.segment.append(*records)
            known |= {decision.event_id: decision for decision in decisions}
            self._keep(decisions)
        return [known[event] for event in ids]

    def _recall_answers(self) -> None:
        live = self.live.now
        versions = {model.name: model.version for model in live.models}
        recent = recent_decisions(self.folder.log, _now_ms() - RECENT_MS)
        records = dict[str, DecisionRecord]()
        for record in recent:
            if record.versions == versions:
                records.setdefault(record.event_id, record)  # the first counts
        self._keep(self._answering.again(live, list(records.values())[-ANSWERS_KEPT:]))

    def _keep(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            self._answers[decision.event_id] = decision
        while len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)

    async def reward(self, event_id: str, reward: Reward) -> None:
        """Log what came of a decision; returns when that has survived what `serving.durability` says.

        Raises:
            Refused: the log cannot be written.
        """
        await self.segment.append(
            RewardRecord(
                time_ms=_now_ms(),
                event_id=event_id,
                reward=reward.reward,
                clicked=reward.clicked,
                response=None if reward.response is None else dict(reward.response),
                reward_id=reward.reward_id,
                final=reward.final,
            )
        )
        self._answering.sessions.responded(event_id, reward)

    async def activate(self, event_id: str) -> None:
        """Let a deferred decision count from now on.

        Raises:
            Refused: the log cannot be written.
        """
        await self.segment.append(ActivationRecord(time_ms=_now_ms(), event_id=event_id))

    def policies(self) -> Policies:
        """Return the live policies, and their shares for a user in the middle of the features' ranges."""
        live, now = self.live.now, self.router.now
        shares = now.weights(live.typical_user)[0]
        allowed = now.switches.allows(self.router.names)
        infos = [
            PolicyInfo(model.name, model.version, model.algo, model.source, float(share), number == 0, bool(enabled))
            for number, (model, share, enabled) in enumerate(zip(live.models, shares, allowed, strict=True))
        ]
        return Policies(self.config.router.name, now.number, infos)

    def change_router(self, change: RouterChange) -> Policies:
        """Switch policies on or off, in all processes.

        Raises:
            Refused: a policy that is not there, or must stay.
        """
        self.router.change(change)
        return self.policies()

    def change_policy(self, name: str, change: PolicyChange) -> Policies:
        """Let another checkpoint take a policy's place, in all processes; requests go on meanwhile.

        Blocks for as long as finding and loading takes: to be called in a thread.

        Raises:
            Refused: there is no such policy.
            ConfigError: the checkpoint is not there, or cannot take the policy's place.
        """
        if name not in self.router.names:
            raise Refused(404, f"no such policy; there are: {', '.join(self.router.names)}")
        new = self.folder.adopt(name, change.checkpoint, finder(self.config)(change.checkpoint))
        model = Model.load(self.folder.bundle(name, new.version), name, new.source, self._explore)
        require_same_problem(self.live.now.models[0], model)
        self.folder.swap(new)
        self.live.poll()
        return self.policies()

    def poll(self) -> None:
        """Follow what other processes wrote: the pointer to the policies, the router's epoch and switches."""
        self.live.poll()
        self.router.poll()

    def ready(self) -> bool:
        """Whether decisions can be made."""
        return True

    def close(self) -> None:
        """Finish the log, and what is kept of sessions."""
        self._answering.sessions.shut()
        self.segment.close()

    def _readings(self) -> Readings:
        return Readings(
            self.policies(),
            queued=self.load.waiting,
            log_bytes=self.segment.written,
            bookkeeping_lag=self.router.lag_seconds(),
            rewards=self.router.now.report.get("policies", {}),
        )

    def _log_policies(self, live: LiveSet) -> None:
        policies = {model.name: (model.version, model.source) for model in live.models}
        self.segment.write(PoliciesRecord(time_ms=_now_ms(), policies=policies))


def _sessions(folder: ServiceFolder, config: ServeConfig) -> Sessions:
    if config.serving.sessions == "server":
        return ServerSessions(folder.sessions, config.serving.session_seconds)
    return ClientSessions(Tokens(load_keys(folder.key), config.name), config.serving.session_seconds)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
