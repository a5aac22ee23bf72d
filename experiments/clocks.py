"""CPU seconds inside methods, for experiments that show where the time goes."""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys_cli.algos.training import Training


class Clocks:
    """CPU seconds spent inside methods, measured by wrapping them.

    Attributes:
        seconds: by part, since the last `clear`.
        first: of each part's first call, with those of processes it waited for, as of C++ compilers.
    """

    def __init__(self, parts: Mapping[str, Sequence[tuple[type, str]]]) -> None:
        """Wrap the methods: (class, method's name) of every part."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.first: dict[str, float] = {}
        for name, methods in parts.items():
            for owner, method in methods:
                setattr(owner, method, self._timed(name, getattr(owner, method)))

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time(), children_time()
            try:
                return method(*args, **kwargs)
            finally:
                spent = time.process_time() - start[0]
                self.seconds[name] += spent
                self.first.setdefault(name, spent + children_time() - start[1])

        return call

    def clear(self, first: bool = False) -> None:
        """Begin anew; `first` forgets the first calls too."""
        self.seconds.clear()
        if first:
            self.first.clear()


def children_time() -> float:
    """Return the CPU seconds of processes that this one waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def train_for(
    budget: float, training: Training, clocks: Clocks, warm_up: int, clock: Callable[[], float] = time.process_time
) -> tuple[float, int]:
    """Train for `warm_up` env steps, let the clocks begin anew, and train for about `budget` seconds of `clock`.

    Returns:
        Those seconds, and the env steps trained in them.
    """
    while training.steps < warm_up:
        training.step()
    clocks.clear()
    start, first = clock(), training.steps
    while clock() - start < budget:
        training.step()
    return clock() - start, training.steps - first
