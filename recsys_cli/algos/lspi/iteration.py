"""Least-squares policy iteration (Lagoudakis & Parr 2003) with slates: the action is the item clicked, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

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
        self.ridge = self.bellman_error = float("nan")
        self.changed, self.rounds, self.fell_back = 1.0, 0, False
        self.one_step: Floats = policy.values.weights
        self.value = self.error = 0.0

    def evaluate(self, transitions: Iterable[Columns]) -> int:
        """Value the slates that were shown, with the features and the ridge that do this best, and return the rows.

        Args:
            transitions: all of them, in parts. Moments, the limit of sessions and an unknown choice model are learned
                from the first.
        """
        rows = 0
        for columns in transitions:
            if not rows:
                self._begin(columns)
            rows += len(columns["reward"])
            for part in _parts(columns):
                x = self._clicked(self.tried, part)
                y = self._following(self.tried, part, part["next_slate"])
                self.sums.add(x, y, part["reward"].astype(np.float64), fold_of(part["episode"], FOLDS, FOLD_SEED))
        self._choose()
        return rows

    def _begin(self, first: Columns) -> None:
        self.policy.learn_basis(first)
        self.sets = _sets(self.policy, self.design.features)
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
        """Estimate the covariance of the weights, and return the policy's value and its standard error.

        Influence functions of LSTD, by episode e: `A^-1 sum_e phi_t delta_t` for the weights, with delta the Bellman
        errors, so that dependent steps of one session count as one observation.

        Returns:
            `learner/value`, mean value of first states (of the policy just learned, on what it was learned from: it
            is optimistic), `learner/value_error`, its standard error; no value if no first steps are known.
        """
        chosen = self.policy.features.columns(self.blocks)
        w, size = self.policy.values.weights[chosen], len(chosen)
        a, units = np.zeros((size, size)), _Units(size)
        firsts: list[Floats] = []
        of_firsts: list[NDArray[np.int64]] = []
        for x, y, part in self._equations(transitions):
            a += x.T @ (x - y)
            error = part["reward"] + y @ w - x @ w
            units.add(x * error[:, None], part["episode"])
            if "step" in part and (part["step"] == 0).any():
                firsts.append(self._firsts(part))
                of_firsts.append(part["episode"][part["step"] == 0])
        inverse = np.linalg.pinv(a + np.diag(penalty(self.policy.features.free()[chosen], self.ridge)))
        number, scores = units.result()
        influence = scores @ inverse.T
        covariance = np.zeros((self.policy.features.size,) * 2)
        covariance[np.ix_(chosen, chosen)] = influence.T @ influence * len(number) / max(len(number) - 1, 1)
        self.policy.values.spread(covariance)
        if not firsts:
            return {}
        phi = np.concatenate(firsts)
        of_value = influence @ phi.mean(0) * len(number)
        of_value[np.searchsorted(number, np.concatenate(of_firsts))] += phi @ w - (phi @ w).mean()
        self.value, self.error = float((phi @ w).mean()), float(of_value.std() / np.sqrt(len(number)))
        return {"learner/value": self.value, "learner/value_error": self.error}

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

    def _firsts(self, part: Columns) -> Floats:
        """Return the mean features `[E, D']` of first steps under the best slates."""
        first = part["step"] == 0
        begun = {name: part[name][first] for name in ("user", "doc", "memory", "mask") if name in part}
        return self._of_slates(self.blocks, begun, self.policy.slates(begun))

    def _of_slates(self, blocks: Sequence[str], part: Columns, slates: NDArray[Any], prefix: str = "") -> Floats:
        """Return the mean features `[n, D']` of what is clicked on slates `[n, k]`."""
        slates = slates[:, : self.policy.attended]
        docs = part[f"{prefix}doc"][np.arange(len(slates))[:, None], np.maximum(slates, 0)]
        v, v_null = self.policy.choice(part, docs, prefix)
        v = v.masked_fill(torch.from_numpy(slates < 0), 0.0)
        mass = (v.sum(-1) + v_null).clamp_min(torch.finfo(v.dtype).tiny)
        p = (v / mass[:, None]).numpy()
        return self.policy.features.expected(blocks, part, docs, p, 1 - p.sum(-1), prefix)


_STATE = (
    *("blocks", "ridge", "bellman_error", "changed", "rounds"),
    *("one_step", "fell_back", "value", "error"),
)


class _Units:
    """Sums of rows by the episode they belong to; one that goes on in the next part is added to."""

    def __init__(self, size: int) -> None:
        self.numbers: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self.sums: list[Floats] = [np.zeros((0, size))]

    def add(self, rows: Floats, unit: NDArray[np.int64]) -> None:
        order = np.argsort(unit, kind="stable")
        number, start = np.unique(unit[order], return_index=True)
        self.numbers.append(number)
        self.sums.append(np.add.reduceat(rows[order], start, axis=0))

    def result(self) -> tuple[NDArray[np.int64], Floats]:
        numbers, rows = np.concatenate(self.numbers), np.concatenate(self.sums)
        number, which = np.unique(numbers, return_inverse=True)
        sums = np.zeros((len(number), rows.shape[1]))
        np.add.at(sums, which, rows)
        return number, sums


def _parts(columns: Columns) -> Iterator[Columns]:
    n = len(columns["reward"])
    for start in range(0, n, BLOCK_ROWS):
        yield {name: value[start : start + BLOCK_ROWS] for name, value in columns.items()}


def _sets(policy: LSPIPolicy, richness: Richness) -> list[tuple[str, ...]]:
    """Return the sets of blocks to choose from."""
    basis = ("state", "item", "null")
    if not policy.features.remembers:
        return [basis]
    session = "limit" if policy.features.limited else "totals"
    every = {
        "additive": (*basis, session),
        "crossed": (*basis, session, f"state_{session}"),
        "full": (*basis, session, f"state_{session}", "item_limit", "null_limit"),
    }
    if not policy.features.limited:
        every["full"] = every["crossed"]
    return sorted(set(every.values())) if richness == "auto" else [every[richness]]
