"""Clients that ask a service for slates, show them to simulated users, and report what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from threading import Thread
from typing import TYPE_CHECKING
from uuid import uuid4

from recsys_cli.config.errors import ConfigError
from recsys_cli.serving.client import Client, ServiceError
from recsys_cli.serving.http.auth import read_token
from recsys_cli.serving.simulation.reports import Reporter
from recsys_cli.serving.simulation.results import Tally
from recsys_cli.serving.simulation.schedule import Schedule
from recsys_cli.serving.simulation.users import Party

if TYPE_CHECKING:
    from recsys_cli.config.simulation import SimulateConfig

POLL_S = 0.1


def simulate(config: SimulateConfig, finished: Callable[[int], None] = lambda users: None) -> Tally:
    """Let users of a problem use a service until each has had a session.

    Args:
        config: of the command.
        finished: gets how many users have left, now and then.

    Raises:
        ConfigError: there is no such service, or it is of another problem.
        FloatingPointError: the simulator returned something that is not finite.
    """
    tally = Tally()
    with ExitStack() as stack:
        threads = config.clients * (2 if config.delay else 1)
        client = Client(
            config.serve, read_token(config), timeout=config.timeout, retries=config.retries, connections=threads
        )
        stack.enter_context(closing(client))
        try:
            client.policies()
        except ServiceError as error:
            raise ConfigError(f"serve={config.serve}: {error}") from None
        run, size = uuid4().hex[:8], min(config.requests, config.users)
        number = min(config.active // size, -(-config.users // size))
        parties = [stack.enter_context(closing(Party(config.env, client, size, run))) for _ in range(number)]
        reporter = Reporter(
            client,
            tally,
            delay=config.delay,
            lose=config.lose,
            duplicate=config.duplicate,
            senders=config.clients,
            seed=config.seed,
        )
        began = time.monotonic()
        schedule = Schedule(parties, config.users, config.rate, config.seed, size)
        _play([Asker(client, schedule, reporter, tally) for _ in range(config.clients)], schedule, tally, finished)
        reporter.close()
        tally.seconds = time.monotonic() - began
        tally.finish(config.users, client.retried)
    return tally


class Asker(Thread):
    """One client's thread.

    Attributes:
        error: that ended it, if one did.
    """

    def __init__(self, client: Client, schedule: Schedule, reporter: Reporter, tally: Tally) -> None:
        """Take who asks when, and where to report."""
        super().__init__(daemon=True)
        self._client, self._schedule, self._reporter, self._tally = client, schedule, reporter, tally
        self.error: Exception | None = None

    def run(self) -> None:
        """Ask until all users have left."""
        try:
            while taken := self._schedule.take():
                self._ask(*taken)
        except Exception as error:
            self.error = error
            self._schedule.stop()

    def _ask(self, party: Party, due: float) -> None:
        asked, sent = party.asking(), time.monotonic()
        try:
            decisions = self._client.rank_many(asked) if len(asked) > 1 else [self._client.rank_one(asked[0])]
        except ServiceError as error:
            self._tally.fail(error, "decisions", len(asked))
            party.playing[:] = False
            if error.retries or 400 <= (error.status or 500) < 500:  # it is gone for good, or all requests are wrong
                self._schedule.stop()
        else:
            self._tally.decided(decisions, time.monotonic() - due, sent - due)
            reports = party.answered(decisions)
            self._reporter.report(reports)
            for row in party.leaving:
                self._tally.ended(party.policies[row], party.returns[row])
        self._schedule.back(party)


def _play(askers: list[Asker], schedule: Schedule, tally: Tally, finished: Callable[[int], None]) -> None:
    """Let the clients work, and say how far they are.

    Raises:
        Exception: what one of them met.
    """
    told = 0
    for asker in askers:
        asker.start()
    try:
        while any(asker.is_alive() for asker in askers):
            time.sleep(POLL_S)
            left = tally.sessions
            finished(left - told)
            told = left
    finally:
        schedule.stop()
    for asker in askers:
        if asker.error is not None:
            raise asker.error
