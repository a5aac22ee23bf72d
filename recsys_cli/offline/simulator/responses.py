"""What users answer: every response field and the reward, given the document and what came before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recsys_cli.envs.learned_laws import Field, Reward
from recsys_cli.envs.spec import ResponseField
from recsys_cli.offline.simulator.amounts import AmountPlan, Sample, fit_amount, plan_amount
from recsys_cli.offline.simulator.estimation import Form
from recsys_cli.offline.simulator.log import Log

EXACT = 1e-5
DRAWN = ("shown", "clicked")  # kinds of fields that have a law of their own

About = Literal["shown", "clicked", "topic", "reward"]


@dataclass(frozen=True)
class ResponsePlan:
    """What every field is about, and the forms of those that are drawn; those of shown documents come first."""

    of: dict[str, About]
    amounts: dict[str, AmountPlan]
    reward: str | None


def plan_responses(train: Log, test: Log) -> tuple[ResponsePlan, list[Form]]:
    """Find out what the fields are about and choose the forms of their laws by held-out likelihood."""
    about = {field.name: _about(train, field) for field in train.spec.response if field.name != "click"}
    reward = _reward_field(train, about)
    order = {"shown": 0, "topic": 0, "clicked": 1, "reward": 2}
    about = dict(sorted(about.items(), key=lambda pair: order[pair[1]]))
    amounts, forms = {}, []
    for name in [*(name for name, of in about.items() if of in DRAWN), *(["reward"] if reward is None else [])]:
        amounts[name], tried = plan_amount(name, sample(train, name, about), sample(test, name, about), train.basis)
        forms += tried
    return ResponsePlan(about, amounts, reward), forms


def _about(log: Log, field: ResponseField) -> About:
    values, documents = log.steps.response[field.name], log.spec.documents
    if field.kind == "category" and documents.topics:
        rows, at = np.nonzero(log.filled)
        if (documents.topics_of(log.shown[rows, at]) == values[rows, at]).all():
            return "topic"
    unclicked = log.filled.copy()
    unclicked[log.clicks, log.steps.clicked[log.clicks]] = False
    return "shown" if values[unclicked].any() else "clicked"


def _reward_field(log: Log, about: dict[str, About]) -> str | None:
    """Return the field that is the reward of a click; one that is the reward within its bounds is marked so."""
    reward = log.steps.reward[log.clicks].astype(np.float64)
    if not len(reward) or np.abs(reward - 1).max() < EXACT:
        return "click"
    for i, name in enumerate(log.basis.counted):
        field = next(each for each in log.spec.response if each.name == name)
        value = log.values[:, i]
        if np.allclose(reward, value, EXACT, EXACT):
            return name
        if about[name] == "clicked" and np.allclose(np.clip(reward, field.low, field.high), value, EXACT, EXACT):
            about[name] = "reward"
            return None
    return None


def sample(log: Log, name: str, about: dict[str, About]) -> Sample:
    """Return what a law is fitted to: the values of a field, or of the reward."""
    discrete = any(field.name == name and field.kind != "number" for field in log.spec.response)
    if about.get(name) == "shown":
        context, rows, at = log.positions()
        values = log.steps.response[name][rows, at].astype(np.float64)
        return Sample(context, values, log.episode[rows], discrete)
    order = list(about)  # what is drawn before this one is known when it is drawn
    known = order[: order.index(name)] if name in order else [each for each in order if about[each] != "reward"]
    if name == "reward":
        values = log.steps.reward[log.clicks].astype(np.float64)
    else:
        values = log.steps.response[name][log.clicks, log.steps.clicked[log.clicks]].astype(np.float64)
    return Sample(log.clicked(known), values, log.episode[log.clicks], discrete)


def fit_responses(log: Log, plan: ResponsePlan) -> tuple[tuple[Field, ...], Reward]:
    """Return the laws of all response fields and of the reward, in given forms."""
    laws = {name: fit_amount(sample(log, name, plan.of), form, log.basis) for name, form in plan.amounts.items()}
    fields = tuple(Field(name, of, laws.get(name)) for name, of in plan.of.items())
    unclicked = log.steps.reward[log.steps.clicked == log.spec.slate_size]
    without = float(unclicked.mean()) if len(unclicked) else 0.0
    return fields, Reward(plan.reward, laws.get("reward"), without)
