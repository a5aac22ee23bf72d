"""Logged propensities: whether they are probabilities of what was shown, and which slates could have been shown.

If the document at a position was drawn with probability p among n candidates that could all be drawn, the mean of 1/p
is n, whatever the policy. A mean below it means that some are never drawn; above, that p is no probability of the
drawn document: a logarithm of another base, a probability of the slate in any order, or of another slate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.streaming import Moments

Kind = Literal["none", "invalid", "certain", "too small", "partial", "full"]

DEVIATIONS = 3.0  # standard errors by which a mean may miss what it should be
ROUNDING = 1e-3  # relative: propensities are float32 logarithms, and of a uniform policy they do not vary
CERTAIN = 1e-6
WHOLE_SLATES = ", of whole slates, shared among positions as if these were uniform"  # said of such propensities
FEW_SLATES = 3.0  # effective number of slates under which a log is narrow
LOOKED_AT = 200_000


@dataclass(frozen=True)
class Support:
    """What the logged propensities say.

    Attributes:
        kind: `none` are logged; `invalid` (not finite, or above 1); `certain` (every slate had probability 1); `too
            small` for the number of candidates; `partial` (some candidates are never shown, or so rarely that this log
            does not show it); `full`.
        steps: steps with a slate.
        invalid: steps with a propensity that is none.
        certain: share of the steps whose slate was certain.
        smallest: least probability of a slate.
        inverse: mean of 1/p over the number of candidates left, by position, `[k]`, or of whole slates over the number
            of slates, `[1]`; 1 with full support.
        error: its standard error.
        slates: mean number of ordered slates.
        effective: number of equally likely slates that vary as much (the exponential of the mean entropy).
    """

    kind: Kind
    steps: int
    invalid: int = 0
    certain: float = 0.0
    smallest: float = 1.0
    inverse: tuple[float, ...] = ()
    error: tuple[float, ...] = ()
    slates: float = 0.0
    effective: float = 1.0

    @property
    def narrow(self) -> bool:
        """Whether the log shows little but one slate of each observation."""
        return self.kind in ("certain", "full", "partial") and self.effective < FEW_SLATES


class SupportCheck:
    """Adds up what `Support` needs, batch by batch."""

    def __init__(self, slate_size: int, *, whole: bool = False) -> None:
        """Begin with no steps.

        Args:
            slate_size: k.
            whole: whether only the propensities of whole slates mean something.
        """
        self.whole = whole
        self._ratio, self._rows = Moments(1 if whole else slate_size), Moments(2)
        self.steps = self.invalid = self.certain = 0
        self._smallest, self._logged = 0.0, True

    @classmethod
    def of(cls, dataset: Dataset) -> SupportCheck:
        """Return a check of a data set's propensities."""
        whole = str(dataset.about.get("propensities", "")).endswith(WHOLE_SLATES)
        return cls(dataset.spec.slate_size, whole=whole)

    def add(self, steps: Steps) -> None:
        """Add a batch."""
        if steps.log_propensity is None:
            self._logged, self.steps = False, self.steps + steps.num_steps
            return
        rows = np.flatnonzero(steps.valid)
        log_p, shown = steps.log_propensity[rows].astype(np.float64), steps.slate[rows] >= 0
        there = np.full(len(rows), steps.doc.shape[1]) if steps.mask is None else steps.mask[rows].sum(1)
        left = np.maximum(there[:, None] - np.arange(shown.shape[1]), 1)
        good = (np.isfinite(log_p) & (log_p <= CERTAIN) | ~shown).all(1)
        self.steps += len(rows)
        self.invalid += int((~good).sum())
        log_p, shown, left = np.where(shown, log_p, 0.0)[good], shown[good], left[good]
        whole = log_p.sum(1)
        self.certain += int((whole >= -CERTAIN).sum())
        self._smallest = min(self._smallest, float(whole.min(initial=0.0)))
        if self.whole:
            slates = np.where(shown, np.log(left), 0.0).sum(1)
            self._ratio.add(np.exp(-whole - slates)[:, None], np.asarray(shown.any(1))[:, None])
        else:
            self._ratio.add(np.exp(-log_p) / left, shown)
        self._rows.add(np.stack([np.where(shown, np.log(left), 0.0).sum(1), whole], axis=1))

    def result(self) -> Support:
        """Return what the steps added so far say."""
        if not (self._logged and self.steps):
            return Support("none", self.steps)
        good = max(self.steps - self.invalid, 1)
        log_slates, log_p = self._rows.mean
        return Support(
            self._kind(),
            self.steps,
            self.invalid,
            self.certain / good,
            float(np.exp(self._smallest)),
            tuple(map(float, self._ratio.mean)),
            tuple(map(float, self._ratio.error)),
            float(np.exp(log_slates)),
            float(np.exp(-log_p)),
        )

    def _kind(self) -> Kind:
        if self.invalid:
            return "invalid"
        if self.certain == self.steps:
            return "certain"
        off: NDArray[Any] = np.where(self._ratio.n > 0, self._ratio.mean - 1, 0)
        slack = DEVIATIONS * self._ratio.error + ROUNDING
        if (off > slack).any():
            return "too small"
        return "partial" if (off < -slack).any() else "full"


def shared(log_prob: NDArray[Any], shown: NDArray[np.bool_], offered: NDArray[Any]) -> NDArray[np.float64]:
    """Share log-probabilities of whole slates among their positions, as those of uniform slates would be.

    Args:
        log_prob: `[n, 1]`.
        shown: whether there is a document at a position, `[n, k]`.
        offered: candidates, `[n]`.
    """
    weight = np.where(shown, np.log(np.maximum(offered[:, None] - np.arange(shown.shape[1]), 1)), 0.0)
    weight += shown * np.finfo(float).tiny  # a single candidate leaves nothing to choose
    return np.asarray(log_prob * weight / np.maximum(weight.sum(1, keepdims=True), np.finfo(float).tiny))


def narrowness(dataset: Dataset) -> str | None:
    """Return in words how narrow a log is, by its first steps; None if it is not, or has no propensities."""
    check = SupportCheck.of(dataset)
    for batch in dataset.batches():
        check.add(batch)
        if check.steps >= LOOKED_AT:
            break
    found = check.result()
    if not found.narrow:
        return None
    return (
        f"data={dataset.name} is narrow: {100 * found.certain:.0f} % of its slates were certain, and all are as varied "
        f"as {found.effective:.1f} equally likely ones of {found.slates:,.0f}; what it never shows is only guessed, "
        "and pessimism pays: algo=cql algo.memory=none"
    )
