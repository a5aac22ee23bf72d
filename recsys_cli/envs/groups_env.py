"""Users of several groups, vectorised: one block of users for each group, played by the group's own env."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.groups import GroupsConfig
from recsys_cli.envs.spec import DENSE
from recsys_cli.envs.vector import Advance, Observation, Rows, SlateVectorEnv


@dataclass(frozen=True)
class Block:
    """Users of one group.

    Attributes:
        name: of the group.
        env: plays them.
        rows: which of all users they are.
    """

    name: str
    env: SlateVectorEnv
    rows: slice


class GroupsVectorEnv(SlateVectorEnv):
    """Users in blocks, one a group; see `SlateVectorEnv` for the interface.

    Of N users a group has N times its share, rounded up or down at random so that the mean is exact; every `reset`
    draws that anew. Users who come later, by autoreset, are of the same group as those before them.
    """

    config: GroupsConfig

    def __init__(self, config: GroupsConfig, num_envs: int, doc_format: str = DENSE) -> None:
        """Make no users yet."""
        super().__init__(config, num_envs, doc_format)
        self._members: list[Block] = []
        self._one_hot = np.zeros((num_envs, 0), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """See `SlateVectorEnv.reset`; if a group's number of users changes, candidates are redrawn too."""
        if seed is None and self._response and self._lay_out(self._drawn_sizes()):
            self._offer()
        return super().reset(seed=seed, options=options)

    def _reseed(self, seed: int | None) -> None:
        super()._reseed(seed)
        self._members = []  # the groups' envs hold numbers drawn ahead from the stream before
        self._lay_out(self._drawn_sizes())

    def _drawn_sizes(self) -> list[int]:
        """Draw how many users each group has: at N evenly spaced points between 0 and 1, the first at random."""
        points = (np.arange(self.num_envs) + self.rng.random()) / self.num_envs
        ends = np.cumsum(list(self.config.shares.values()))
        ends[-1] = np.inf  # not a little less than 1
        below = np.searchsorted(points, ends)
        return np.diff(below, prepend=0).tolist()

    def _lay_out(self, sizes: list[int]) -> bool:
        """Make envs for the groups' users; return whether there are other numbers of them than before."""
        before = {block.name: block.env for block in self._members}
        blocks, start = list[Block](), 0
        for (name, group), size in zip(self.config.parts.items(), sizes, strict=True):
            if size:
                env = before.get(name)
                if env is None or env.num_envs != size:
                    env = group.env.make_vec(size, doc_format=self.doc_format)
                env._np_random = self._np_random  # one stream for all
                blocks.append(Block(name, env, slice(start, start + size)))
            start += size
        changed = {block.name: block.env for block in blocks} != before
        self._members = blocks
        if self.problem.groups:
            self._one_hot = np.repeat(np.eye(len(sizes), dtype=np.float32), sizes, axis=0)
        return changed

    @property
    def group(self) -> NDArray[np.str_]:
        """Each user's group, `[N]`."""
        return np.repeat([block.name for block in self._members], [block.env.num_envs for block in self._members])

    def of_group(self, name: str) -> SlateVectorEnv:
        """Return the env that plays a group's users.

        Raises:
            KeyError: there are none of this group.
        """
        return {block.name: block.env for block in self._members}[name]

    def _start(self, rows: Rows) -> None:
        for block in self._members:
            own = rows[(rows >= block.rows.start) & (rows < block.rows.stop)] - block.rows.start
            if own.size:
                block.env._start(own)

    def _draw_candidates(self) -> None:
        for block in self._members:
            block.env._offer()

    def _offer(self) -> None:
        self._draw_candidates()
        if self.problem.varying:
            self._mask = np.concatenate([block.env._mask for block in self._members])

    def _advance(self, slates: NDArray[np.intp], active: NDArray[np.bool_] | None) -> Advance:
        parts = [
            block.env._advance(slates[block.rows], None if active is None else active[block.rows])
            for block in self._members
        ]
        response = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
        return response, np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts])

    def _truncated(self, terminated: NDArray[np.bool_]) -> NDArray[np.bool_]:
        truncated = super()._truncated(terminated)
        for block in self._members:
            if (own := block.env.problem.truncation) is not None:
                truncated[block.rows] |= (self._steps[block.rows] >= own) & ~terminated[block.rows]
        return truncated

    def _user(self) -> NDArray[np.float32]:
        return np.concatenate([np.concatenate([block.env._user() for block in self._members]), self._one_hot], axis=1)

    def _documents(self) -> NDArray[Any]:
        documents = self._document_memory.take()
        for block in self._members:
            documents[block.rows] = block.env._documents()
        return documents

    def hidden_state(self) -> dict[str, NDArray[Any]]:
        """Return what all groups have of a hidden state."""
        states = [block.env.hidden_state() for block in self._members]
        common = [name for name in states[0] if all(name in state for state in states)]
        return {name: np.concatenate([state[name] for state in states]) for name in common}

    def get_state(self) -> dict[str, Any] | None:
        """See `SlateVectorEnv.get_state`; None if one of the groups' envs cannot be saved."""
        state, blocks = super().get_state(), {block.name: block.env.get_state() for block in self._members}
        if state is None or None in blocks.values():
            return None
        return {**state, "groups": blocks, "sizes": {block.name: block.env.num_envs for block in self._members}}

    def set_state(self, state: dict[str, Any]) -> None:
        """See `SlateVectorEnv.set_state`."""
        super().set_state(state)
        self._lay_out([state["sizes"].get(name, 0) for name in self.config.groups])
        for block in self._members:
            block.env.set_state(state["groups"][block.name])
            block.env._np_random = self._np_random
