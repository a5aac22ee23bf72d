"""Fitted Q evaluation on the decomposition: the value of a policy from the values of what is clicked.

If reward and transition depend on the slate through the click alone (Ie et al. 2019, arXiv 1905.12767, section 4.1),

    Q(s, c) = E[r + V(s')],    V(s) = sum over c of p(c | s) Q(s, c)

with p(c | s) the policy's probability that candidate c, or nothing, is clicked. With Q linear in features phi this is
one least-squares solve, LSTD-Q (Lagoudakis & Parr 2003, section 5.1), of sums over the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.choice import known_choice
from recsys_cli.offline.estimators.base import LEAST_ESS, Estimate, from_influence, standard_error, with_choice_error
from recsys_cli.offline.estimators.groups import GroupSums
from recsys_cli.offline.estimators.support import Support
from recsys_cli.offline.judging import ChoiceModel, Judged, Logged
from recsys_cli.offline.linear import inverse
from recsys_cli.offline.steps import Steps
from recsys_cli.policies.base import SlatePolicy
from recsys_cli.policies.memory import STEPS_UNIT, TOTALS, UNITS, MemoryKind, increments, memory_features, new_memory
from recsys_cli.policies.value_features import ValueFeatures, fit_budget

Floats = NDArray[np.float64]

LEAST_RIDGE = 1e-3
RIDGES = (1e-2, 1e-1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
AGREEMENT = 0.25  # standard errors by which values of different ridges may differ
BUDGET_STEPS = 200_000  # from which the session's budget is learned
SQUARED_GROUPS = 5  # one of so many groups tells the effective sample size
FEW_REMEMBERED = 32  # features of a memory of documents that cost nothing


@dataclass(frozen=True)
class ValueModel:
    """How values are represented: features of the user, the documents and the session so far.

    Attributes:
        spec: the problem.
        memory: the session memory that values depend on.
        features: of a click in a session.
    """

    spec: ProblemSpec
    memory: MemoryKind
    features: ValueFeatures

    @classmethod
    def of(cls, spec: ProblemSpec, steps: Steps) -> ValueModel:
        """Return a model whose session budget is learned from the ends of a log's sessions.

        Values depend on what was shown and clicked before, unless these are many features. If tastes are hidden they
        depend on nothing but the time left: clicks would pass for a sign of the user's taste, and a policy that earns
        more of them for one whose users are easier to please.

        Args:
            spec: the problem.
            steps: of the log, of which the first `BUDGET_STEPS` are used.
        """
        hidden = known_choice(spec) is None
        few = memory_features("documents", spec) <= FEW_REMEMBERED
        kind: MemoryKind = "documents" if few and not hidden else "raw"
        if len(steps) > BUDGET_STEPS:
            steps = steps.episodes(np.cumsum(steps.lengths) <= BUDGET_STEPS)
        steps = steps.remembering(partial(new_memory, kind, spec))
        budget = None
        if spec.truncation is not None:  # then it is known: steps
            budget = np.array([1.0, -STEPS_UNIT / spec.truncation, 0.0, 0.0, 0.0])
        elif steps.memory is not None and len(steps):
            after = steps.memory[:, :TOTALS] + increments({**steps.response, "click": steps.clicks()}) / UNITS
            known = steps.valid & (steps.terminated | (steps.following() >= 0))
            budget = fit_budget(after[known], steps.terminated[known])
        remembered = memory_features(kind, spec)
        return cls(spec, kind, ValueFeatures(spec, remembered, budget, totals=not hidden or budget is None))

    def remembering(self, steps: Steps) -> Steps:
        """Return steps with the session memory that values depend on."""
        return steps.remembering(partial(new_memory, self.memory, self.spec))


class LinearFQE:
    """Sums of the normal equations `A theta = b`, by groups of episodes; memory does not grow with the log."""

    def __init__(self, model: ValueModel, discount: float = 1.0) -> None:
        """Take the value model, and the discount of the return."""
        self.model, self.discount = model, discount
        self.groups, self.support, self.learned = GroupSums(), Support(), False

    def add(self, judged: Judged) -> None:
        """Take more whole episodes, with the model's memory."""
        steps, features = judged.steps, self.model.features
        observation = steps.observation()
        phi = features.of(observation, judged.consumed)
        bar = features.expected(observation, judged.target_clicks)
        after = steps.following()
        over = self.ended(steps)
        used = steps.valid & (over | (after >= 0))
        ahead = np.where((used & ~over & (after >= 0))[:, None], bar[after], 0.0)
        change, first = phi - self.discount * ahead, np.zeros(len(steps), bool)
        first[steps.starts] = True
        for group, rows in enumerate(self.groups.groups_of(steps)):
            if not len(rows):
                continue
            learned = rows[used[rows]]
            seen, reward = phi[learned], steps.reward[learned].astype(np.float64)
            sums = {"A": seen.T @ change[learned], "b": seen.T @ reward, "start": bar[rows[first[rows]]].sum(0)}
            self.groups.add(group, {**sums, "first": seen.sum(0), "reward": reward.sum(), "steps": len(learned)})
            if group % SQUARED_GROUPS == 0:
                self.groups.add(group, {"second": seen.T @ seen, "squared_steps": len(learned)})
        self.support.add(judged)
        self.learned |= judged.choice.learned

    def ended(self, steps: Steps) -> NDArray[np.bool_]:
        """Return after which steps nothing is earned any more, `[n]`: the problem's own horizon is an end too."""
        horizon = self.model.spec.truncation
        return (
            steps.terminated if horizon is None else steps.terminated | (steps.truncated & (steps.step + 1 >= horizon))
        )

    def estimate(self) -> Estimate:
        """Return the mean value of the log's first observations."""
        episodes, sums = self.groups.used()
        found = solve(self.model.features.free, episodes, sums)
        share = sums["squared_steps"].sum() / max(sums["steps"].sum(), 1)
        total, square = (
            found.beta @ sums["first"].sum(0),
            found.beta @ sums["second"].sum(0) @ found.beta / max(share, 1e-9),
        )
        diagnostics = {"ess": float(total**2 / square) if square > 0 else 0.0, "ridge": found.ridge}
        influence = found.influence
        if self.learned:
            influence = with_choice_error(found.value, influence, sums["reward"], episodes)
        refusal = self.support.refusal()
        if refusal is None and not diagnostics["ess"] >= LEAST_ESS:
            refusal = f"marginal weights amount to {diagnostics['ess']:.1f} steps, fewer than {LEAST_ESS:.0f}"
        return from_influence(
            "FQE",
            found.value,
            influence,
            diagnostics={**diagnostics, **self.support.diagnostics()},
            refusal=refusal,
            unit="episodes" if episodes.max() == 1 else "groups of episodes",
        )

    @property
    def theta(self) -> Floats:
        """Weights of the features, `[P]`."""
        return solve(self.model.features.free, *self.groups.used()).theta

    def values(self, judged: Judged, theta: Floats) -> tuple[Floats, Floats]:
        """Return the value of what was clicked and of the observation, `[n]` each, of judged steps."""
        q, null = self.model.features.values(judged.steps.observation(), theta)
        every = np.concatenate([q, null[:, None]], axis=1)
        return every[np.arange(len(every)), judged.consumed], (judged.target_clicks * every).sum(1)


@dataclass(frozen=True)
class Solution:
    """The solved equations at one ridge.

    What the ridge takes from the value is given back to first order: `value = F theta + beta (b - A theta)` with
    `beta = (A + ridge)^-T F` and F the mean features of first observations. `phi beta` are the marginal importance
    weights of the logged steps, and their weighted rewards the same estimate (Uehara et al. 2020, arXiv 1910.12809,
    section 5).

    Attributes:
        ridge: added to the diagonal of A, but for the leading features.
        theta: weights of the features, `[P]`.
        beta: weights of the features in marginal importance weights, `[P]`.
        value: mean value of first observations.
        influence: of each group, `[groups]`, of mean 0.
    """

    ridge: float
    theta: Floats
    beta: Floats
    value: float
    influence: Floats

    @classmethod
    def at(cls, ridge: float, free: int, episodes: Floats, sums: Mapping[str, Floats]) -> Solution:
        """Solve.

        Args:
            ridge: see `Solution`.
            free: leading features that are hardly shrunk.
            episodes: number of episodes of each group.
            sums: of each group: `A`, `b`, `start`, and of some `second`.
        """
        matrix, right, start = (sums[name].sum(0) for name in ("A", "b", "start"))
        count, penalty = episodes.sum(), np.full(len(right), ridge)
        penalty[:free] = LEAST_RIDGE
        solved = inverse(matrix + np.diag(penalty), np.diag(sums["second"].sum(0)) + penalty)
        theta, beta = solved @ right, solved.T @ start / count
        plain = float(start @ theta) / count
        residual = (sums["b"] - sums["A"] @ theta) @ beta
        parts = residual + (sums["start"] @ theta - episodes * plain) / count
        influence = len(episodes) * (parts - parts.mean())
        return cls(ridge, theta, beta, plain + float(residual.sum()), influence)


def solve(free: int, episodes: Floats, sums: Mapping[str, Floats]) -> Solution:
    """Return the solution of the greatest ridge whose bias does not show.

    Its value must differ from that of every smaller ridge by no more than `AGREEMENT` of the latter's standard errors
    (Lepski's method; for off-policy evaluation Su, Srinath & Krishnamurthy 2020, arXiv 2002.07729).
    """
    kept: list[Solution] = []
    for ridge in RIDGES:
        found = Solution.at(ridge, free, episodes, sums)
        for other in kept:
            if abs(found.value - other.value) > AGREEMENT * standard_error(other.influence):
                return kept[-1]
        kept.append(found)
    return kept[-1]


def fqe(
    policy: SlatePolicy, batches: Iterable[Steps], choice: ChoiceModel, model: ValueModel, discount: float = 1.0
) -> Estimate:
    """Return the return of a policy, estimated from a log.

    Args:
        policy: as it is served.
        batches: of whole episodes.
        choice: the users' choice model.
        model: how values are represented.
        discount: of the return.
    """
    estimator = LinearFQE(model, discount)
    for steps in batches:
        estimator.add(Logged.of(model.remembering(steps), choice).judge(policy))
    return estimator.estimate()
