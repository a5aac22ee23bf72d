"""A step's reward with weights of clicks: click-IPS, the same self-normalised, and click-DR.

If the reward depends on the slate through the click alone, the importance weight of a step is the ratio of the
probabilities of its click under the two policies, with a far smaller variance than the slates' (marginalised importance
weighting, Saito & Joachims 2022, arXiv 2202.06317, with the click as the action's embedding).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recsys_cli.offline.estimators.base import (
    Estimate,
    WeightSums,
    from_influence,
    ratio_influence,
    refused,
    why_refused,
    with_choice_error,
)
from recsys_cli.offline.estimators.groups import GroupSums
from recsys_cli.offline.estimators.support import Support
from recsys_cli.offline.judging import Judged
from recsys_cli.offline.linear import inverse
from recsys_cli.policies.value_features import ValueFeatures

Floats = NDArray[np.float64]

NAMES = ("click-IPS", "click-SNIPS", "click-DR")
UNKNOWN = "what the policy that logged lets users click is unknown"
FOLDS = 10  # of groups of episodes, for cross-fitting
RIDGES = (0.1, 1.0, 10.0, 100.0)  # of the reward model


class StepClicks:
    """The mean reward of a step in which the target acts once, in the states of the log.

    click-DR adds a reward model g, linear in value features and fitted to other episodes:
    `sum over c of p(c | s) g(s, c) + weight (r - g(s, clicked))`.
    """

    def __init__(self, features: ValueFeatures) -> None:
        """Take the features of the reward model."""
        self.features, self.groups = features, GroupSums()
        self.weights, self.support, self.known, self.learned = WeightSums(), Support(), True, False

    def add(self, judged: Judged) -> None:
        """Take more whole episodes, with the memory that the features see."""
        steps, weight = judged.steps, judged.click_weights
        if weight is None:
            self.known = False
            return
        observation, valid = steps.observation(), steps.valid
        phi = self.features.of(observation, judged.consumed)
        bar = self.features.expected(observation, judged.target_clicks)
        reward = steps.reward.astype(np.float64)
        for group, every in enumerate(self.groups.groups_of(steps)):
            rows = every[valid[every]]
            x, r, w = phi[rows], reward[rows], weight[rows]
            sums = {"xx": x.T @ x, "xr": x.T @ r, "rr": r @ r, "r": r.sum(), "bar": bar[rows].sum(0)}
            self.groups.add(group, {**sums, "wx": w @ x, "wr": w @ r, "w": w.sum(), "n": float(len(rows))})
        self.weights.add(weight, valid, steps)
        self.support.add(judged)
        self.learned |= judged.choice.learned

    def estimates(self) -> list[Estimate]:
        """Return the three estimates."""
        if not self.known:
            return [refused(name, UNKNOWN, per="step") for name in NAMES]
        episodes, sums = self.groups.used()
        diagnostics = {**self.weights.diagnostics(), **self.support.diagnostics()}
        refusal = why_refused(diagnostics, what="click weights")
        unit = "episodes" if episodes.max() == 1 else "groups of episodes"
        found = [
            ratio_influence(sums["wr"], sums["n"]),
            ratio_influence(sums["wr"], sums["w"]),
            ratio_influence(doubly_robust(sums), sums["n"]),
        ]
        if self.learned:
            found = [(value, with_choice_error(value, each, sums["r"], sums["n"])) for value, each in found]
        return [
            from_influence(name, *each, diagnostics=diagnostics, refusal=refusal, per="step", unit=unit)
            for name, each in zip(NAMES, found, strict=True)
        ]


def doubly_robust(sums: Mapping[str, Floats]) -> Floats:
    """Return each group's summed doubly robust terms, `[groups]`, with a reward model of the other groups.

    Args:
        sums: of each group: `xx`, `xr`, `rr` (of features and rewards), `bar` (mean features under the target), `wx`,
            `wr` (the same weighted).
    """
    groups = len(sums["n"])
    fold = np.arange(groups) % min(FOLDS, groups)
    models = np.stack([_fitted(sums, fold == number) for number in range(fold.max() + 1)])  # [folds, ridges, P]
    each = models[fold]
    errors = sums["rr"][:, None] - 2 * np.einsum("grp,gp->gr", each, sums["xr"])
    errors += np.einsum("grp,gpq,grq->gr", each, sums["xx"], each, optimize=True)
    theta = each[:, int(errors.sum(0).argmin())]
    return np.asarray(((sums["bar"] - sums["wx"]) * theta).sum(1) + sums["wr"])


def _fitted(sums: Mapping[str, Floats], out: NDArray[np.bool_]) -> Floats:
    """Return the reward models `[ridges, P]` of the groups that are not left out; the constant is not shrunk."""
    kept = ~out if not out.all() else out
    square, cross = sums["xx"][kept].sum(0), sums["xr"][kept].sum(0)
    free = np.ones(len(cross))
    free[0] = 1e-6
    squares = np.diag(square)
    return np.stack([inverse(square + ridge * np.diag(free), squares + ridge * free) @ cross for ridge in RIDGES])
