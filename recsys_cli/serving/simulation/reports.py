"""Rewards on their way to a service: at once or late, and, to test it, lost or sent twice."""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from threading import Condition, Thread

import numpy as np

from recsys_cli.serving.client import Client, ServiceError
from recsys_cli.serving.simulation.results import Tally
from recsys_cli.serving.simulation.users import Report


class Reporter:
    """Sends rewards.

    Without a delay, who reports waits until the service has them; else threads of its own send them when they are due.
    """

    def __init__(
        self, client: Client, tally: Tally, *, delay: float, lose: float, duplicate: float, senders: int, seed: int
    ) -> None:
        """Take the seconds of delay, the fractions that are lost and sent twice, and the number of threads."""
        self._client, self._tally, self._delay = client, tally, delay
        self._lose, self._duplicate, self._rng = lose, duplicate, np.random.default_rng([seed, 3])
        self._due, self._number, self._closed = list[tuple[float, int, Report]](), 0, False
        self._changed = Condition()
        self._senders = [Thread(target=self._send_due, daemon=True) for _ in range(senders if delay else 0)]
        for sender in self._senders:
            sender.start()

    def report(self, reports: Sequence[Report]) -> None:
        """Send what came of decisions, or have it sent."""
        for each in reports:
            with self._changed:
                lost, twice = self._rng.random(2) < (self._lose, self._duplicate)
                self._tally.withheld += bool(lost)
            for _ in range(0 if lost else 2 if twice else 1):
                if not self._delay:
                    self._send(each)
                    continue
                with self._changed:
                    self._number += 1
                    heapq.heappush(self._due, (time.monotonic() + self._delay, self._number, each))
                    self._changed.notify()

    def close(self) -> None:
        """Wait until all are sent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for sender in self._senders:
            sender.join()

    def _send_due(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._closed)
                if not self._due:
                    return
                due, _, report = heapq.heappop(self._due)
            time.sleep(max(due - time.monotonic(), 0))
            self._send(report)

    def _send(self, report: Report) -> None:
        began = time.monotonic()
        try:
            self._client.reward(report.event_id, report.reward, response=report.response, final=report.final)
        except ServiceError as error:
            self._tally.fail(error, "rewards", 1)
        else:
            self._tally.rewarded(time.monotonic() - began)
