"""Users of a problem who get their slates from a service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.finite import require_finite_step
from recsys_cli.serving.messages import Decision, RankRequest

if TYPE_CHECKING:
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.serving.client import Client
    from recsys_cli.serving.client_session import Session


@dataclass(frozen=True)
class Report:
    """What came of a decision: reward, response by field `[k]`, and whether it was the session's last."""

    event_id: str
    reward: float
    response: dict[str, NDArray[Any]]
    final: bool


class Party:
    """Up to N users who ask together, each for one session; the next party takes their place.

    The users of an env in lock-step are independent, so this changes no user's law, whenever they act. Which user
    comes is a matter of the seed and of the user's number alone.

    Attributes:
        playing: whose session goes on, `[N]`.
        leaving: numbers of those whose session ended with the last decision.
        returns: of each session so far.
        policies: that made its decisions.
    """

    def __init__(self, env: EnvConfig, client: Client, size: int, run: str) -> None:
        """Make room for N users; `run` begins the ids of their sessions."""
        self._env, self._client, self._size, self._run = env, client, size, run
        self._vec = env.make_vec(size)
        self.playing = np.zeros(size, bool)

    def enter(self, first: int, users: int, seed: int) -> None:
        """Begin sessions with users of these numbers, N at most."""
        self._observation, _ = self._vec.reset(seed=int(np.random.SeedSequence([seed, first]).generate_state(1)[0]))
        require_finite_step(0, self._observation)
        self.playing = np.arange(self._size) < users
        self.sessions: list[Session] = [self._client.session(f"{self._run}-{first + row}") for row in range(users)]
        self.returns, self.policies = np.zeros(users), [set[str]() for _ in range(users)]
        self._step = 0

    def asking(self) -> list[RankRequest]:
        """Return what the users ask whose sessions go on."""
        return [self._asked(int(row)) for row in np.flatnonzero(self.playing)]

    def _asked(self, row: int) -> RankRequest:
        there = self._there(row)
        doc = np.asarray(self._observation["doc"][row], np.float32)
        return self.sessions[row].request(
            [f"d{number}" for number in there], doc[there], self._observation["user"][row]
        )

    def _there(self, row: int) -> NDArray[np.intp]:
        if "mask" in self._observation:
            return np.flatnonzero(self._observation["mask"][row])
        return np.arange(self._env.spec.width)

    def answered(self, decisions: Sequence[Decision]) -> list[Report]:
        """Show the slates; return what came of each.

        Raises:
            ConfigError: the service's slates are of another size.
        """
        rows = np.flatnonzero(self.playing)
        slates = self._slates(rows, decisions)
        self._observation, reward, terminated, truncated, _ = self._vec.step(slates)
        self._step += 1
        require_finite_step(self._step, self._observation, reward)
        over, reports = terminated | truncated, []
        for row, decision in zip(rows, decisions, strict=True):
            values = self._observation["response"].items()
            response = {name: column[row] for name, column in values}
            self.sessions[row].take(decision)
            self.sessions[row].responded(response)
            self.returns[row] += reward[row]
            self.policies[row].add(decision.policy)
            reports.append(Report(decision.event_id, float(reward[row]), response, bool(over[row])))
        self.leaving = np.flatnonzero(self.playing & over)
        self.playing &= ~over
        return reports

    def _slates(self, rows: NDArray[np.intp], decisions: Sequence[Decision]) -> NDArray[np.intp]:
        """Return the slates of all users, `[N, k]`; of those who have left, any."""
        k = self._env.spec.slate_size
        slates = np.full((self._size, k), -1)
        for row, decision in zip(rows, decisions, strict=True):
            numbers = [int(document.id[1:]) for document in decision.slate]
            wanted = min(k, len(self._there(row)))
            if len(numbers) != wanted:
                raise ConfigError(
                    f"the service shows {len(numbers)} documents where env.slate_size={k} needs {wanted}: set env= to "
                    "the problem that its policies were trained on"
                )
            slates[row, :wanted] = numbers
        for row in np.flatnonzero(~self.playing):
            there = self._there(int(row))[:k]
            slates[row, : len(there)] = there
        return slates

    def close(self) -> None:
        """Close the env."""
        self._vec.close()
