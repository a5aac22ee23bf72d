"""Ranges as part of a key's type: `lr: Positive`, `n_step: Annotated[int, AtLeast(1)] | None`.

`types.convert` refuses values outside; help, `recsys list` and completion show the range. Numbers are finite unless
their range says otherwise. Help reads annotations from the source, so the arguments below must be literals.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

HUGE = 1_000_000_000_000  # its square is finite in float32


class Range:
    """Numbers from `low` to `high`, including each end unless it is open.

    Attributes:
        shown: whether help mentions it.
    """

    shown = True

    def __init__(
        self, low: float = -math.inf, high: float = math.inf, *, open_ends: tuple[bool, bool] = (False, False)
    ):
        """Take both ends."""
        self.low, self.high, self.open_ends = low, high, open_ends

    def refusal(self, value: Any) -> str:
        """Return what `value` must be; empty if it is, or is not a number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ""
        if isinstance(value, float) and not math.isfinite(value):
            return f"must be finite and {self}" if str(self) else "must be finite"
        above = value > self.low if self.open_ends[0] else value >= self.low
        below = value < self.high if self.open_ends[1] else value <= self.high
        return "" if above and below else f"must be {self}"

    def __str__(self) -> str:
        """Return the range in words: "at least 1", "above 0 and at most 1", "from 0 to 1"."""
        low = "" if math.isinf(self.low) else f"{'above' if self.open_ends[0] else 'at least'} {self.low:,}"
        high = "" if math.isinf(self.high) else f"{'below' if self.open_ends[1] else 'at most'} {self.high:,}"
        if low and high and not any(self.open_ends):
            return f"from {self.low:,} to {self.high:,}"
        return f"{low} and {high}" if low and high else low or high


class AtLeast(Range):
    """`low` or more."""

    def __init__(self, low: float) -> None:
        """Take the least value."""
        super().__init__(low)


class Above(Range):
    """More than `low`, and no more than `high` if that is given."""

    def __init__(self, low: float, high: float = math.inf) -> None:
        """Take the ends."""
        super().__init__(low, high, open_ends=(True, False))


class Between(Range):
    """From `low` to `high`, or to just below it."""

    def __init__(self, low: float, high: float, *, below: bool = False) -> None:
        """Take the ends."""
        super().__init__(low, high, open_ends=(False, below))


class Cap(Range):
    """A bound far beyond what any machine can do, against typos; not shown in help."""

    shown = False

    def __init__(self, high: float) -> None:
        """Take the greatest value."""
        super().__init__(high=high)


class Floor(Range):
    """The same below."""

    shown = False

    def __init__(self, low: float) -> None:
        """Take the least value."""
        super().__init__(low)


class BelowInfinity(Range):
    """Any number far below what overflows, minus infinity among them: the logarithm of a weight that may be 0."""

    shown = False

    def refusal(self, value: Any) -> str:
        """Return what `value` must be; empty if it is."""
        return "must be below infinity" if value == math.inf else f"must be at most {HUGE:,}" if value > HUGE else ""


class AnyNumber(Range):
    """Any number, infinite ones among them."""

    shown = False

    def refusal(self, value: Any) -> str:
        """Return an empty string."""
        return ""


class NotEmpty:
    """A non-empty list, or a text that is not blank."""

    shown = False

    def refusal(self, value: Any) -> str:
        """Return what `value` must be; empty if it is, or is neither list nor text."""
        content = value.strip() if isinstance(value, str) else value
        return "must not be empty" if isinstance(content, list | tuple | str) and not content else ""


Rule = Range | NotEmpty

Trials = Annotated[int, AtLeast(1), Cap(5_000)]
"""Points of a sweep: each takes milliseconds to compose and a folder."""
Seeds = Annotated[int, AtLeast(1), Cap(1_000)]
"""Trainings of the same setting."""
Count = Annotated[int, AtLeast(1), Cap(1_000_000_000)]
"""Of things held in memory or done in one go: a billion of one byte each fill a machine."""
Steps = Annotated[int, AtLeast(1), Cap(1_000_000_000_000)]
"""Of env steps and the like: at 100,000 per second they take four months."""
StepsOrZero = Annotated[int, AtLeast(0), Cap(1_000_000_000_000)]
"""The same, or none."""
Processes = Annotated[int, AtLeast(0), Cap(100_000)]
"""Of a cluster."""
SEEDS = 4_294_967_296
Seed = Annotated[int, Between(0, 4_294_967_295)]
"""Seeds that NumPy's and torch's generators take: 32 bits."""
Widths = Annotated[list[Annotated[int, AtLeast(1), Cap(1_000_000)]], NotEmpty()]
"""Of hidden layers."""
Text = Annotated[str, NotEmpty()]
"""A name, path or address: an empty one comes from an unset variable."""
Positive = Annotated[float, Above(0), Cap(1_000_000_000_000)]
NonNegative = Annotated[float, AtLeast(0), Cap(1_000_000_000_000)]
LearningRate = Annotated[float, Above(0), Cap(100)]
"""Adam moves every weight by about as much at each step."""
Signed = Annotated[float, Cap(1_000_000_000_000), Floor(-1_000_000_000_000)]
"""A number of either sign."""
LogMean = Annotated[float, Cap(40), Floor(-40)]
LogStddev = Annotated[float, AtLeast(0), Cap(10)]
"""Draws from a log-normal distribution of such a mean and standard deviation are finite in float32."""
EpisodeSteps = Annotated[int, AtLeast(1), Cap(1_000_000)]
"""An episode is played to its end in every evaluation."""
Fraction = Annotated[float, Between(0, 1)]
"""A probability or a share."""
PositiveFraction = Annotated[float, Above(0, 1)]
LogWeight = Annotated[float, BelowInfinity()]
Bound = Annotated[float, AnyNumber()]
"""An end of a range, which may be open."""
