"""Least-squares policy iteration (Lagoudakis & Parr 2003) with slates: the action is the item clicked, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_cli.algos.lspi.errors import Influence
from recsys_cli.algos.lspi.sums import Sums, best, penalty, solved
from recsys_cli.offline.steps import fold_of
from recsys_cli.policies.base import Floats
from recsys_cli.policies.lspi import LSPIPolicy

Columns = Mapping[str, Any]
Richness = Literal["auto", "additive", "crossed", "full"]

FOLDS = 5
FOLD_SEED = 1  # other folds than those that hold out a fifth of a log
CHATTERING = 0.05  # fraction of slates that still change in the last round, above which no round is better than another
DOUBTFUL = 0.15  # half-width of the value's 95 % interval, as a share of it, above which it is said
ROWS_A_FEATURE = 5  # at least, of every set of features but the smallest: others only cost time
BLOCK_ROWS = 8_192  # whose features are held at once, and whose slates are watched


@dataclass(frozen=True)
class Design:
    """What is tried, and when iteration ends.

    Attributes:
        features: richness of the features; `auto`: chosen by held-out error.
        ridges: likewise; one is not chosen.
        rounds: of policy improvement, at most.
        settled: fraction of slates that may still change in the last round.
        discount: of a step.
    """

    features: Richness
    ridges: Sequence[float]
    rounds: int
    settled: float
    discount: float


class Iteration:
    """Evaluates the logged slates, then improves in rounds, each a pass over the transitions.

    With a conditional choice the slate matters only through what is clicked, so that Q(s, A) = sum_i P(i | s, A)
    Q(s, i) with the null among the items (Ie et al. 2019, section 4), and Q(s, i) = phi(s, i) . w solves

        sum_t phi(s_t, i_t) (phi(s_t, i_t) - discount sum_i P(i | s', A') phi(s', i))' w = sum_t phi(s_t, i_t) r_t

    where A' is the slate shown next, at first, and then the slate of greatest value under the last w.
    """

    def __init__(self, policy: LSPIPolicy, design: Design) -> None:
        """Take the policy, which is to be trained."""
        self.policy, self.design = policy, design
        self.blocks: list[str] = []
        self.sets: list[tuple[str, ...]] = []
        self.ridge = self.bellman_error = float("nan")
        self.changed, self.rounds, self.fell_back = 1.0, 0, False
        self.one_step: Floats = policy.values.weights
        self.value = self.error = 0.0

    def evaluate(self, transitions: Iterable[Columns]) -> int:
        """Value the slates that were shown, with the features and the ridge that do this best, and return the rows.

        Args:
            transitions: all of them, in parts. Unless it has begun, it begins with the first.
        """
        rows = 0
        for columns in transitions:
            if not self.sets:
                self.begin(columns)
            rows += len(columns["reward"])
            for part in _parts(columns):
                x = self._clicked(self.tried, part)
                y = self._following(self.tried, part, part["next_slate"])
                self.sums.add(x, y, part["reward"].astype(np.float64), fold_of(part["episode"], FOLDS, FOLD_SEED))
        self._choose()
        return rows

    def begin(self, transitions: Columns) -> None:
        """Learn moments, the limit of sessions and an unknown choice model from transitions."""
        self.policy.learn_basis(transitions)
        features = self.policy.features
        sets, most = _sets(self.policy, self.design.features), len(transitions["reward"]) // ROWS_A_FEATURE
        self.sets = [each for each in sets if each == sets[0] or len(features.columns(each)) <= most]
        wanted = {name for blocks in self.sets for name in blocks}
        self.tried = [name for name in self.policy.features.blocks if name in wanted]
        self.sums = Sums(FOLDS, len(self.policy.features.columns(self.tried)))

    def _choose(self) -> None:
        features = self.policy.features
        every = features.columns(self.tried)
        where = [np.flatnonzero(np.isin(every, features.columns(blocks))) for blocks in self.sets]
        free = features.free()[every]
        which, self.ridge, self.bellman_error = best(self.sums, where, free, self.design.ridges)
        self.blocks = [name for name in self.tried if name in self.sets[which]]
        self._learn(self.sums.solve(where[which], penalty(free[where[which]], self.ridge)))
        self.one_step, self.changed, self.rounds, self.fell_back = self.policy.values.weights, 1.0, 0, False

    def improve(self, transitions: Iterable[Columns]) -> None:
        """Value the slates that are best now, and take the new values.

        Args:
            transitions: all of them, in parts.
        """
        chosen = self.policy.features.columns(self.blocks)
        a, b = np.zeros((len(chosen), len(chosen))), np.zeros(len(chosen))
        watched: Columns = {}
        for x, y, part in self._equations(transitions):
            watched = watched or {**part, "before": self.policy.slates(part, "next_")}
            a += x.T @ (x - y)
            b += part["reward"].astype(np.float64) @ x
        ridge = penalty(self.policy.features.free()[chosen], self.ridge)
        self._learn(solved(a + np.diag(ridge), b))
        after = self.policy.slates(watched, "next_")
        self.changed = float((np.sort(after) != np.sort(watched["before"])).any(-1).mean())
        self.rounds += 1
        if self.rounds == self.design.rounds and self.changed > CHATTERING:
            self.policy.values.weights, self.fell_back = self.one_step, True

    @property
    def over(self) -> bool:
        """Whether the slates have settled, or the rounds are used up."""
        return self.changed <= self.design.settled or self.rounds >= self.design.rounds

    def _equations(self, transitions: Iterable[Columns]) -> Iterator[tuple[Floats, Floats, Columns]]:
        """Yield x and y (see `Sums`) under the slates that are best now, and the transitions, in blocks of rows."""
        for columns in transitions:
            for part in _parts(columns):
                slates = self.policy.slates(part, "next_")
                yield self._clicked(self.blocks, part), self._following(self.blocks, part, slates), part

    def errors(self, transitions: Iterable[Columns]) -> dict[str, float]:
        """Estimate the covariance of the weights, and return the policy's value and standard errors.

        Returns:
            `learner/value`, mean value of first states (of the policy just learned, on what it was learned from: it
            is optimistic), `learner/value_error`, its standard error, and `learner/item_error`, the mean standard error
            of the value of a click on a candidate in these states; nothing if no first steps are known.
        """
        chosen = self.policy.features.columns(self.blocks)
        found, begun = Influence(self.policy.values.weights[chosen]), dict[str, NDArray[Any]]()
        for x, y, part in self._equations(transitions):
            found.add(x, y, part["reward"].astype(np.float64), part["episode"])
            if "step" in part and (first := part["step"] == 0).any():
                begun = {name: part[name][first] for name in ("user", "doc", "memory", "mask") if name in part}
                phi = self._of_slates(self.blocks, begun, self.policy.slates(begun))
                found.add_first(phi, part["episode"][first])
        covariance = np.zeros((self.policy.features.size,) * 2)
        ridge = penalty(self.policy.features.free()[chosen], self.ridge)
        covariance[np.ix_(chosen, chosen)], value = found.result(ridge)
        self.policy.values.spread(covariance)
        if value is None:
            return {}
        self.value, self.error = value
        items = _mean_present(self.policy.standard_errors(begun)[0], begun.get("mask"))
        return {"learner/value": self.value, "learner/value_error": self.error, "learner/item_error": items}

    def metrics(self) -> dict[str, float]:
        """Return what the last round was like."""
        return {
            "learner/rounds": float(self.rounds),
            "learner/slates_changed": self.changed,
            "learner/bellman_error": float(np.sqrt(max(self.bellman_error, 0.0))),
            "learner/ridge": self.ridge,
            "learner/features": float(len(self.policy.features.columns(self.blocks))),
            "learner/fell_back": float(self.fell_back),
        }

    def doubts(self) -> list[str]:
        """Return why what was learned may be worth little, a line each."""
        lines = []
        if self.fell_back:
            lines.append(
                f"algo=lspi: after {self.rounds} rounds {self.changed:.0%} of the slates still change, so one step of "
                "improvement on the slates shown is kept; more steps, algo.memory or a larger algo.ridge may help"
            )
        if 1.96 * self.error > DOUBTFUL * abs(self.value):
            known, size = f"{self.value:.1f} ± {1.96 * self.error:.1f}", len(self.policy.features.columns(self.blocks))
            lines.append(
                f"algo=lspi: the policy's value is known as {known} only: the log is too short for {size} features, or "
                f"algo.memory={self.policy.memory} does not show what ends or rewards a session"
            )
        return lines

    def get_state(self) -> dict[str, Any]:
        """Return what the next round needs besides the policy."""
        return {name: getattr(self, name) for name in _STATE}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` returned."""
        for name in _STATE:
            setattr(self, name, state[name])

    def _learn(self, weights: Floats) -> None:
        full = np.zeros(self.policy.features.size)
        full[self.policy.features.columns(self.blocks)] = weights
        self.policy.values.weights = full

    def _clicked(self, blocks: Sequence[str], part: Columns) -> Floats:
        clicked, k = part["clicked"][:, None], part["slate_doc"].shape[1]
        p = (clicked == np.arange(k)).astype(np.float64)
        return self.policy.features.expected(blocks, part, part["slate_doc"], p, 1 - p.sum(-1))

    def _following(self, blocks: Sequence[str], part: Columns, slates: NDArray[Any]) -> Floats:
        return self._of_slates(blocks, part, slates, "next_") * part["bootstrap"].astype(np.float64)[:, None]

    def _of_slates(self, blocks: Sequence[str], part: Columns, slates: NDArray[Any], prefix: str = "") -> Floats:
        """Return the mean features `[n, D']` of what is clicked on slates `[n, k]`."""
        slates = slates[:, : self.policy.attended]
        docs = part[f"{prefix}doc"][np.arange(len(slates))[:, None], np.maximum(slates, 0)]
        v, v_null = self.policy.choice(part, docs, prefix)
        v = v.masked_fill(torch.from_numpy(slates < 0), 0.0)
        mass = (v.sum(-1) + v_null).clamp_min(torch.finfo(v.dtype).tiny)
        p = (v / mass[:, None]).numpy()
        return self.policy.features.expected(blocks, part, docs, p, 1 - p.sum(-1), prefix)


_BASIS = ("user", "memory", "slate_doc", "shown", "clicked", "terminated", "reward")
_STATE = (
    *("blocks", "ridge", "bellman_error", "changed", "rounds"),
    *("one_step", "fell_back", "value", "error"),
)


def _mean_present(values: Floats, mask: NDArray[np.bool_] | None) -> float:
    return float(values.mean() if mask is None else values[mask].mean())


def joined(transitions: Sequence[Columns]) -> Columns:
    """Return what `Iteration.begin` needs of transitions in parts, in one."""
    return {name: np.concatenate([part[name] for part in transitions]) for name in _BASIS if name in transitions[0]}


def _parts(columns: Columns) -> Iterator[Columns]:
    n = len(columns["reward"])
    for start in range(0, n, BLOCK_ROWS):
        yield {name: value[start : start + BLOCK_ROWS] for name, value in columns.items()}


def _sets(policy: LSPIPolicy, richness: Richness) -> list[tuple[str, ...]]:
    """Return the sets of blocks to choose from, the smaller ones first."""
    features, basis = policy.features, ("state", "item", "null")
    every: dict[str, tuple[str, ...]] = {"additive": basis}
    if features.remembers:
        session = "limit" if features.limited else "totals"
        additive = (*basis, session)
        crossed = (*additive, f"state_{session}")
        full = (*crossed, "item_limit", "null_limit") if features.limited else crossed
        every = {"additive": additive, "crossed": crossed, "full": full}
    wanted = list(dict.fromkeys(every.values())) if richness == "auto" else [every.get(richness, basis)]
    return wanted if not features.waves else [*wanted, *map(_with_waves, wanted)]


def _with_waves(blocks: tuple[str, ...]) -> tuple[str, ...]:
    return (*blocks, "waves", *(["waves_limit"] if "item_limit" in blocks else []))
