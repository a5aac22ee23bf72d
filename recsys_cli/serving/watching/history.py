"""How a few numbers went over time, in bounded room: as time passes, points get further apart."""

from __future__ import annotations

from collections.abc import Mapping

POINTS = 240  # at most; beyond, every second one is dropped


class History:
    """Points in time, each with named numbers.

    Attributes:
        times: seconds, rising.
        points: what was known at these times.
    """

    def __init__(self, spacing: float) -> None:
        """Begin with points that are at least so many seconds apart."""
        self._spacing, self._early = spacing, spacing / 2  # callers are not exact
        self.times: list[float] = []
        self.points: list[Mapping[str, float | None]] = []

    def add(self, now: float, point: Mapping[str, float | None]) -> None:
        """Add a point, unless the last one is too near."""
        if self.times and now - self.times[-1] < self._spacing - self._early:
            return
        if len(self.times) >= POINTS:
            self.times, self.points, self._spacing = self.times[::2], self.points[::2], 2 * self._spacing
        self.times = [*self.times, now]
        self.points = [*self.points, point]

    def columns(self, now: float) -> dict[str, list[float | None]]:
        """Return `ago`, the points' ages in seconds, and each name's numbers; None where it had none."""
        names = sorted({name for point in self.points for name in point})
        columns = {name: [point.get(name) for point in self.points] for name in names}
        return {"ago": [round(now - time, 1) for time in self.times], **columns}
