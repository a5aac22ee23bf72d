"""Logged env steps in memory: whole episodes, one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recsys_cli.policies.memory import Memory

Array = NDArray[Any]
Ints = NDArray[np.int64]

_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of splitmix64 (Steele et al. 2014)


@dataclass(kw_only=True)
class Steps:
    """n rows sorted by episode and step; every episode is whole.

    The row after a row is the next step of the episode. A truncated episode may end with a row that is no step
    (`valid` is False): its last observation, from which its value can be bootstrapped.

    Attributes:
        episode: number of the episode, `[n]` int64.
        step: number within the episode, `[n]` int32; a gap means that rows are missing.
        user: user features before the step, `[n, U]` float32, without any memory.
        doc: candidates, numbers `[n, C]` of topics or items, or features `[n, C, F]` float32.
        slate: positions among the candidates, `[n, k]`; -1 for no document.
        clicked: position clicked, `[n]`; k for none.
        reward: `[n]` float32.
        response: the response's other fields, `[n, k]` each; also `click` if slates have several clicks.
        terminated: whether the episode ended with this step, `[n]`.
        truncated: whether it was cut after this step, `[n]`.
        valid: whether the row is a step, `[n]`.
        log_propensity: log-probability of each position's document given those before it, `[n, k]` float32; None if the
            log has none.
        mask: which candidates were present, `[n, C]`; None if all were.
        memory: a policy's session memory before the step, `[n, M]` float32; None without (see `remembering`).
        time: milliseconds since 1970, `[n]` int64; None if the log has no times.
    """

    episode: Ints
    step: Array
    user: Array
    doc: Array
    slate: Array
    clicked: Array
    reward: Array
    response: dict[str, Array]
    terminated: Array
    truncated: Array
    valid: Array
    log_propensity: Array | None = None
    mask: Array | None = None
    memory: Array | None = None
    time: Array | None = None

    def __len__(self) -> int:
        """Return the number of rows n."""
        return len(self.episode)

    @property
    def slate_size(self) -> int:
        """Documents of a slate (k)."""
        return int(self.slate.shape[1])

    @cached_property
    def num_steps(self) -> int:
        """Number of env steps: the valid rows."""
        return int(self.valid.sum())

    @cached_property
    def starts(self) -> Ints:
        """First row of each episode, `[E]`."""
        if not len(self):
            return np.zeros(0, np.int64)
        return np.concatenate([[0], 1 + np.flatnonzero(self.episode[1:] != self.episode[:-1])])

    @cached_property
    def lengths(self) -> Ints:
        """Rows of each episode, `[E]`; a truncated episode's last observation is one."""
        return np.diff(self.starts, append=len(self))

    def per_episode(self, values: Array) -> Array:
        """Return the sums `[E]` of values `[n]` over each episode's rows."""
        return np.add.reduceat(values, self.starts) if len(self) else np.zeros(0)

    def returns(self) -> NDArray[np.float64]:
        """Return the episodes' returns, `[E]`."""
        return self.per_episode(np.where(self.valid, self.reward, 0).astype(np.float64))

    def clicks(self) -> Array:
        """Return which positions were clicked, `[n, k]` of 0 and 1."""
        if "click" in self.response:
            return self.response["click"]
        return (self.clicked[:, None] == np.arange(self.slate_size)).astype(np.int8)

    def observation(self, rows: Any = slice(None)) -> dict[str, Array]:
        """Return the observations before some steps, as policies take them; all by default."""
        parts = {"user": self.user, "doc": self.doc, "mask": self.mask, "memory": self.memory}
        return {name: array[rows] for name, array in parts.items() if array is not None}

    def following(self, *, shown: bool = False) -> Ints:
        """Return the row that follows each step, `[n]`; -1 after a termination, and if the log does not have it.

        Args:
            shown: leave out last observations, in which nothing was shown.
        """
        after = np.arange(1, len(self) + 1)
        known = self.valid & ~self.terminated
        known[-1:] = False
        known[:-1] &= (self.episode[1:] == self.episode[:-1]) & (self.step[1:] == self.step[:-1] + 1)
        known[:-1] &= self.valid[1:] | (not shown)
        return np.where(known, after, -1)

    def take(self, rows: Any) -> Steps:
        """Return some rows; their episodes should stay whole."""
        return self._with(lambda array: array[rows])

    def episodes(self, which: Any) -> Steps:
        """Return some episodes, by number in order of appearance or as a bool `[E]`."""
        chosen = np.arange(len(self.starts))[which]
        lengths = self.lengths[chosen]
        before = np.cumsum(lengths) - lengths
        rows = np.repeat(self.starts[chosen] - before, lengths) + np.arange(lengths.sum())
        return self.take(rows)

    def _with(self, change: Callable[[Array], Array]) -> Steps:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        changed = {name: change(value) for name, value in values.items() if isinstance(value, np.ndarray)}
        response = {name: change(value) for name, value in self.response.items()}
        return Steps(**{**values, **changed, "response": response})

    def remembering(self, new_memory: Callable[[int], Memory]) -> Steps:
        """Return the same with a session memory, recomputed from the rows as if they were being played.

        Args:
            new_memory: returns the memory of so many users, such as `SlatePolicy.new_memory`.
        """
        plain, features = dataclasses.replace(self, memory=None), None
        for episodes in _of_similar_length(self.lengths):
            starts, lengths = self.starts[episodes], self.lengths[episodes]
            memory, never = new_memory(len(episodes)), np.zeros(len(episodes), bool)
            for t in range(int(lengths.max())):
                rows = starts + np.minimum(t, lengths - 1)
                before = plain.observation(rows)
                known = memory.extend(before).get("memory")
                if known is None:
                    return plain
                features = np.empty((len(self), known.shape[1]), np.float32) if features is None else features
                there = t < lengths
                features[rows[there]] = known[there]
                memory.step(before, self.slate[rows], {"response": self._response(rows)}, never)
        return dataclasses.replace(self, memory=features)

    def _response(self, rows: Ints) -> dict[str, Array]:
        """Return the whole responses to some steps."""
        response = {name: values[rows] for name, values in self.response.items()}
        if "click" not in response:
            response["click"] = (self.clicked[rows, None] == np.arange(self.slate_size)).astype(np.int8)
        return response

    def learnable(self, after: Ints | None = None) -> Ints:
        """Return the steps that can be learned from: those that end an episode or have a following row."""
        after = self.following() if after is None else after
        return np.flatnonzero(self.valid & (self.terminated | (after >= 0)))

    def transitions(
        self, discount: float = 1.0, *, rows: Ints | None = None, after: Ints | None = None, n_step: int = 1
    ) -> dict[str, Array]:
        """Return steps that can be learned from: what `ReplayBuffer.sample` has, `doc`, `slate`, `episode` and `step`.

        Args:
            discount: of one step.
            rows: of the steps, as `learnable` gives them; all by default.
            after: what `following` returns, if known.
            n_step: steps whose rewards a transition sums; fewer where the episode ends, or its next row is missing.
        """
        after = self.following() if after is None else after
        rows = self.learnable(after) if rows is None else rows
        last, reward, factor = rows, self.reward[rows], np.full(len(rows), discount, np.float32)
        for _ in range(1, n_step):
            then = after[last]
            going = (then >= 0) & self.valid[then] & (self.terminated[then] | (after[then] >= 0))
            last = np.where(going, then, last)
            reward = reward + np.where(going, factor * self.reward[last], 0)
            factor = np.where(going, factor * np.float32(discount), factor)
        then, slate = np.where(after[last] < 0, last, after[last]), self.slate[rows].astype(np.int64)
        columns = {
            **self.observation(rows),
            **{f"next_{name}": values for name, values in self.observation(then).items()},
            "slate": slate,
            "slate_doc": self.doc[rows[:, None], slate],
            "clicked": self.clicked[rows].astype(np.int64),
            "reward": reward,
            "bootstrap": np.where(self.terminated[last], 0, factor).astype(np.float32),
            "terminated": self.terminated[last],
            "next_slate": self.slate[then].astype(np.int64),
            "episode": self.episode[rows],
            "step": self.step[rows],
        }
        return columns if self.mask is None else {**columns, "shown": slate >= 0}


def _of_similar_length(lengths: Ints) -> list[Ints]:
    """Return the episodes' numbers in groups whose lengths differ by less than a factor of two."""
    size = np.frexp(lengths.astype(float))[1]
    return [np.flatnonzero(size == each) for each in np.unique(size)]


def concatenate(parts: Sequence[Steps]) -> Steps:
    """Return the rows of several parts, one after another; all have the same columns."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    joined: dict[str, Any] = {}
    for field in dataclasses.fields(Steps):
        if isinstance(getattr(first, field.name), np.ndarray):
            joined[field.name] = np.concatenate([getattr(part, field.name) for part in parts])
    names = first.response
    return Steps(**joined, response={name: np.concatenate([part.response[name] for part in parts]) for name in names})


def fold_of(episode: Ints, folds: int, seed: int = 0) -> Ints:
    """Return each episode's fold, `[n]`, 0 to `folds` - 1, by a hash of its number: the same in every process.

    Args:
        episode: numbers, `[n]`.
        folds: how many.
        seed: of the hash.
    """
    mixed = np.asarray(episode).astype(np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in zip((30, 27), _MIX, strict=True):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(folds)).astype(np.int64)
