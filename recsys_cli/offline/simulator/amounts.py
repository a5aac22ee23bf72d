"""Amounts: numbers that users answer with, as a few values that recur and a mean and a spread of the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.learned_laws import LARGEST, Amount
from recsys_cli.envs.learned_session import Basis, Context, Floats
from recsys_cli.offline.simulator.estimation import (
    CONSTANT,
    RIDGE,
    RIDGES,
    Blocks,
    Form,
    event_likelihood,
    fit_mean,
    fit_switch,
    grow,
)

RECURRING = 0.01  # share of the values from which one counts as recurring
MOST_RECURRING = 16
FEWEST = 20  # values that a mean is fitted to
RESIDUALS = 2_048
CHI_SQUARE = 0.635  # minus half the mean of the logarithm of a squared standard normal


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
class Sample:
    """Draws of one amount.

    Attributes:
        context: of one document each.
        values: `[n]`.
        episode: the sessions, `[n]`.
        discrete: whether all values recur: those of a flag or a category.
    """

    context: Context
    values: Floats
    episode: NDArray[np.int64]
    discrete: bool = False


def plan_amount(name: str, train: Sample, test: Sample, basis: Basis) -> tuple[AmountPlan, list[Form]]:
    """Choose the form of an amount by the likelihood of held-out values."""
    plan = AmountPlan(values=_recurring(train))
    rest = _rest(train, plan)
    forms: list[Form] = []
    if len(plan.values) > (0 if len(rest) else 1):
        plan, forms = _plan_switches(name, plan, train, test, basis)
    if len(rest) < FEWEST:
        return plan, forms
    plan = replace(plan, log=_takes_logarithm(plan, train, test, basis))
    of = " of log" if plan.log else ""
    plan, of_mean = _plan_part(f"{name}: mean{of}", "mean", plan, train, test, basis)
    plan, of_spread = _plan_part(f"{name}: spread{of}", "spread", plan, train, test, basis)
    return plan, [*forms, *of_mean, *of_spread]


def _groups(basis: Basis, sample: Sample) -> list[tuple[str, Blocks]]:
    """Return the groups of blocks that an amount may depend on."""
    others: Blocks = ("fields",) if sample.context.fields is not None and len(basis.counted) > 1 else ()
    return [
        ("documents", basis.blocks(("item",))),
        ("tastes", basis.blocks(("user", "match", "products"))),
        ("session", ("totals", "last")),
        ("recent clicks", basis.blocks(("recent",))),
        ("other fields", others),
    ]


def _plan_switches(
    name: str, plan: AmountPlan, train: Sample, test: Sample, basis: Basis
) -> tuple[AmountPlan, list[Form]]:
    law = f"{name}: recurring"

    def likelihood(fitted: Amount) -> Floats:
        return _switch_likelihood(fitted, test, basis)

    blocks, forms = grow(
        law,
        CONSTANT,
        ("one",),
        _groups(basis, train),
        lambda blocks: fit_amount(train, replace(plan, switches=blocks), basis),
        likelihood,
        test.episode,
    )
    plan = replace(plan, switches=blocks)
    if "totals" in blocks:  # a budget that runs out decides for certain, with large weights
        tried = {ridge: fit_amount(train, replace(plan, ridge=ridge), basis) for ridge in RIDGES}
        scores = {ridge: float(likelihood(fitted).mean()) for ridge, fitted in tried.items()}
        plan = replace(plan, ridge=max(scores, key=scores.__getitem__))
        forms.append(Form(law, f"ridge {plan.ridge:g}", scores[plan.ridge], plan.ridge != RIDGE))
    return plan, forms


def _takes_logarithm(plan: AmountPlan, train: Sample, test: Sample, basis: Basis) -> bool:
    """Whether the logarithm of the values that do not recur is the better described, given the document."""
    if not all((sample.values[_rest(sample, plan)] > 0).all() for sample in (train, test)):
        return False
    mean = basis.blocks(("one", "item"))
    logs, plain = (
        _rest_likelihood(fit_amount(train, replace(plan, log=log, mean=mean), basis), test, basis).sum()
        for log in (True, False)
    )
    return bool(logs > plain)


def _plan_part(
    law: str, part: Literal["mean", "spread"], plan: AmountPlan, train: Sample, test: Sample, basis: Basis
) -> tuple[AmountPlan, list[Form]]:
    def having(blocks: Blocks) -> AmountPlan:
        return replace(plan, mean=blocks) if part == "mean" else replace(plan, spread=blocks)

    groups = _groups(basis, train)
    blocks, forms = grow(
        law,
        CONSTANT,
        ("one",),
        groups if part == "mean" else groups[:1],
        lambda blocks: fit_amount(train, having(blocks), basis),
        lambda fitted: _rest_likelihood(fitted, test, basis),
        test.episode[_rest(test, plan)],
    )
    return having(blocks), forms


def _recurring(sample: Sample) -> tuple[float, ...]:
    """Return the values that recur, the most frequent first."""
    each, count = np.unique(sample.values, return_counts=True)
    order = np.argsort(-count, kind="stable")
    if sample.discrete:
        return tuple(each[order].tolist())
    order, enough = order[:MOST_RECURRING], max(RECURRING * len(sample.values), 2)
    return tuple(float(each[i]) for i in order if count[i] >= enough)


def _rest(sample: Sample, plan: AmountPlan) -> NDArray[np.int64]:
    return np.flatnonzero(~np.isin(sample.values, plan.values))


def fit_amount(sample: Sample, plan: AmountPlan, basis: Basis) -> Amount:
    """Return the law of an amount in a given form."""
    switches, left = [], np.arange(len(sample.values))
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


def _switch_likelihood(law: Amount, test: Sample, basis: Basis) -> Floats:
    total, left = np.zeros(len(test.values)), np.arange(len(test.values))
    for value, switch in zip(law.values, law.switches, strict=False):
        happened = test.values[left] == value
        logits = np.clip(switch.of(basis, _at(test.context, left))[:, 0], -LARGEST, LARGEST)
        total[left] += event_likelihood(logits, happened)
        left = left[~happened]
    return total


def _rest_likelihood(law: Amount, test: Sample, basis: Basis) -> Floats:
    """Return the Gaussian log-likelihood of the values that do not recur."""
    rows = np.flatnonzero(~np.isin(test.values, law.values))
    if law.mean is None or law.spread is None:
        return np.zeros(len(rows))
    context = _at(test.context, rows)
    target = np.log(test.values[rows]) if law.log else test.values[rows]
    spread = law.spread.of(basis, context)[:, 0]
    off = (target - law.mean.of(basis, context)[:, 0]) * np.exp(-spread)
    return np.asarray(-0.5 * np.log(2 * np.pi) - spread - 0.5 * np.square(off) - (target if law.log else 0.0))
