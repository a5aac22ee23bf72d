"""Clients of a service that write down what they saw, while something happens to it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from recsys_cli.offline.dataset import Dataset
from recsys_cli.serving.client import Client, ServiceError

CLIENTS = 8
TOPICS, CANDIDATES, SESSION = 20, 10, 5
PAUSE_S = 0.01  # between a client's decisions
_numbers = count(1)  # each reward is another number, by which it is found again in a data set; float32 holds them


@dataclass
class Seen:
    """What clients saw.

    Attributes:
        answered: times of answers as they should be, in seconds.
        failed: the others, by status; None: no answer.
        accepted: rewards that were accepted.
        began, ended: when the clients did.
    """

    answered: list[float] = field(default_factory=list)
    failed: Counter[int | None] = field(default_factory=Counter)
    accepted: list[int] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0

    @property
    def silence(self) -> float:
        """The longest time in which no client got an answer, in seconds."""
        times = np.sort([self.began, *self.answered, self.ended])
        return float(np.diff(times).max())

    def __str__(self) -> str:
        """Return how many requests failed, and how."""
        total, failed = len(self.answered) + self.failed.total(), self.failed.total()
        how = ", ".join(f"{number} {status or 'no answer'}" for status, number in self.failed.most_common())
        return f"{failed:,} of {total:,}" + (f" ({how})" if how else "")


class Clients:
    """Eight clients at once, each with one session of five decisions after another.

    A session that fails is given up, and the next one begins.
    """

    def __init__(self, url: str, retries: int, clients: int = CLIENTS, token: str | None = None) -> None:
        """Begin."""
        self.seen, self._stop = Seen(began=time.monotonic()), threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(Client(url, token, retries=retries), seed))
            for seed in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> Seen:
        """Let what was begun end, and return what was seen."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.seen.ended = time.monotonic()
        return self.seen

    def _ask(self, client: Client, seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not self._stop.is_set():
            try:
                self._session(client, rng)
            except ServiceError as error:
                self.seen.failed[error.status] += 1
                time.sleep(PAUSE_S)
        client.close()

    def _session(self, client: Client, rng: np.random.Generator) -> None:
        session = client.session()
        for step in range(SESSION):
            topics = rng.choice(TOPICS, CANDIDATES, replace=False)
            user = rng.uniform(-1, 1, TOPICS)
            session.rank([f"d{topic}" for topic in topics], np.eye(TOPICS, dtype=np.float32)[topics], user)
            self.seen.answered.append(time.monotonic())
            number = next(_numbers)
            session.reward(float(number), final=step == SESSION - 1)
            self.seen.answered.append(time.monotonic())
            self.seen.accepted.append(number)
            time.sleep(PAUSE_S)


def missing(accepted: list[int], data: Path) -> int:
    """Return how many accepted rewards a data set lacks."""
    steps = Dataset.open(data).load()
    return len(set(accepted) - set(steps.reward.astype(int).tolist()))
