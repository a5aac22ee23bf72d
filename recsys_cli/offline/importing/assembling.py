"""From kept slates to logged steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.importing.mapping import Mapping
from recsys_cli.offline.importing.rows import Rows
from recsys_cli.offline.importing.slates import Slates
from recsys_cli.offline.importing.spill import widened
from recsys_cli.offline.importing.summary import DAY, Problem
from recsys_cli.offline.importing.validation import Checked
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.support import shared


def kept(slates: Slates, checked: Checked) -> Rows:
    """Return the slates that are not refused, with what the checks have made of them, ready to be saved.

    `episode` counts from 0; `last` says whether a slate is the last of its episode, refused ones counted.
    """
    last = np.append(slates.episode[1:] != slates.episode[:-1], True)[: len(slates.episode)]
    columns = {name: values for name, values in slates.columns.items() if name not in _CONSUMED}
    columns |= {"episode": slates.episode, "step": slates.step, "last": last, "lengths": checked.lengths}
    columns |= {"flags": checked.flags.astype(np.int8), "clicked": checked.clicked, "reward": checked.reward}
    if checked.log_propensity is not None:
        columns["log_propensity"] = checked.log_propensity
    keep = slates.columns["reason"] == 0
    columns = {name: values[keep] for name, values in columns.items()}
    columns["episode"] = np.cumsum(np.diff(columns["episode"], prepend=columns["episode"][:1]) > 0)
    return columns


_CONSUMED = {"session", "slate_id", "row", "source", "line", "reason", "order", "position", "clicks", "propensity"}


class Assembler:
    """Turns saved slates into steps of one problem."""

    def __init__(self, mapping: Mapping, problem: Problem, several: bool, dense: int) -> None:
        """Take the problem.

        Args:
            mapping: the log's.
            problem: made of the whole log.
            several: whether slates with several clicks occur, so that all are kept.
            dense: features of a candidate, if candidates are features; else 0.
        """
        self.mapping, self.problem, self.several, self.dense = mapping, problem, several, dense

    def __call__(self, columns: Rows, first_episode: int) -> Steps:
        """Return the steps of saved slates (see `kept`), episodes numbered from `first_episode`."""
        spec, n = self.problem.spec, len(columns["step"])
        k, valid = spec.slate_size, columns["valid"]
        doc, mask, slate = self._documents(columns)
        there = np.arange(k) < columns["lengths"][:, None]
        terminated, truncated = self._ends(columns)
        response = {}
        for each in spec.response[1:]:
            values = columns[f"response.{each.name}"]
            values = _cut(values if values.ndim > 1 else values[:, None], k)
            kind = np.int8 if each.kind == "flag" else np.float32
            response[each.name] = np.where(there, np.nan_to_num(values), 0).astype(kind)
        if self.several:
            response = {"click": _cut(columns["flags"], k).clip(0), **response}
        clicked = columns["clicked"]
        return Steps(
            episode=columns["episode"] + first_episode,
            step=columns["step"].astype(np.int32),
            user=self._user(columns, n),
            doc=doc,
            mask=mask,
            slate=np.where(there & valid[:, None], slate, -1),
            log_propensity=self._propensity(columns, there, mask),
            clicked=np.where(clicked < 0, k, clicked),
            reward=columns["reward"].astype(np.float32),
            response=response,
            terminated=terminated,
            truncated=truncated,
            valid=valid,
            time=columns.get("time"),
        )

    def _user(self, columns: Rows, n: int) -> NDArray[np.float32]:
        blocks = [columns.get("user", np.zeros((n, 0), np.float32))]
        for i, (place, size) in enumerate(zip(self.problem.user, self.problem.sizes, strict=True)):
            one_hot = np.zeros((n, size + 1), np.float32)
            one_hot[np.arange(n), place[columns["category"][:, i]]] = 1
            blocks.append(one_hot[:, :-1])
        return np.concatenate(blocks, axis=1)

    def _documents(self, columns: Rows) -> tuple[NDArray[Any], NDArray[np.bool_] | None, NDArray[np.int32]]:
        """Return candidates, mask, and the slates' positions among the candidates."""
        spec = self.problem.spec
        k, width = spec.slate_size, spec.width
        shown = _cut(columns["shown"], k)
        if self.dense:
            features = widened(columns["candidates"], width * self.dense).reshape(len(shown), width, self.dense)
            mask = ~np.isnan(features[..., 0])
            return np.nan_to_num(features), mask if spec.varying else None, shown
        by_position = self.mapping.slate.of == "positions"
        numbers = self._candidates(columns, shown)
        mask = numbers >= 0
        doc = np.where(mask, numbers, 0).astype(spec.documents.number_dtype)
        slate = shown if by_position else _places(self.problem.renumber[shown], numbers)
        return doc, mask if spec.varying else None, slate

    def _candidates(self, columns: Rows, shown: NDArray[Any]) -> NDArray[np.int32]:
        """Return the candidates' numbers [n, C], -1 behind a row's last."""
        width, how = self.problem.spec.width, self.mapping.candidates
        if how.columns is not None:
            return widened(self.problem.renumber[columns["candidates"]], width)
        if how.otherwise == "slate":
            return widened(self.problem.renumber[shown], width)
        if how.otherwise == "log":
            return np.broadcast_to(self.problem.used, (len(shown), width))
        table = np.stack([widened(np.asarray(seen)[None], width)[0] for seen in self.problem.days.values()])
        day = np.searchsorted(list(self.problem.days), columns["time"] // DAY)
        return table[day].astype(np.int32)

    def _propensity(
        self, columns: Rows, there: NDArray[np.bool_], mask: NDArray[np.bool_] | None
    ) -> NDArray[np.float32] | None:
        values = columns.get("log_propensity")
        if values is None:
            return None
        assert self.mapping.propensity is not None
        if self.mapping.propensity.of == "slate":
            offered = np.full(len(there), self.problem.spec.width) if mask is None else mask.sum(1)
            values = shared(values, there, offered)
        return np.where(there, values[:, : there.shape[1]] if values.shape[1] > 1 else values, 0).astype(np.float32)

    def _ends(self, columns: Rows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which steps end their episode, and which are its last known ones."""
        terminated, truncated, valid = (columns[name].copy() for name in ("terminated", "truncated", "valid"))
        terminated, truncated = terminated & valid, truncated & valid
        final = np.append(columns["episode"][1:] != columns["episode"][:-1], True)[: len(valid)]
        before = np.append(final[1:] & ~valid[1:], False)[: len(valid)] & ~final  # a last observation follows
        ends = (final & valid) | before
        said = self.mapping.terminated is not None or self.mapping.truncated is not None
        known_end = ends & columns["last"] & (not said) & (self.mapping.ends == "terminated")
        terminated |= known_end
        truncated |= ends & ~terminated
        return terminated, truncated & ~terminated


def _cut(values: NDArray[Any], width: int) -> NDArray[Any]:
    """Return lists [n, width]: widened, or without what is behind the longest slate."""
    return widened(values[:, :width], width)


def _places(shown: NDArray[np.int32], numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return where each shown item [n, k] is among its row's candidates [n, C]; -1 of none."""
    places = np.full(shown.shape, -1, np.int32)
    for position in range(shown.shape[1]):
        match = numbers == shown[:, position, None]
        places[:, position] = np.where((shown[:, position] >= 0) & match.any(1), match.argmax(1), -1)
    return places
