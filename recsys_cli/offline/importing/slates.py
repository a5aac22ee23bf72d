"""From rows to slates, ordered by session: impressions gathered, sessions cut by gaps and ends, duplicates found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.importing.mapping import Mapping
from recsys_cli.offline.importing.refusals import Reasons
from recsys_cli.offline.importing.rows import Rows

Ints = NDArray[np.int64]
DUPLICATE = "duplicate"
INCOMPLETE = "another row of its slate was refused"
AFTER = "after a refused row of its session"
_OF_ROW = ("session", "row", "source", "line", "valid", "user", "category", "candidates", "order", "time", "slate_id")


@dataclass
class Slates:
    """Slates sorted by session and by order in it.

    Attributes:
        columns: one entry per slate; `shown`, `clicks`, `reward`, `propensity` and responses are [n, w] as the mapping
            has them, `reason` as in `Rows`.
        episode: number of each slate's episode, from 0, rising.
        step: number in the episode, from 0; refused slates count, duplicates do not.
        member: the slate of each of the log's rows.
        rows: `source`, `line` and `reason` of these rows.
        disordered: slates whose step, or else time, is before that of the slate before them in the file.
    """

    columns: Rows
    episode: Ints
    step: Ints
    member: Ints
    rows: Rows
    disordered: int

    def reasons(self, reasons: Reasons) -> NDArray[np.int16]:
        """Return every log row's reason: its own, or else its slate's."""
        own, of_slate = self.rows["reason"], self.columns["reason"][self.member]
        return np.where(own != 0, own, of_slate).astype(np.int16)


def gather(rows: Rows, mapping: Mapping, reasons: Reasons) -> Slates:
    """Return the slates of whole sessions' rows."""
    at = rows["row"].argsort(kind="stable")
    rows = {name: values[at] for name, values in rows.items()}
    own = {name: rows[name].copy() for name in ("source", "line", "reason")}
    member = np.arange(len(at))
    if mapping.rows == "impression":
        rows, member = _of_impressions(rows, own, mapping, reasons)
    _, first, inverse = np.unique(rows["session"], return_index=True, return_inverse=True)
    rank = first[inverse]
    order = rows.get("order", rows.get("time", rows["row"]))
    disordered = int((np.diff(order) < 0)[rank[1:] == rank[:-1]].sum())
    origin = np.lexsort((rows["row"], order, rank))
    rows = {name: values[origin] for name, values in rows.items()}
    place = np.empty(len(origin), np.int64)
    place[origin] = np.arange(len(origin))
    same = np.append(False, np.diff(rank[origin]) == 0)
    _refuse_duplicates(rows, same, reasons)
    episode, step = _episodes(rows, same, mapping, reasons)
    return Slates(rows, episode, step, place[member], own, disordered)


def _of_impressions(rows: Rows, own: Rows, mapping: Mapping, reasons: Reasons) -> tuple[Rows, Ints]:
    """Return one row per slate, and the slate of each impression."""
    _, first, slate = np.unique(rows["slate_id"], return_index=True, return_inverse=True)
    by_row = np.argsort(first, kind="stable")  # slates as they come in the log
    number = np.empty(len(first), np.int64)
    number[by_row] = np.arange(len(first))
    slate, first = number[slate], first[by_row]
    position = rows.get("position", rows["row"])
    order = np.lexsort((rows["row"], position, slate))
    if "position" in rows:
        again = (np.diff(slate[order]) == 0) & (np.diff(position[order]) == 0)
        twice = order[1:][again & (own["reason"][order[1:]] == 0)]
        own["reason"][twice] = reasons.code(f"{DUPLICATE}: the same position of a slate again")
        order = order[np.append(True, ~again)]
    at = slate[order]
    slot = np.arange(len(order)) - np.searchsorted(at, at)
    width = int(slot.max(initial=0)) + 1
    gathered: Rows = {name: rows[name][first] for name in _OF_ROW if name in rows}
    for name in rows:
        if name in ("shown", "clicks", "reward", "propensity") or name.startswith("response."):
            absent = np.nan if rows[name].dtype.kind == "f" else -1
            gathered[name] = np.full((len(first), width), absent, rows[name].dtype)
            gathered[name][at, slot] = rows[name][order]
    for name in ("terminated", "truncated"):
        gathered[name] = np.zeros(len(first), bool)
        np.logical_or.at(gathered[name], slate, rows[name])
    for name in ("order", "time"):
        if name in rows:
            np.minimum.at(gathered[name], slate, rows[name])
    gathered["reason"] = np.zeros(len(first), np.int16)
    gathered["reason"][at[own["reason"][order] != 0]] = reasons.code(INCOMPLETE)
    return gathered, slate


def _refuse_duplicates(rows: Rows, same: NDArray[np.bool_], reasons: Reasons) -> None:
    """Refuse a slate that has its session's order number, or time and items, of the one before it."""
    again = same.copy()
    if "order" in rows:
        again[1:] &= np.diff(rows["order"]) == 0
    elif "time" in rows:
        again[1:] &= np.diff(rows["time"]) == 0
        again[1:] &= (rows["shown"][1:] == rows["shown"][:-1]).all(1)
    else:
        return
    rows["reason"][again & (rows["reason"] == 0)] = reasons.code(DUPLICATE)


def _episodes(rows: Rows, same: NDArray[np.bool_], mapping: Mapping, reasons: Reasons) -> tuple[Ints, Ints]:
    """Return the number of each slate's episode, and its step in it."""
    ended = (rows["terminated"] | rows["truncated"]) & rows["valid"]
    new = ~same
    new[1:] |= ended[:-1] & rows["valid"][1:]  # a last observation belongs to what it ends
    gap = mapping.gap_ms()
    if gap is not None:
        new[1:] |= np.diff(rows["time"]) > gap
    episode = np.cumsum(new) - 1
    counts = rows["reason"] != reasons.code(DUPLICATE)
    before = np.cumsum(counts) - counts
    return episode, before - before[np.flatnonzero(new)][episode]


def cut_broken(slates: Slates, reasons: Reasons) -> None:
    """Refuse what comes after a refused slate of its episode; duplicates break nothing."""
    reason = slates.columns["reason"]
    broken = (reason != 0) & (reason != reasons.code(DUPLICATE))
    total = np.cumsum(broken)
    starts = np.flatnonzero(np.diff(slates.episode, prepend=-1))
    before = (total - broken)[starts][slates.episode]
    reason[(total - broken > before) & (reason == 0)] = reasons.code(AFTER)
