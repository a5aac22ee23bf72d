"""Whether logged propensities are what a mapping says, by their moments.

If every slate can be shown, the mean of 1/p over a log is the number of things that could have been chosen: C - j at
position j (from 0), C!/(C - k)! for slates. This finds wrong logarithms, probabilities of sets instead of lists, and
positions that do not exclude what is shown before them. Where some slates cannot be shown the mean is smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.importing.mapping import PropensityColumns

Floats = NDArray[np.float64]
SAMPLE = 200_000  # slates that are looked at
EACH = 20_000  # of them from one group of sessions
ERRORS = 3.5  # standard errors that a mean may be off
SLACK = 0.01  # relative, for rounding
SCALES = {
    "probability": "probabilities",
    "log": "natural logarithms",
    "log2": "logarithms to base 2",
    "log10": "logarithms to base 10",
    "negative": "negated logarithms",
    "percent": "percentages",
    "inverse": "inverse probabilities",
}
_lgamma = np.vectorize(lgamma, otypes=[np.float64])


@dataclass
class Sample:
    """Propensities as they are in the log.

    Attributes:
        cells: [n, w] each; nan behind a slate's end.
        lengths: documents of the slates [n] each.
        candidates: of the rows [n] each; 0 if the log does not say.
    """

    cells: list[Floats] = field(default_factory=list)
    lengths: list[NDArray[np.int64]] = field(default_factory=list)
    candidates: list[NDArray[np.int64]] = field(default_factory=list)
    size: int = 0

    def add(self, cells: Floats, lengths: NDArray[np.int64], candidates: NDArray[np.int64]) -> None:
        """Add some slates of a group."""
        take = np.linspace(0, len(cells) - 1, min(EACH, len(cells), SAMPLE - self.size)).astype(int)
        self.cells.append(cells[take])
        self.lengths.append(lengths[take])
        self.candidates.append(candidates[take])
        self.size += len(take)

    def joined(self, assumed: int) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
        """Return all cells, lengths and numbers of candidates, unknown ones `assumed`."""
        width = max((cells.shape[1] for cells in self.cells), default=1)
        whole = np.full((self.size, width), np.nan)
        at = 0
        for cells in self.cells:
            whole[at : at + len(cells), : cells.shape[1]] = cells
            at += len(cells)
        empty = [np.zeros(0, np.int64)]
        candidates = np.concatenate(self.candidates or empty)
        return whole, np.concatenate(self.lengths or empty), np.where(candidates > 0, candidates, assumed)


@dataclass(frozen=True)
class Reading:
    """One way to read the cells.

    Attributes:
        scale: a key of `SCALES`.
        of: `positions`, `slate`, `set` (a slate's, whatever its order), `repeated` (a slate's at each position) or
            `marginal` (positions that do not exclude what is shown before).
    """

    scale: str
    of: str

    def words(self) -> str:
        """Return what the cells then are."""
        what = {
            "positions": "of each position",
            "slate": "of the whole slate",
            "set": "of the set of shown items, whatever their order (k! too large)",
            "repeated": "of the whole slate, repeated at each position",
            "marginal": "of each position as if nothing were shown before it",
        }
        return f"{SCALES[self.scale]} {what[self.of]}"

    def remedy(self) -> str:
        """Return what to write into the mapping, or into the log."""
        if self.scale in ("negative", "percent", "inverse"):
            return "convert them in the log"
        scale = f"propensity.scale={self.scale}"
        return {
            "positions": f"set {scale} propensity.of=positions",
            "slate": f"set {scale} propensity.of=slate",
            "set": "divide them by k! in the log if all orders are equally likely",
            "repeated": f"set {scale} propensity.of=slate and name one column",
            "marginal": "the log needs each position's probability given those before it",
        }[self.of]


@dataclass(frozen=True)
class Moment:
    """The mean of 1/p under one reading.

    Attributes:
        mean: of 1/p, for each position or the slate.
        expected: what it is if every slate can be shown.
        error: its standard error.
    """

    mean: Floats
    expected: Floats
    error: Floats

    @property
    def fits(self) -> bool:
        """Whether every mean is what is expected."""
        return bool((np.abs(self.mean - self.expected) <= ERRORS * self.error + SLACK * self.expected).all())

    @property
    def vague(self) -> bool:
        """Whether the error is so large that much would fit."""
        return bool((self.error > 0.2 * self.expected).any())


@dataclass(frozen=True)
class Verdict:
    """What the check found.

    Attributes:
        kind: `ok`, `wrong` (another reading fits), `support` (some slates are never shown), `off` or `deterministic`.
        text: in one line.
    """

    kind: str
    text: str
    mean: list[float]
    expected: list[float]


def check(sample: Sample, how: PropensityColumns, assumed: int) -> Verdict:
    """Compare the mean of 1/p with what it should be, under the mapping's reading and under others.

    Args:
        sample: slates, also those refused for their propensity.
        how: the mapping's reading.
        assumed: candidates of rows that do not say how many they have.
    """
    cells, lengths, candidates = sample.joined(assumed)
    whole = (lengths > 0) & (lengths <= candidates)
    cells, lengths, candidates = cells[whole], lengths[whole], candidates[whole]
    declared = Reading(how.scale, how.of)
    moment = _moment(declared, cells, lengths, candidates)
    found = ([], []) if moment is None else (moment.mean.tolist(), moment.expected.tolist())
    if moment is not None and moment.fits:
        few = "; but its standard error is so large that this says little" if moment.vague else ""
        return Verdict(
            "ok", f"mean 1/p is {_numbers(moment.mean)}, as it should be ({_numbers(moment.expected)}){few}", *found
        )
    for reading in _others(declared, cells):
        other = _moment(reading, cells, lengths, candidates)
        if other is not None and other.fits and not other.vague:
            return Verdict("wrong", f"they look like {reading.words()}: {reading.remedy()}", *found)
    if moment is None:
        return Verdict("off", f"they are no {SCALES[how.scale]}, and nothing else that is known", *found)
    if (moment.mean <= 1 + SLACK).all() and (moment.expected > 1).any():
        return Verdict("deterministic", "every slate is certain: nothing can be judged from such a log", *found)
    ratio = f"mean 1/p is {_numbers(moment.mean)}, and should be {_numbers(moment.expected)}"
    if (moment.mean < moment.expected).all():
        return Verdict("support", f"{ratio}: some documents are never or hardly ever shown", *found)
    return Verdict("off", f"{ratio}: they are too small, or the candidates are not those shown from", *found)


def _numbers(values: Floats) -> str:
    return ", ".join(f"{value:,.4g}" for value in values[:5]) + (", ..." if len(values) > 5 else "")


def _others(declared: Reading, cells: Floats) -> Iterator[Reading]:
    """Yield readings other than the declared one, the most likely mistakes first."""
    several = cells.shape[1] > 1
    ways = ["positions", "repeated", "marginal"] if several else ["positions", "slate", "set"]
    ways.sort(key=lambda of: of != declared.of)
    for of in ways:
        for scale in SCALES:
            if Reading(scale, of) != declared:
                yield Reading(scale, of)


def _moment(
    reading: Reading, cells: Floats, lengths: NDArray[np.int64], candidates: NDArray[np.int64]
) -> Moment | None:
    """Return the mean of 1/p under a reading; None if the cells cannot be read so."""
    by_position = reading.of in ("positions", "marginal")
    ends = lengths if by_position or reading.of == "repeated" else np.minimum(lengths, 1)
    there = np.arange(cells.shape[1]) < ends[:, None]
    logs = _logs(cells, reading.scale)
    readable = np.isfinite(logs) & (logs <= 1e-5)
    if not len(cells) or (there & ~readable).sum() > 0.01 * there.sum():
        return None
    rows = (readable | ~there).all(1)
    logs, lengths, candidates, there = logs[rows], lengths[rows], candidates[rows], there[rows]
    if reading.of == "repeated" and not np.allclose(np.where(there, logs, logs[:, :1]), logs[:, :1]):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        inverse = np.exp(-logs)
        if by_position:
            counts = [candidates - position * (reading.of == "positions") for position in range(cells.shape[1])]
            pairs = [(inverse[at, j], counts[j][at]) for j, at in enumerate(there.T) if at.any()]
        else:
            orders = _lgamma(lengths + 1.0) if reading.of == "set" else 0.0
            slates = _lgamma(candidates + 1.0) - _lgamma(candidates - lengths + 1.0) - orders
            pairs = [(inverse[:, 0], np.exp(slates))]
        mean, expected = (np.array([float(values.mean()) for values in each]) for each in zip(*pairs, strict=True))
        error = np.array([(one - other).std() / np.sqrt(len(one)) for one, other in pairs])
    return Moment(mean, expected, error) if np.isfinite(mean).all() else None


def _logs(cells: Floats, scale: str) -> Floats:
    with np.errstate(all="ignore"):
        return {
            "probability": lambda: np.log(cells),
            "log": lambda: cells,
            "log2": lambda: cells * log(2),
            "log10": lambda: cells * log(10),
            "negative": lambda: -cells,
            "percent": lambda: np.log(cells / 100),
            "inverse": lambda: -np.log(cells),
        }[scale]()
