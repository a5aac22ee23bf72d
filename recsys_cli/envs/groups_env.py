"""Users of several groups, vectorised: one block of users for each group, played by the group's own env."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.groups import GroupsConfig
from recsys_cli.envs.spec import DENSE
from recsys_cli.envs.vector import Advance, Observation, Rows, SlateVectorEnv


@dataclass(frozen=True)
class Part:
    """The users of one group.

    Attributes:
        name: of the group.
        env: plays them.
        rows: which of all users they are.
    """

    name: str
    env: SlateVectorEnv
    rows: NDArray[np.intp]


class GroupsVectorEnv(SlateVectorEnv):
    """Users of several groups, in random order; see `SlateVectorEnv` for the interface.

    Of N users a group has N times its share, rounded up or down at random so that the mean is exact; every `reset`
    draws that anew. Users who come later, by autoreset, are of the same group as those before them. Neighbours who
    share their chances are of the same group.
    """

    config: GroupsConfig

    def __init__(self, config: GroupsConfig, num_envs: int, doc_format: str = DENSE) -> None:
        """Make no users yet."""
        super().__init__(config, num_envs, doc_format)
        self._parts: list[Part] = []
        self._group = np.zeros(num_envs, np.intp)  # number of each user's group
        self._place = np.zeros(num_envs, np.intp)  # of the user in the group's env

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """See `SlateVectorEnv.reset`; if a group's number of users changes, candidates are redrawn too."""
        if seed is None and self._response:
            sizes = self._drawn_sizes()
            if (sizes * self._alike != np.bincount(self._group, minlength=len(sizes))).any():
                self._begin(sizes)
                self._offer()
        return super().reset(seed=seed, options=options)

    def _reseed(self, seed: int | None) -> None:
        super()._reseed(seed)
        self._begin(self._drawn_sizes())

    def renew_chances(self, seed: np.random.SeedSequence) -> None:
        """See `SlateVectorEnv.renew_chances`; a group's users have a stream of their own."""
        super().renew_chances(seed)
        for part, own in zip(self._parts, seed.spawn(len(self._parts)), strict=True):
            part.env.renew_chances(own)

    def _drawn_sizes(self) -> NDArray[np.intp]:
        """Draw how many users each group has, alike ones once: at evenly spaced points in [0, 1), the first random."""
        users = self.num_envs // self._alike
        points = (np.arange(users) + self.rng.random()) / users
        ends = np.cumsum(list(self.config.shares.values()))
        ends[-1] = np.inf  # not a little less than 1
        return np.diff(np.searchsorted(points, ends), prepend=0)

    def _begin(self, sizes: NDArray[np.intp]) -> None:
        """Lay out so many users of each group, and give the groups random streams of their own."""
        group = self.rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
        self._lay_out(np.repeat(group, self._alike))
        for part in self._parts:
            part.env.share_chances(self._alike)
            part.env._reseed(int(self.rng.integers(2**63)))

    def _lay_out(self, group: NDArray[np.intp]) -> None:
        """Let users be of these groups, by number, `[N]`; the envs of groups with as many users as before stay."""
        before = {part.name: part.env for part in self._parts}
        self._group, self._parts = group, []
        for number, (name, of) in enumerate(self.config.parts.items()):
            rows = np.flatnonzero(group == number)
            if not rows.size:
                continue
            env = before.get(name)
            if env is None or env.num_envs != rows.size:
                env = of.env.make_vec(rows.size, doc_format=self.doc_format)
            self._place[rows] = np.arange(rows.size)
            self._parts.append(Part(name, env, rows))

    @property
    def group(self) -> NDArray[np.str_]:
        """Each user's group, `[N]`."""
        return np.array(list(self.config.parts))[self._group]

    def of_group(self, name: str) -> SlateVectorEnv:
        """Return the env that plays a group's users.

        Raises:
            KeyError: there are none of this group.
        """
        return {part.name: part.env for part in self._parts}[name]

    def _joined(self, answers: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return all users' rows of what each group's env answered."""
        joined = np.empty((self.num_envs, *answers[0].shape[1:]), answers[0].dtype)
        for part, answer in zip(self._parts, answers, strict=True):
            joined[part.rows] = answer
        return joined

    def _start_alike(self) -> None:
        for part in self._parts:
            part.env._start_alike()
        super()._start_alike()

    def _start(self, rows: Rows) -> None:
        numbers = list(self.config.parts)
        for part in self._parts:
            own = self._place[rows[self._group[rows] == numbers.index(part.name)]]
            if own.size:
                part.env._start(own)

    def _draw_candidates(self) -> None:
        for part in self._parts:
            part.env._offer()

    def _offer(self) -> None:
        self._draw_candidates()
        if self.problem.varying:
            self._mask = self._joined([np.asarray(part.env._mask) for part in self._parts])

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        done = [
            part.env._advance(slates[part.rows], None if active is None else active[part.rows]) for part in self._parts
        ]
        response = {name: self._joined([each[0][name] for each in done]) for name in done[0][0]}
        return response, self._joined([each[1] for each in done]), self._joined([each[2] for each in done])

    def _truncated(self, terminated: NDArray[np.bool_]) -> NDArray[np.bool_]:
        truncated = super()._truncated(terminated)
        for part in self._parts:
            if (own := part.env.problem.truncation) is not None:
                truncated[part.rows] |= (self._steps[part.rows] >= own) & ~terminated[part.rows]
        return truncated

    def _user(self) -> NDArray[np.float32]:
        user = self._joined([part.env._user() for part in self._parts])
        if not self.problem.groups:
            return user
        return np.concatenate([user, np.eye(len(self.problem.groups), dtype=np.float32)[self._group]], axis=1)

    def _documents(self) -> NDArray[Any]:
        documents = self._document_memory.take()
        for part in self._parts:
            documents[part.rows] = part.env._documents()
        return documents

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return what all groups have of a hidden state."""
        states = [part.env.hidden_state() for part in self._parts]
        common = [name for name in states[0] if all(name in state for state in states)]
        return {name: self._joined([state[name] for state in states]) for name in common}

    def get_state(self) -> dict[str, Any] | None:
        """See `SlateVectorEnv.get_state`; None if one of the groups' envs cannot be saved."""
        state, parts = super().get_state(), {part.name: part.env.get_state() for part in self._parts}
        if state is None or None in parts.values():
            return None
        return {**state, "groups": parts, "group": self._group.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `SlateVectorEnv.set_state`."""
        super().set_state(state)
        self._lay_out(state["group"].copy())
        for part in self._parts:
            part.env.set_state(state["groups"][part.name])
