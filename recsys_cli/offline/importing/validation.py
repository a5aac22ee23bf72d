"""What a slate must be; a slate that is not so is refused, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.importing.cells import finite
from recsys_cli.offline.importing.codes import ABSENT, UNKNOWN
from recsys_cli.offline.importing.mapping import Mapping
from recsys_cli.offline.importing.refusals import Reasons
from recsys_cli.offline.importing.rows import Rows
from recsys_cli.offline.importing.slates import Slates

Bools = NDArray[np.bool_]
BACKWARDS = "time goes backwards"
ROUNDING = 1e-5  # by which a probability in float32 may exceed 1
_LOG_BASES = {"log": 1.0, "log2": np.log(2.0), "log10": np.log(10.0)}


@dataclass
class Checked:
    """What the checks have made of the slates' columns.

    Attributes:
        lengths: documents shown [n].
        flags: positions clicked [n, w].
        clicked: the click that counts [n]; -1: none.
        reward: [n].
        log_propensity: natural logarithms, [n, w] or, of the whole slate, [n, 1]; None if the log has none.
    """

    lengths: NDArray[np.int64]
    flags: Bools
    clicked: NDArray[np.int64]
    reward: NDArray[np.float64]
    log_propensity: NDArray[np.float64] | None


class Checks:
    """The checks of one mapping."""

    def __init__(self, mapping: Mapping, reasons: Reasons, dense_width: int = 0) -> None:
        """Take the mapping.

        Args:
            mapping: the log's.
            reasons: gets those of the checks.
            dense_width: features of a candidate, if candidates are features.
        """
        self.mapping, self.reasons, self.dense_width = mapping, reasons, dense_width

    def __call__(self, slates: Slates) -> Checked:
        """Check all slates; `slates.columns["reason"]` says which are refused."""
        columns = slates.columns
        self._reason, self._valid = columns["reason"], columns["valid"]
        lengths = self._shown(columns)
        there = np.arange(columns["shown"].shape[1]) < lengths[:, None]
        self._candidates(columns, lengths)
        flags = self._clicks(columns, lengths, there)
        worth = self._worth(columns, there)
        clicked = self._chosen(flags, worth)
        reward = self._reward(worth, flags, clicked, there)
        log_propensity = self._propensity(columns, there)
        for name in self.mapping.response:
            values = _fitted(columns[f"response.{name}"], there.shape[1])
            wrong = ~finite(values) & ~np.isnan(values) & there
            self._refuse(wrong.any(1), f"response {name} is no finite number")
        self._order(slates)
        return Checked(lengths, flags, clicked, reward, log_propensity)

    def _refuse(self, where: Bools | np.bool_, why: str, of_all: bool = False) -> None:
        """Mark slates (last observations only if `of_all`) that are not marked yet."""
        these = (self._reason == 0) & (self._valid | of_all) & where
        if these.any():
            self._reason[these] = self.reasons.code(why)

    def _shown(self, columns: Rows) -> NDArray[np.int64]:
        shown, size = columns["shown"], self.mapping.slate.size
        there = shown != ABSENT
        lengths = np.where(there.any(1), shown.shape[1] - there[:, ::-1].argmax(1), 0)
        self._refuse(lengths == 0, "slate is empty")
        self._refuse(there.sum(1) != lengths, "slate has a missing item")
        by_id = self.mapping.slate.of == "items"
        self._refuse(
            (shown == UNKNOWN).any(1), "unseen item: not in the items file" if by_id else "position is no whole number"
        )
        self._refuse(_repeats(shown), "an item twice in a slate")
        if size is not None:
            self._refuse(lengths > size, f"slate longer than slate.size={size}")
        return lengths.astype(np.int64)

    def _candidates(self, columns: Rows, lengths: NDArray[np.int64]) -> None:
        candidates, shown = columns.get("candidates"), columns["shown"]
        if candidates is None:
            return
        there = present(candidates, self.dense_width)
        if self.dense_width:
            odd = np.isnan(candidates).sum(1) != self.dense_width * (~there).sum(1)
            self._refuse(odd, "candidates are not whole documents", of_all=True)
            self._refuse(np.isinf(candidates).any(1), "a candidate's feature is no finite number", of_all=True)
        else:
            self._refuse((candidates == UNKNOWN).any(1), "unseen candidate: not in the items file", of_all=True)
            if self.mapping.items is None or self.mapping.items.topics is None:  # topics are no ids
                self._refuse(_repeats(candidates), "a candidate twice", of_all=True)
        if self.mapping.candidates.mask is None:
            self._refuse((there[:, 1:] > there[:, :-1]).any(1), "candidates have a missing item", of_all=True)
        self._refuse(~there.any(1), "no candidates", of_all=True)
        if self.mapping.slate.of == "items":
            self._refuse(_found(shown, candidates).sum(1) < lengths, "slate outside the candidates")
            return
        inside = shown < there.shape[1]
        known = np.take_along_axis(there, np.where(inside, shown, 0).clip(0), axis=1)
        self._refuse(((shown >= 0) & ~(inside & known)).any(1), "slate outside the candidates")

    def _clicks(self, columns: Rows, lengths: NDArray[np.int64], there: Bools) -> Bools:
        how, shown = self.mapping.clicks, columns["shown"]
        if how is None:
            return np.zeros(there.shape, bool)
        cells = columns["clicks"] if columns["clicks"].ndim > 1 else columns["clicks"][:, None]
        if how.of == "flags":
            values = _fitted(cells, there.shape[1])
            self._refuse((np.isnan(values) & there).any(1), "click is missing")
            self._refuse(~np.isin(values[:, :], (0.0, 1.0)).all(1, where=there), "click is neither 0 nor 1")
            self._refuse((np.nan_to_num(cells[:, there.shape[1] :]) != 0).any(1), "click outside the slate")
            self._refuse((np.nan_to_num(values) != 0).any(1, where=~there), "click outside the slate")
            return (values == 1) & there
        if how.of == "items":
            match = (shown[:, :, None] == cells[:, None, :]) & (cells != ABSENT)[:, None, :]
            self._refuse(match.any(1).sum(1) < (cells != ABSENT).sum(1), "clicked item is not in the slate")
            return match.any(2) & there
        position = cells - how.first
        none = np.isnan(cells) | (position < 0) | (cells == how.none if how.none is not None else False)
        outside = ~none & ~((position < lengths[:, None]) & (position == np.floor(position)))
        self._refuse(outside.any(1), "click outside the slate")
        flags = np.zeros(there.shape, bool)
        row, column = np.nonzero(~none & ~outside)
        flags[row, position[row, column].astype(int)] = True
        return flags

    def _worth(self, columns: Rows, there: Bools) -> NDArray[np.float64] | None:
        """Return the reward's cells, checked: [n, w] per position, or [n, 1] of the whole slate; None: of clicks."""
        if "reward" not in columns:
            return None
        cells = columns["reward"] if columns["reward"].ndim > 1 else columns["reward"][:, None]
        if self.mapping.reward.of == "row":
            self._refuse(((cells != cells[:, :1]) & ~np.isnan(cells)).any(1), "rewards of a slate differ")
            cells = cells[:, :1]
        else:
            cells = np.where(there, _fitted(cells, there.shape[1]), 0)
        self._refuse(np.isnan(cells).any(1), "reward is missing")
        return cells

    def _chosen(self, flags: Bools, worth: NDArray[np.float64] | None) -> NDArray[np.int64]:
        """Return the position of the click that counts, -1 if there is none."""
        several = self.mapping.clicks.several if self.mapping.clicks else "first"
        if several == "most_rewarded":
            assert worth is not None
            best = np.where(flags, worth, -np.inf).argmax(1)
        else:
            best = flags.argmax(1) if several == "first" else flags.shape[1] - 1 - flags[:, ::-1].argmax(1)
        return np.where(flags.any(1), best, -1)

    def _reward(
        self, worth: NDArray[np.float64] | None, flags: Bools, clicked: NDArray[np.int64], there: Bools
    ) -> NDArray[np.float64]:
        how = self.mapping.reward
        if worth is None:
            reward = flags.any(1).astype(np.float64)
        elif how.of == "clicked":
            reward = np.where(clicked >= 0, worth[np.arange(len(worth)), clicked], 0.0)
        else:
            with np.errstate(invalid="ignore"):  # of infinite ones
                reward = np.asarray(worth.sum(1))
        self._refuse(~finite(reward), "reward is no finite number")
        low, high = (-np.inf if how.low is None else how.low), (np.inf if how.high is None else how.high)
        self._refuse((reward < low) | (reward > high), f"reward outside [{low:g}, {high:g}]")
        return np.where(self._valid & finite(reward), reward, 0.0)

    def _propensity(self, columns: Rows, there: Bools) -> NDArray[np.float64] | None:
        how = self.mapping.propensity
        if how is None:
            return None
        cells = columns["propensity"] if columns["propensity"].ndim > 1 else columns["propensity"][:, None]
        if how.of == "slate":
            cells, there = cells[:, :1], there[:, :1]
        else:
            cells = _fitted(cells, there.shape[1])
        self._refuse((np.isnan(cells) & there).any(1), "propensity is missing")
        if how.scale == "probability":
            wrong = ~((cells > 0) & (cells <= 1 + ROUNDING))
            self._refuse((wrong & there).any(1), "propensity outside (0, 1]")
            with np.errstate(all="ignore"):
                logs = np.log(cells)
        else:
            with np.errstate(over="ignore"):
                logs = cells * _LOG_BASES[how.scale]
            self._refuse(((logs > ROUNDING) & there).any(1), "log-propensity above 0")
            self._refuse((~np.isfinite(logs) & there).any(1), "log-propensity is no finite number")
        return np.where(there & np.isfinite(logs), np.minimum(logs, 0.0), 0.0)

    def _order(self, slates: Slates) -> None:
        """Refuse times before the step's before, and last observations that are not last."""
        columns, same = slates.columns, np.diff(slates.episode) == 0
        if "order" in columns and "time" in columns:
            self._refuse(np.append(False, same & (np.diff(columns["time"]) < 0)), BACKWARDS, of_all=True)
        early = np.append(same, False) & ~self._valid
        self._refuse(early, "a last observation that is not last", of_all=True)


def present(candidates: NDArray[Any], dense_width: int) -> Bools:
    """Whether there is a candidate at each place [n, C], of numbers [n, C] or features [n, C * F]."""
    if dense_width:
        return ~np.isnan(candidates[:, ::dense_width])
    there: Bools = candidates != ABSENT
    return there


def _fitted(cells: NDArray[Any], width: int) -> NDArray[Any]:
    """Return [n, width] of cells [n, any] or [n]; what is not there is nan."""
    cells = cells if cells.ndim > 1 else cells[:, None]
    fitted = np.full((len(cells), width), np.nan)
    fitted[:, : cells.shape[1]] = cells[:, :width]
    return fitted


def _repeats(numbers: NDArray[Any]) -> Bools:
    """Whether a row has a number, other than absent and unknown, twice."""
    ordered = np.sort(numbers, axis=1)
    return ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(1)


def _found(shown: NDArray[Any], candidates: NDArray[Any]) -> Bools:
    """Whether each shown item [n, w] is among its row's candidates [n, C]."""
    found = np.zeros(shown.shape, bool)
    for position in range(shown.shape[1]):
        found[:, position] = (candidates == shown[:, position, None]).any(1)
    return found & (shown >= 0)
