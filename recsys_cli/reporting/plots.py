"""Figures of a sweep: parallel coordinates, and the score over each axis."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_cli.files import atomic_dir

if TYPE_CHECKING:
    from recsys_cli.config.search import SearchConfig
    from recsys_cli.reporting.results import PointResult

COLOURS = "viridis"
EARLY, ENDED = "v", "o"  # marks of points that were stopped early, and of those that were not


def draw(sweep_dir: Path, problem: str, points: Sequence[PointResult], search: SearchConfig) -> None:
    """Write `parallel*.svg` and `slices*.svg`, with the problem in their names if there are several."""
    scored = [point for point in points if math.isfinite(point.score)]
    axes = [axis for axis in dict.fromkeys(key for point in scored for key in point.values) if _varies(scored, axis)]
    if len(scored) < 2 or not axes:
        return
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "recsys"  # the same points, the same file
    name = "".join(f"-{part}" for part in re.findall(r"[\w.]+", problem))
    scales = {axis: Scale([point.values.get(axis, "") for point in scored]) for axis in axes}
    with atomic_dir(sweep_dir / ".figures") as folder:
        _parallel(scored, scales, search).savefig(folder / "parallel.svg")
        _slices(scored, scales, search).savefig(folder / "slices.svg")
    for kind in ("parallel", "slices"):
        (sweep_dir / ".figures" / f"{kind}.svg").replace(sweep_dir / f"{kind}{name}.svg")
    (sweep_dir / ".figures").rmdir()


def _varies(points: Sequence[PointResult], axis: str) -> bool:
    return len({point.values.get(axis) for point in points}) > 1


class Scale:
    """Positions of an axis's values: numbers by size, or by logarithm if they span a lot; words in a row.

    Attributes:
        log: whether positions are logarithms.
        words: the values in order, empty if they are numbers.
        places: position of each value, and the value.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Distinguish numbers from words."""
        try:
            numbers = [float(text) for text in texts]
        except ValueError:
            numbers = []
        self.words = [] if numbers else sorted(set(texts))
        self.log = bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= 30
        self.places = sorted({self.position(text): text for text in texts}.items())
        self.ends = self._ends([at for at, _ in self.places])

    @staticmethod
    def _ends(positions: Sequence[float]) -> tuple[float, float]:
        low, high = min(positions), max(positions)
        return (low, high) if high > low else (low - 0.5, high + 0.5)

    def position(self, text: str) -> float:
        """Return a value's position."""
        if self.words:
            return float(self.words.index(text))
        return math.log10(float(text)) if self.log else float(text)

    def fraction(self, text: str) -> float:
        """Return a value's position between the lowest (0) and the highest (1)."""
        return (self.position(text) - self.ends[0]) / (self.ends[1] - self.ends[0])

    def ticks(self) -> list[tuple[float, str]]:
        """Return a few positions and their labels."""
        if self.words or len(self.places) <= 5:
            return self.places
        at = np.linspace(*self.ends, 5)
        return [(float(x), f"{10**x if self.log else x:.3g}") for x in at]


def _parallel(points: Sequence[PointResult], scales: dict[str, Scale], search: SearchConfig) -> Any:
    """Draw one line per point, through its value on every axis to its score, the best on top."""
    import matplotlib.pyplot as plt

    figure, plot = plt.subplots(figsize=(2.2 + 1.8 * (len(scales) + 1), 4.2), layout="constrained")
    scores = Scale([repr(point.score) for point in points])
    sign = 1 if search.mode == "max" else -1
    colours = plt.get_cmap(COLOURS)
    for point in sorted(points, key=lambda point: sign * point.score):
        height = scores.fraction(repr(point.score))
        line = [scale.fraction(point.values[axis]) for axis, scale in scales.items() if axis in point.values]
        early = point.state == "pruned"
        goodness = height if sign > 0 else 1 - height
        x = [i for i, axis in enumerate(scales) if axis in point.values]
        plot.plot([*x, len(scales)], [*line, height], color=colours(goodness), lw=1.5, ls=":" if early else "-")
    for i, scale in enumerate([*scales.values(), scores]):
        plot.axvline(i, color="0.7", lw=0.8, zorder=0)
        for at, text in scale.ticks():
            plot.text(i + 0.03, (at - scale.ends[0]) / (scale.ends[1] - scale.ends[0]), text, fontsize=7, va="center")
    plot.set_xticks(range(len(scales) + 1), [*scales, search.metric])
    plot.set_yticks([])
    plot.spines[:].set_visible(False)
    plot.set_title("dotted: stopped early" if any(point.state == "pruned" for point in points) else "", fontsize=8)
    plt.close(figure)
    return figure


def _slices(points: Sequence[PointResult], scales: dict[str, Scale], search: SearchConfig) -> Any:
    """Draw the score over each axis, one mark per point, shaded by the number of steps trained."""
    import matplotlib.pyplot as plt

    figure, plots = plt.subplots(
        1, len(scales), figsize=(1 + 3 * len(scales), 3.2), sharey=True, squeeze=False, layout="constrained"
    )
    longest = max(point.steps for point in points)
    marks: Any = None
    for plot, (axis, scale) in zip(plots[0], scales.items(), strict=True):
        for mark, early in ((EARLY, True), (ENDED, False)):
            own = [point for point in points if axis in point.values and (point.state == "pruned") == early]
            marks = plot.scatter(
                [scale.position(point.values[axis]) for point in own],
                [point.score for point in own],
                c=[point.steps for point in own],
                marker=mark,
                vmin=0,
                vmax=longest,
                cmap=COLOURS,
                s=28,
            )
        plot.set_xticks([at for at, _ in scale.ticks()], [text for _, text in scale.ticks()], fontsize=7)
        plot.set_xlabel(axis)
    plots[0][0].set_ylabel(search.metric)
    figure.colorbar(marks, ax=list(plots[0]), label="steps")
    plt.close(figure)
    return figure
