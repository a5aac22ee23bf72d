"""Logs that hold every possible outcome as often as it is probable: their means are exact expectations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys_cli.slates.enumeration import all_slates

USERS, CANDIDATES, SIZE = 2, 4, 2
SLATES = all_slates(CANDIDATES, SIZE, True).numpy()


@dataclass
class Slates:
    """One row for each time that a user is shown a slate.

    `behaviour` and `target` are probabilities of all slates, `[USERS, M]`; `user` [n] and `shown` [n] number the rows'
    users and slates.
    """

    behaviour: np.ndarray
    target: np.ndarray
    user: np.ndarray
    shown: np.ndarray

    @property
    def slate(self) -> np.ndarray:
        return SLATES[self.shown]

    @property
    def weight(self) -> np.ndarray:
        return (self.target / self.behaviour)[self.user, self.shown]

    def value(self, reward: np.ndarray) -> float:
        """Return the target's mean of a reward `[USERS, M]`."""
        return float((self.target * reward).sum(1).mean())

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return each row's mean under the target of `values` [USERS, M], `[n]`."""
        return (self.target * values).sum(1)[self.user]

    def of_rows(self, values: np.ndarray) -> np.ndarray:
        """Return `values` [USERS, M, ...] of the rows' slates."""
        return values[self.user, self.shown]

    def prefix(self, p: np.ndarray) -> np.ndarray:
        """Return each row's log-probabilities, `[n, k]`, of its positions given those before, under `p` [USERS, M]."""
        out, before = np.empty((len(self.user), SIZE)), np.ones(len(self.user))
        for place in range(SIZE):
            same = (SLATES[:, None, : place + 1] == SLATES[None, :, : place + 1]).all(-1)
            now = (p @ same)[self.user, self.shown]
            out[:, place], before = np.log(now / before), now
        return out

    def places(self, p: np.ndarray) -> np.ndarray:
        """Return each row's probability of document c at position j, `[n, k, C]`, under `p` [USERS, M]."""
        shown = SLATES[:, :, None] == np.arange(CANDIDATES)
        return np.einsum("um,mjc->ujc", p, shown)[self.user]


def slates(rng: np.random.Generator, uniform: bool = False) -> Slates:
    counts = np.full((USERS, len(SLATES)), 1) if uniform else rng.integers(1, 4, (USERS, len(SLATES)))
    counts[:, 0] += counts.sum(1).max() - counts.sum(1)  # users are equally frequent
    user, shown = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), len(SLATES))
    target = rng.dirichlet(np.ones(len(SLATES)), USERS)
    return Slates(counts / counts.sum(1, keepdims=True), target, user, shown)


@dataclass
class Sessions:
    """One row for each time that an episode happens: two actions, up to three steps, an end after any step."""

    log_ratio: np.ndarray
    reward: np.ndarray
    lengths: np.ndarray
    path: np.ndarray
    value: float


def sessions(rng: np.random.Generator, behaviour: tuple[int, int] = (1, 3)) -> Sessions:
    """Play action 0 with `behaviour` chances; action 1 after action 1 ends the episode."""
    mu, pi = np.array(behaviour) / sum(behaviour), rng.dirichlet([1, 1])
    earned = rng.normal(size=(3, 2, 2))  # by step, previous action and action
    rows: list[tuple[list[float], list[float], list[int]]] = []
    value = 0.0
    for number in range(8):
        path = [number >> 2 & 1, number >> 1 & 1, number & 1]
        length = next((t + 1 for t in (1, 2) if path[t - 1] and path[t]), 3)
        ratios = [float(np.log(pi[a] / mu[a])) for a in path[:length]]
        reward = [float(earned[t, path[t - 1] if t else 0, path[t]]) for t in range(length)]
        value += float(np.prod(pi[path])) * sum(reward)
        pad = [0.0] * (3 - length)
        times = int(np.prod([behaviour[a] for a in path]))
        rows += [(ratios + pad, reward + pad, path[:length] + [-1] * (3 - length))] * times
    log_ratio, rewards, path_of = (np.array(part) for part in zip(*rows, strict=True))
    return Sessions(log_ratio, rewards, (path_of >= 0).sum(1), path_of, value)
