"""Judging policies on a data set, batch by batch, by any number of estimators at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from recsys_cli.algos.base import AlgoConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.envs.spec import Documents, ProblemSpec
from recsys_cli.evaluation.behaviour import behaviour_of
from recsys_cli.offline.choice import Choice, fit_choice, judged_choice, known_choice
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.estimators.base import Estimate, from_influence
from recsys_cli.offline.estimators.clicks import StepClicks
from recsys_cli.offline.estimators.fqe import LinearFQE, ValueModel
from recsys_cli.offline.estimators.groups import GroupSums
from recsys_cli.offline.estimators.session_comparison import SessionComparison
from recsys_cli.offline.estimators.step_comparison import StepComparison
from recsys_cli.offline.judging import Judged, Logged
from recsys_cli.offline.learned_choice import LINEAR, NETWORKS
from recsys_cli.offline.problem import sizes
from recsys_cli.offline.steps import Steps, concatenate
from recsys_cli.offline.support import SupportCheck
from recsys_cli.policies import SlatePolicy, UniformPolicy
from recsys_cli.policies.myopic import MyopicPolicy
from recsys_cli.tracking.loading import Checkpoint

MODELLED_ROWS = 200_000  # the first of the log, from which choice and the session's budget are learned
LOGGED = "the log itself"


@dataclass(frozen=True)
class Target:
    """A policy to be judged.

    Attributes:
        name: of it.
        policy: as it is served.
        documents: the log's, if the policy numbers documents otherwise.
    """

    name: str
    policy: SlatePolicy
    documents: Documents | None = None


@dataclass(frozen=True)
class Models:
    """What estimators assume about the users of a log.

    Attributes:
        choice: how they choose.
        value: how values are represented.
        behaviour: the policy that logged; None if it is unknown.
    """

    choice: Choice
    value: ValueModel
    behaviour: SlatePolicy | None

    @classmethod
    def of(cls, dataset: Dataset, choice: str) -> Models:
        """Learn what has to be learned from the first steps of a data set.

        Args:
            dataset: the log.
            choice: as `conf/ope.yaml` names it.

        Raises:
            ConfigError: the problem's choice model is not known.
        """
        steps = first_steps(dataset, MODELLED_ROWS)
        known = known_choice(dataset.spec) if choice in ("auto", "known") else None
        if choice == "known" and known is None:
            raise ConfigError(
                f"choice=known: how users of {dataset.name} choose is not a function of what is observed; allowed: "
                "auto, learned, network"
            )
        forms = NETWORKS if choice == "network" else LINEAR
        found = judged_choice(known, steps) if known is not None else fit_choice(dataset.spec, steps, forms=forms)
        return cls(found, ValueModel.of(dataset.spec, steps), behaviour_of(dataset) or _uniform(dataset, steps))


@dataclass(frozen=True)
class Judgement:
    """What estimators say about policies.

    Attributes:
        dataset: the log's name.
        episodes: in it.
        steps: in it.
        choice: how its users choose, as far as is known.
        logged: the mean return of its episodes.
        estimates: of each policy, in the order given.
    """

    dataset: str
    episodes: int
    steps: int
    choice: Choice
    logged: Estimate
    estimates: dict[str, list[Estimate]]

    def of(self, estimator: str) -> dict[str, Estimate]:
        """Return one estimator's estimates of the policies it judged."""
        return {name: each for name, found in self.estimates.items() for each in found if each.name == estimator}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        likelihood = {
            name: value for name, value in (("held_out", self.choice.held_out), ("constant", self.choice.constant))
        }
        return {
            "data": self.dataset,
            "episodes": self.episodes,
            "steps": self.steps,
            "choice": {"source": self.choice.source, **{k: v for k, v in likelihood.items() if np.isfinite(v)}},
            "logged": self.logged.to_dict(),
            "policies": {name: [each.to_dict() for each in found] for name, found in self.estimates.items()},
        }


class Judge:
    """The estimators of one policy."""

    def __init__(self, dataset: Dataset, models: Models, estimators: Sequence[str], discount: float) -> None:
        """Begin with nothing."""
        spec, check = models.value.spec, partial(SupportCheck.of, dataset)
        self.fqe = LinearFQE(models.value, discount)
        self.clicks = StepClicks(models.value.features) if "clicks" in estimators else None
        self.steps = StepComparison(spec, check()) if "steps" in estimators else None
        self.sessions = SessionComparison(models.value, check(), discount) if "sessions" in estimators else None

    def add(self, judged: Judged) -> None:
        """Take more whole episodes."""
        for estimator in (self.fqe, self.clicks, self.steps, self.sessions):
            if estimator is not None:
                estimator.add(judged)

    def estimates(self) -> list[Estimate]:
        """Return all estimates, FQE's first."""
        others = [each.estimates() for each in (self.clicks, self.steps, self.sessions) if each is not None]
        return [self.fqe.estimate(), *(estimate for found in others for estimate in found)]


def judge_policies(
    dataset: Dataset,
    models: Models,
    targets: Sequence[Target],
    estimators: Sequence[str],
    *,
    discount: float = 1.0,
    finished: Callable[[int], None] = lambda episodes: None,
) -> Judgement:
    """Judge policies on a data set, in constant memory.

    Args:
        dataset: the log.
        models: what is assumed about its users.
        targets: the policies.
        estimators: groups of estimators, as `conf/ope.yaml` names them.
        discount: of the return.
        finished: gets the number of episodes done, after every batch.
    """
    judges = {target.name: Judge(dataset, models, estimators, discount) for target in targets}
    groups = GroupSums()
    for logged in _logged(dataset, models):
        steps = logged.steps
        returns = _discounted(steps, discount)
        for group, rows in enumerate(groups.groups_of(steps)):
            groups.add(group, {"return": float(returns[rows].sum())})
        for target in targets:
            judges[target.name].add(logged.judge(target.policy, target.documents))
        finished(len(steps.starts))
    episodes, sums = groups.used()
    mean = float(sums["return"].sum() / episodes.sum())
    influence = len(episodes) * (sums["return"] - mean * episodes) / episodes.sum()
    return Judgement(
        dataset=dataset.name,
        episodes=dataset.episodes,
        steps=dataset.steps,
        choice=models.choice,
        logged=from_influence("mean return", mean, influence, unit="groups of episodes"),
        estimates={name: judge.estimates() for name, judge in judges.items()},
    )


def baseline(name: str, dataset: Dataset) -> Target:
    """Return `random` or `myopic`, which learns from the log if it has to."""
    algo: AlgoConfig = load("algo", name)
    policy = algo.make_policy(dataset.spec, 0)
    if isinstance(policy, MyopicPolicy) and policy.learns:
        policy.learn(first_steps(dataset, MODELLED_ROWS).transitions())
    return Target(name, policy)


def fitted_to(checkpoint: Checkpoint, spec: ProblemSpec) -> tuple[SlatePolicy, Documents | None]:
    """Return a checkpoint's policy, to act on a log's problem, and the log's documents if it numbers them otherwise.

    Raises:
        ConfigError: it does not fit.
    """
    if sizes(checkpoint.spec) != sizes(spec):
        return checkpoint.policy_for(spec), None
    own, logged = checkpoint.spec.documents, spec.documents
    same = own.items is logged.items is None or (
        own.items is not None and logged.items is not None and np.array_equal(own.items, logged.items)
    )
    return checkpoint.policy, None if same else logged


def first_steps(dataset: Dataset, rows: int) -> Steps:
    """Return the first whole episodes of a data set that have about so many rows together.

    Raises:
        ConfigError: it is empty.
    """
    parts, found = list[Steps](), 0
    for batch in dataset.batches():
        parts, found = [*parts, batch], found + len(batch)
        if found >= rows:
            break
    if not parts:
        raise ConfigError(f"data set {dataset.folder} is empty")
    return concatenate(parts)


def _logged(dataset: Dataset, models: Models) -> Iterator[Logged]:
    for batch in dataset.batches():
        yield Logged.of(models.value.remembering(batch), models.choice, models.behaviour)


def _discounted(steps: Steps, discount: float) -> np.ndarray:
    """Return rewards as they count for the return, `[n]`."""
    reward = np.where(steps.valid, steps.reward, 0).astype(np.float64)
    return reward if discount == 1 else reward * discount ** steps.step.astype(np.float64)


def _uniform(dataset: Dataset, steps: Steps) -> SlatePolicy | None:
    """Return the uniform policy if every logged propensity is its own, else None."""
    if steps.log_propensity is None:
        return None
    policy = UniformPolicy(dataset.spec.slate_size)
    known = policy.distribution(steps.observation()).position_log_prob(steps.slate.astype(np.int64))
    same = np.allclose(known[steps.valid], steps.log_propensity[steps.valid], atol=1e-4)
    return policy if same else None
