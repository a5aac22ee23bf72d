"""Error rates of the A/B router's tests: sequential, fixed horizon, and fixed horizon looked at all the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from recsys_cli.config.structured import load
from recsys_cli.serving.router.base import Arm
from recsys_cli.serving.router.build import build_router

LOOKS, EACH = 60, 50  # ends of epochs, and sessions of each policy in one
TESTS = ("sequential", "fixed_horizon", "peeking")  # the last: a z-test at level alpha at every look
ALPHA = 0.05


@dataclass(frozen=True)
class Rates:
    """What a test found, over simulated A/B tests.

    Attributes:
        test: see `TESTS`.
        effect: true difference of the policies, in standard deviations of a session's return.
        runs: simulated A/B tests.
        found: fraction that ended with a significant difference.
        sessions: of each policy until it was found, the median over those that found it; None if none did.
    """

    test: str
    effect: float
    runs: int
    found: float
    sessions: float | None


def rates(returns: NDArray[np.float64], effect: float, runs: int) -> list[Rates]:
    """Simulate A/B tests of two policies whose returns have the recorded shape."""
    rng = np.random.default_rng([int(1000 * effect), runs])
    first: dict[str, list[int]] = {test: [] for test in TESTS}
    for _ in range(runs):
        for test, look in _verdicts(rng.choice(returns, (2, LOOKS, EACH)), effect * float(returns.std())):
            first[test].append(look)
    return [
        Rates(test, effect, runs, len(at) / runs, float(np.median(at)) * EACH if at else None)
        for test, at in first.items()
    ]


def _verdicts(values: NDArray[np.float64], shift: float) -> Iterator[tuple[str, int]]:
    """Yield the tests that found a difference, and the number of the look, from 1, at which they first did."""
    values[1] += shift
    sums, squares = values.sum(2).cumsum(1), (values**2).sum(2).cumsum(1)
    count = EACH * np.arange(1, LOOKS + 1)
    variance = (squares - sums**2 / count) / (count - 1)
    z = (sums[1] - sums[0]) / count / np.sqrt(variance.sum(0) / count)
    peeked = np.flatnonzero(np.abs(z) > 1.959964)
    if len(peeked):
        yield "peeking", int(peeked[0]) + 1
    for test in TESTS[:2]:
        router = build_router(load("router", "ab_test", test=test, alpha=ALPHA, horizon=2 * LOOKS * EACH), ("a", "b"))
        state: dict[str, object] = {}
        for look in range(LOOKS):
            arms = [
                Arm(int(count[look]), Fraction(float(sums[m, look])), Fraction(float(squares[m, look]))) for m in (0, 1)
            ]
            state = dict(router.freeze(arms, state))
            if state["comparisons"]["b"]["significant"]:  # type: ignore[index]
                yield test, look + 1
                break


def half_width(rate: float, runs: int) -> float:
    """Return half the width of a rate's 95 % interval (normal approximation)."""
    return 1.96 * sqrt(max(rate * (1 - rate), 1 / runs) / runs)
