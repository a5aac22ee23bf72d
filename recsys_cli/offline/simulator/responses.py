"""What users answer: every response field and the reward, given the document and what came before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.learned_laws import LARGEST, Amount, Field, Linear, Reward
from recsys_cli.envs.learned_session import Context, Floats
from recsys_cli.envs.spec import ResponseField
from recsys_cli.offline.simulator.estimation import (
    RIDGE,
    RIDGES,
    Blocks,
    Form,
    event_likelihood,
    fit_mean,
    fit_switch,
    grow,
)
from recsys_cli.offline.simulator.log import Log

RECURRING = 0.01  # share of the values from which one counts as recurring
MOST_RECURRING = 16
FEWEST = 20  # values that a mean is fitted to
RESIDUALS = 2_048
CHI_SQUARE = 0.635  # minus half the mean of the logarithm of a squared standard normal
EXACT = 1e-5

@dataclass(frozen=True)
class AmountPlan:
    """The form of an amount: recurring values, and the blocks of its parts; the ridge of the switches."""

    values: tuple[float, ...] = ()
    switches: Blocks = ("one",)
    ridge: float = RIDGE
    log: bool = False
    mean: Blocks = ("one",)
    spread: Blocks = ("one",)

@dataclass(frozen=True)
class ResponsePlan:
    """What every field is about, and the forms of those that are drawn; those of shown documents come first."""

    of: dict[str, str]
    amounts: dict[str, AmountPlan]
    reward: str | None

@dataclass(frozen=True)
class Sample:
    """Draws of one amount: contexts of one document each, values `[n]`, sessions `[n]`."""

    context: Context
    values: Floats
    episode: NDArray[np.int64]

def plan_responses(train: Log, test: Log) -> tuple[ResponsePlan, list[Form]]:
    """Find out what the fields are about and choose the forms of their laws by held-out likelihood."""
    about = {field.name: _about(train, field) for field in train.spec.response if field.name != "click"}
    reward = _reward_field(train, about)
    order = {"shown": 0, "topic": 0, "clicked": 1, "reward": 2}
    about = dict(sorted(about.items(), key=lambda pair: order[pair[1]]))
    amounts, forms = {}, []
    for name, of in about.items():
        if of in ("shown", "clicked"):
            amounts[name], tried = _plan_amount(name, *(sample(log, name, about) for log in (train, test)), train)
            forms += tried
    if reward is None:
        amounts["reward"], tried = _plan_amount("reward", *(sample(log, "reward", about) for log in (train, test)), train)
        forms += tried
    return ResponsePlan(about, amounts, reward), forms

def _about(log: Log, field: ResponseField) -> str:
    values, documents = log.steps.response[field.name], log.spec.documents
    if field.kind == "category" and documents.topics:
        rows, at = np.nonzero(log.filled)
        if (documents.topics_of(log.shown[rows, at]) == values[rows, at]).all():
            return "topic"
    unclicked = log.filled.copy()
    unclicked[log.clicks, log.steps.clicked[log.clicks]] = False
    return "shown" if values[unclicked].any() else "clicked"

def _reward_field(log: Log, about: dict[str, str]) -> str | None:
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

def sample(log: Log, name: str, about: dict[str, str]) -> Sample:
    """Return what a law is fitted to: the values of a field, or of the reward."""
    if about.get(name) == "shown":
        context, rows, at = log.positions()
        return Sample(context, log.steps.response[name][rows, at].astype(np.float64), log.episode[rows])
    order = list(about)  # what is drawn before this one is known when it is drawn
    known = order[: order.index(name)] if name in order else [each for each in order if about[each] != "reward"]
    context = log.clicked(known)
    if name == "reward":
        values = log.steps.reward[log.clicks]
    else:
        values = log.steps.response[name][log.clicks, log.steps.clicked[log.clicks]]
    return Sample(context, values.astype(np.float64), log.episode[log.clicks])

def _plan_amount(name: str, train: Sample, test: Sample, log: Log) -> tuple[AmountPlan, list[Form]]:
    plan, forms = AmountPlan(values=_recurring(train.values)), []
    of_shown = train.context.fields is None
    own: Blocks = () if of_shown else ("fields",)
    more = [
        ("documents", log.basis.blocks(("item",))),
        ("tastes", log.basis.blocks(("user", "match", "products"))),
        ("session so far", ("totals", "last")),
        ("documents clicked recently", log.basis.blocks(("recent",))),
        ("other fields", own if own and log.basis.counted[1:] else ()),
    ]
    rest = _rest(train, plan)
    if len(plan.values) > (0 if len(rest) else 1):
        blocks, tried = grow(
            f"{name}: values that recur",
            "constant",
            ("one",),
            more,
            lambda blocks: fit_amount(train, replace(plan, switches=blocks), log),
            lambda law: _switch_likelihood(law, test, log),
            test.episode,
        )
        plan, forms = replace(plan, switches=blocks), forms + tried
        if "totals" in blocks:  # a budget that runs out decides for certain, with large weights
            laws = {ridge: fit_amount(train, replace(plan, ridge=ridge), log) for ridge in RIDGES}
            scores = {ridge: _switch_likelihood(law, test, log).mean() for ridge, law in laws.items()}
            plan = replace(plan, ridge=max(scores, key=scores.__getitem__))
            forms.append(Form(forms[-1].law, f"+ ridge {plan.ridge:g}", float(scores[plan.ridge]), plan.ridge != RIDGE))
    if len(rest) < FEWEST:
        return plan, forms
    held = _rest(test, plan)
    plan = replace(plan, log=bool((train.values[rest] > 0).all() and (test.values[held] > 0).all()))
    if plan.log:
        logs, plain = (
            _rest_likelihood(fit_amount(train, replace(plan, log=log_, mean=more[0][1] and ("one", *more[0][1])), log), test, log)
            for log_ in (True, False)
        )
        plan = replace(plan, log=bool(logs.sum() > plain.sum()))
    for part in ("mean", "spread"):
        blocks, tried = grow(
            f"{name}: {part}{' of the logarithm' if plan.log else ''}",
            "constant",
            ("one",),
            more if part == "mean" else more[:1],
            lambda blocks, part=part: fit_amount(train, replace(plan, **{part: blocks}), log),
            lambda law: _rest_likelihood(law, test, log),
            test.episode[held],
        )
        plan, forms = replace(plan, **{part: blocks}), forms + tried
    return plan, forms

def _recurring(values: Floats) -> tuple[float, ...]:
    """Return the values that recur, the most frequent first."""
    each, count = np.unique(values, return_counts=True)
    order = np.argsort(-count, kind="stable")[:MOST_RECURRING]
    enough = max(RECURRING * len(values), 2)
    return tuple(float(each[i]) for i in order if count[i] >= enough)

def _rest(sample: Sample, plan: AmountPlan) -> NDArray[np.int64]:
    return np.flatnonzero(~np.isin(sample.values, plan.values))

def fit_amount(sample: Sample, plan: AmountPlan, log: Log) -> Amount:
    """Return the law of an amount in a given form."""
    basis, left = log.basis, np.arange(len(sample.values))
    switches = []
    for value in plan.values:
        happened = sample.values[left] == value
        switches.append(fit_switch(basis, plan.switches, _at(sample.context, left), happened, plan.ridge))
        left = left[~happened]
    low, high = (float(f(sample.values, initial=0.0)) for f in (np.min, np.max))
    if len(left) < FEWEST:
        values = np.array(plan.values or (0.0,))
        return Amount(values, tuple(switches[: len(values) - 1]), False, None, None, np.zeros(1), low, high)
    rest = _at(sample.context, left)
    target = np.log(sample.values[left]) if plan.log else sample.values[left]
    mean = fit_mean(basis, plan.mean, rest, target)
    residual = target - mean.of(basis, rest)[:, 0]
    tiny = 1e-6 * (np.abs(target).mean() + 1e-6)
    spread = fit_mean(basis, plan.spread, rest, np.log(np.hypot(residual, tiny)) + CHI_SQUARE)
    noise = residual / np.exp(spread.of(basis, rest)[:, 0])
    size = max(float(noise.std()), 1e-9)
    spread.weights[0] += np.log(size)
    noise = np.quantile(noise / size, np.linspace(0, 1, min(len(noise), RESIDUALS)))
    return Amount(np.array(plan.values), tuple(switches), plan.log, mean, spread, noise, low, high)

def _at(context: Context, rows: NDArray[np.int64]) -> Context:
    fields = None if context.fields is None else context.fields[rows]
    return Context(context.user[rows], context.doc[rows], context.session[rows], fields)

def _switch_likelihood(law: Amount, test: Sample, log: Log) -> Floats:
    total, left = np.zeros(len(test.values)), np.arange(len(test.values))
    for value, switch in zip(law.values, law.switches, strict=False):
        happened = test.values[left] == value
        logits = np.clip(switch.of(log.basis, _at(test.context, left))[:, 0], -LARGEST, LARGEST)
        total[left] += event_likelihood(logits, happened)
        left = left[~happened]
    return total

def _rest_likelihood(law: Amount, test: Sample, log: Log) -> Floats:
    """Return the Gaussian log-likelihood of the values that do not recur."""
    rows = np.flatnonzero(~np.isin(test.values, law.values))
    if law.mean is None or law.spread is None:
        return np.zeros(len(rows))
    context = _at(test.context, rows)
    target = np.log(test.values[rows]) if law.log else test.values[rows]
    spread = law.spread.of(log.basis, context)[:, 0]
    off = (target - law.mean.of(log.basis, context)[:, 0]) * np.exp(-spread)
    return np.asarray(-0.5 * np.log(2 * np.pi) - spread - 0.5 * np.square(off) - (target if law.log else 0.0))

def fit_responses(log: Log, plan: ResponsePlan) -> tuple[tuple[Field, ...], Reward]:
    """Return the laws of all response fields and of the reward, in given forms."""
    laws = {name: fit_amount(sample(log, name, plan.of), form, log) for name, form in plan.amounts.items()}
    fields = tuple(Field(name, of, laws.get(name)) for name, of in plan.of.items())  # type: ignore[arg-type]
    unclicked = log.steps.reward[log.steps.clicked == log.spec.slate_size]
    without = float(unclicked.mean()) if len(unclicked) else 0.0
    return fields, Reward(plan.reward, laws.get("reward"), without)

__all__ = ["Linear"]
