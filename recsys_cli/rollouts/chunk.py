"""Time-major chunks of experience, as collected by a runner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np


@dataclass(kw_only=True)
class Chunk:
    """T consecutive lock-steps of N users, time-major: row t+1 holds the observation after row t.

    Attributes:
        user: user observations before the step, `[T, N, U]` float32.
        doc: candidates, `[T, N, C, F]` float32 or `[T, N, C]` numbers.
        slate: shown candidates, `[T, N, k]`; -1 for no document.
        clicked: position clicked, `[T, N]`; k for none.
        reward: `[T, N]` float32.
        terminated: whether the episode ended in this step, `[T, N]`. A truncated episode is still bootstrapped.
        truncated: whether it was truncated after this step, `[T, N]`.
        valid: False if the step only began a new episode (gymnasium's next-step autoreset), `[T, N]`.
        stream: number of the runner it comes from.
        start: the runner's lock-step count at row 0; a gap means that rows are missing.
        memory: the policy's memory before the step, `[T, N, M]` float32; None without memory.
        evidence: what the step told a memory that is being learned, `[T, N, X]` float32; None without one.
        mask: which candidates were present, `[T, N, C]`; None if all were.
        response: every field of the response to `slate`, `[T, N, k]` each; None if nobody reads them.
        log_propensity: log-probabilities of the slates when they were drawn, `[T, N]` float32; nan if the policy is
            known by draws only, since a good estimate takes a thousand. None if nobody reads them.
    """

    user: np.ndarray
    doc: np.ndarray
    slate: np.ndarray
    clicked: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    valid: np.ndarray
    stream: int
    start: int
    memory: np.ndarray | None = None
    evidence: np.ndarray | None = None
    mask: np.ndarray | None = None
    log_propensity: np.ndarray | None = None
    response: dict[str, np.ndarray] | None = None

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the arrays by name."""
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray):
                yield each.name, value

    def transitions(self) -> dict[str, np.ndarray]:
        """Return the valid transitions, flat.

        `user` [n, U], `slate` [n, k] and its documents `slate_doc` [n, k, ...], `clicked` and `reward` [n]; `memory`
        [n, M] and `mask` [n, C] if present.
        """
        step, user = np.nonzero(self.valid)
        optional = {"memory": self.memory, "mask": self.mask}
        more = {name: array[step, user] for name, array in optional.items() if array is not None}
        if self.mask is not None:
            more["shown"] = self.slate[step, user] >= 0
        return {
            **more,
            "user": self.user[step, user],
            "slate": self.slate[step, user],
            "slate_doc": self.doc[step[:, None], user[:, None], self.slate[step, user]],
            "clicked": self.clicked[step, user],
            "reward": self.reward[step, user],
        }

    def __len__(self) -> int:
        """Return the number of transitions."""
        return int(self.valid.sum())

    def env_steps(self) -> int:
        """Return the number of transitions, as RLlib asks for it."""
        return len(self)

    def agent_steps(self) -> int:
        """Return the number of transitions, as RLlib asks for it."""
        return len(self)


def clicked_position(click: np.ndarray) -> np.ndarray:
    """Turn click indicators `[N, k]` into the position clicked `[N]`, k for none."""
    position = click.argmax(-1)
    position[click.max(-1) == 0] = click.shape[-1]
    return position.astype(position_dtype(click.shape[-1]))


def position_dtype(slate_size: int) -> type[np.signedinteger[Any]]:
    """Return the smallest dtype that holds the positions 0 to k."""
    return np.int8 if slate_size < 128 else np.int16
