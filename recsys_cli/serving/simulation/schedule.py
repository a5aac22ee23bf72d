"""When who asks: a Poisson process that does not wait for answers, or as soon as there is an answer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from threading import Condition

import numpy as np

from recsys_cli.serving.simulation.users import Party


class Schedule:
    """Hands out parties of users to clients, each with the time at which they ask.

    At a rate, the times are those of a Poisson process, and the party that has waited longest asks. If all clients are
    busy, or all users wait for answers, the time passes: the request is late, and its latency counts from when it was
    due. As parties leave for good, the rate falls in proportion: each asks as often as before.
    """

    def __init__(self, parties: Sequence[Party], users: int, rate: float | None, seed: int, size: int) -> None:
        """Let the first users in.

        Args:
            parties: that may be there at the same time.
            users: all that come.
            rate: requests per second; None: no party waits.
            seed: of users and times.
            size: users of a party.
        """
        self._users, self._rate, self._seed, self._size = users, rate, seed, size
        self._entered, self._all = 0, len(parties)
        self._rng = np.random.default_rng([seed, 2])
        self._changed, self._stopped = Condition(), False
        self._there, self._ready = 0, deque[Party]()
        self._due = time.monotonic()
        for party in parties:
            self._there += self._let_in(party)

    def take(self) -> tuple[Party, float] | None:
        """Wait for the next time to ask; return who asks, and when it was due; None when all are gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or not self._there or self._stopped)
            if not self._ready or self._stopped:
                return None
            party = self._ready.popleft()
            if self._rate is None:
                return party, time.monotonic()
            self._due += self._rng.exponential(self._all / (self._rate * self._there))
            due = self._due
        time.sleep(max(due - time.monotonic(), 0))
        return party, due

    def back(self, party: Party) -> None:
        """Take a party that was answered; if all its users have left, the next ones come."""
        with self._changed:
            if party.playing.any():
                self._ready.append(party)
            elif not self._let_in(party):
                self._there -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Let nobody ask any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _let_in(self, party: Party) -> bool:
        users = min(self._size, self._users - self._entered)
        if users <= 0:
            return False
        party.enter(self._entered, users, self._seed)
        self._entered += users
        self._ready.append(party)
        return True
