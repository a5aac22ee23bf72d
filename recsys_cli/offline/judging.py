"""Logged steps as a target policy sees them: what estimators need, batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import Documents
from recsys_cli.offline.choice import ChoiceScores
from recsys_cli.offline.click_probabilities import click_probabilities
from recsys_cli.offline.steps import Steps
from recsys_cli.policies.base import SlatePolicy
from recsys_cli.slates.distributions import SlateDistribution

Floats = NDArray[np.float64]
ChoiceModel = Callable[[Steps], ChoiceScores]


@dataclass(frozen=True, kw_only=True)
class Logged:
    """What is the same for every target policy.

    Attributes:
        steps: n rows, without memory.
        choice: the users' choice scores.
        clicks: p(click c | s) under the policy that logged, `[n, C + 1]`, none last; None if it is unknown.
        law: the distributions that it drew slates from, of n users; None if it is unknown.
    """

    steps: Steps
    choice: ChoiceScores
    clicks: Floats | None
    law: SlateDistribution | None = None

    @classmethod
    def of(cls, steps: Steps, choice: ChoiceModel, behaviour: SlatePolicy | None = None) -> Logged:
        """Look at some steps.

        Args:
            steps: whole episodes.
            choice: the users' choice model.
            behaviour: the policy that logged, as it was served; None: unknown.
        """
        scores = choice(steps)
        law = None if behaviour is None else _law(behaviour, steps)
        clicks = None if law is None else click_probabilities(law, scores)[0]
        return cls(steps=steps, choice=scores, clicks=clicks, law=law)

    def judge(self, policy: SlatePolicy, documents: Documents | None = None) -> Judged:
        """Return the steps as a policy, as it is served, sees them.

        Args:
            policy: the target.
            documents: the log's, if the policy numbers documents otherwise and is to see their features.
        """
        steps = self.steps
        law = _law(policy, replace(steps, doc=documents.dense(steps.doc)) if documents is not None else steps)
        clicks, exact = click_probabilities(law, self.choice)
        log_target = law.position_log_prob(self.steps.slate.astype(np.int64))
        log_target[~self.steps.valid] = 0.0
        return Judged(
            steps=self.steps,
            log_target=log_target,
            target_clicks=clicks,
            logged_clicks=self.clicks,
            choice=self.choice,
            law=law,
            logged_law=self.law,
            exact=exact and law.exact,
        )


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Logged steps as a target policy sees them.

    Attributes:
        steps: n rows, whole episodes.
        log_target: log-probability of each position of the logged slates under the target, given those before it,
            `[n, k]`; 0 in rows that are no step.
        target_clicks: p(click c | s) under the target, `[n, C + 1]`, none last.
        logged_clicks: the same under the policy that logged; None if it is unknown.
        choice: the users' choice scores.
        law: the target's distributions over slates, of n users.
        logged_law: those that slates were drawn from; None if they are unknown.
        exact: whether the target's probabilities are exact; else they are estimated from draws.
    """

    steps: Steps
    log_target: Floats
    target_clicks: Floats
    logged_clicks: Floats | None
    choice: ChoiceScores
    law: SlateDistribution
    logged_law: SlateDistribution | None = None
    exact: bool = True

    @cached_property
    def consumed(self) -> NDArray[np.int64]:
        """The candidate clicked, `[n]`; C for none."""
        return consumed(self.steps)

    @cached_property
    def slate_weights(self) -> Floats | None:
        """Ratio of the target's to the logged probability of each position, `[n, k]`; None without propensities.

        The product over positions is the slate's importance weight.
        """
        steps = self.steps
        if steps.log_propensity is None:
            return None
        return np.where(steps.valid[:, None], np.exp(self.log_target - steps.log_propensity), 1.0)

    @cached_property
    def click_weights(self) -> Floats | None:
        """Ratio of the target's to the logged probability of what was clicked, `[n]`; None if that is unknown.

        The importance weight of whatever depends on the slate through the click alone (Saito & Joachims 2022, arXiv
        2202.06317, section 3, with the click as the action's embedding).
        """
        if self.logged_clicks is None:
            return None
        rows = np.arange(len(self.steps))
        p, q = (clicks[rows, self.consumed] for clicks in (self.target_clicks, self.logged_clicks))
        ratio = np.divide(p, q, out=np.zeros_like(p), where=q > 0)
        return np.where(self.steps.valid, ratio, 1.0)


def judge(policy: SlatePolicy, steps: Steps, choice: ChoiceModel, behaviour: SlatePolicy | None = None) -> Judged:
    """Return logged steps as a target policy sees them; for several policies, `Logged.of(...).judge(policy)`.

    Args:
        policy: the target, as it is served; `policies.exploration.ExploringPolicy` makes it explore.
        steps: whole episodes; session memories are recomputed from them.
        choice: the users' choice model.
        behaviour: the policy that logged, as it was served; None: unknown.
    """
    return Logged.of(steps, choice, behaviour).judge(policy)


def consumed(steps: Steps) -> NDArray[np.int64]:
    """Return the candidate clicked in each step, `[n]`; C for none."""
    none, k = steps.doc.shape[1], steps.slate_size
    position = np.minimum(steps.clicked, k - 1).astype(np.int64)
    candidate = np.take_along_axis(steps.slate.astype(np.int64), position[:, None], axis=1)[:, 0]
    return np.where(steps.valid & (steps.clicked < k) & (candidate >= 0), candidate, none)


def _law(policy: SlatePolicy, steps: Steps) -> SlateDistribution:
    observation: dict[str, Any] = steps.remembering(policy.new_memory).observation()
    return policy.served(observation)
