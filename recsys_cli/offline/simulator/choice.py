"""Which document users click: the choice model that the spec states, or a conditional logit, with classes of users."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recsys_cli.envs import choice_models
from recsys_cli.envs.learned_laws import Choice, Linear
from recsys_cli.envs.learned_session import Floats
from recsys_cli.offline.simulator.estimation import RIDGE, Blocks, Form, Scaled, better, fit_logit, grow
from recsys_cli.offline.simulator.log import Log
from recsys_cli.policies.click_models import ConditionalLogit

FIRST, STATED = "first_position", "as the spec says"
MAX_KINDS = 6
BEGINNINGS, FEW_ROUNDS = 5, 5  # of which the best goes on
NEWTON_STEPS = 4  # in each round
WORTH = 0.5  # log-likelihood that a round must gain
FIXED = 1e12  # precision of the prior of a weight that is known
ROUNDS = 15  # of expectation and maximisation
PLAN_ROWS = 10_000  # that forms are compared by
MIXED_ROWS = 20_000  # that classes are found from
LEAST = 1e-12  # probability below which none is taken

Known = Literal["auto", "known", "learned"]


@dataclass(frozen=True)
class ChoicePlan:
    """The form of the choice.

    Attributes:
        known: whether it is the spec's.
        blocks: of the logit, if not.
        kinds: classes of users.
    """

    known: bool
    blocks: Blocks = ("one",)
    kinds: int = 1


def plan_choice(train: Log, test: Log, known: Known) -> tuple[ChoicePlan, list[Form]]:
    """Choose a form by the likelihood of held-out sessions.

    Args:
        train: to fit to.
        test: held out.
        known: whether the spec's choice model may (`auto`: if it predicts as well), must or must not be taken.
    """
    stated, train = train.spec.choice, train.first(PLAN_ROWS)
    there = stated.observable or stated.kind == FIRST
    if there and known == "known":
        return ChoicePlan(known=True), [_form(test, STATED, spec_choice(train), True)]
    static: list[tuple[str, Blocks]] = [
        ("tastes", train.basis.blocks(("user", "match", "products"))),
        ("position", train.basis.blocks(("position",))),
    ]
    session: list[tuple[str, Blocks]] = [
        ("session", ("totals", "last")),
        ("recent clicks", train.basis.blocks(("recent",))),
    ]

    def fit(blocks: Blocks) -> Choice:
        return fit_choice(train, ChoicePlan(known=False, blocks=blocks))

    def grown(first: str, start: Blocks, more: list[tuple[str, Blocks]]) -> tuple[Blocks, list[Form]]:
        return grow("choice", first, start, more, fit, lambda law: likelihood(law, test), test.episode)

    blocks, forms = grown("documents", train.basis.blocks(("one", "item")), static)
    plan = ChoicePlan(known=False, blocks=blocks)
    if there and known == "auto":
        stated_law, learned = spec_choice(train), session_likelihood(fit(blocks), test)
        takes = not better(learned, session_likelihood(stated_law, test), np.arange(test.sessions))
        forms.append(_form(test, STATED, stated_law, takes))
        if takes:
            return ChoicePlan(known=True), [dataclasses.replace(form, chosen=form.name == STATED) for form in forms]
    # Users may differ in what no feature shows, or change with the session: the two look alike, so one is taken.
    classes, of_classes, by_classes = _with_kinds(plan, train, test)
    blocks, (_, *of_session) = grown("", blocks, session)
    by_session = dataclasses.replace(plan, blocks=blocks)
    takes = by_session != plan and better(session_likelihood(fit(blocks), test), by_classes, np.arange(test.sessions))
    forms += [dataclasses.replace(form, chosen=form.chosen and not takes) for form in of_classes]
    forms += [dataclasses.replace(form, chosen=form.chosen and takes) for form in of_session]
    return by_session if takes else classes, forms


def _form(test: Log, name: str, law: Choice, chosen: bool) -> Form:
    return Form("choice", name, float(session_likelihood(law, test).sum() / max(len(test), 1)), chosen)


def _with_kinds(plan: ChoicePlan, train: Log, test: Log) -> tuple[ChoicePlan, list[Form], Floats]:
    """Return the plan with as many classes of users as held-out sessions support, and their likelihood."""
    forms: list[Form] = []
    before = session_likelihood(fit_choice(train, plan), test)
    for kinds in range(2, MAX_KINDS + 1):
        tried = dataclasses.replace(plan, kinds=kinds)
        law = fit_choice(train, tried)
        now = session_likelihood(law, test)
        kept = better(now, before, np.arange(test.sessions))
        forms.append(_form(test, f"{kinds} classes of users", law, kept))
        if not kept:
            break
        forms[:-1] = [dataclasses.replace(form, chosen=False) for form in forms[:-1]]
        plan, before = tried, now
    return plan, forms, before


def spec_choice(log: Log) -> Choice:
    """Return the choice that the spec states."""
    return Choice(log.spec.choice, None, np.ones(1))


def fit_choice(log: Log, plan: ChoicePlan) -> Choice:
    """Return the choice in a given form."""
    if plan.known:
        return spec_choice(log)
    if plan.kinds > 1:
        log = log.first(MIXED_ROWS)
    features = log.basis(plan.blocks, log.slates(slice(None)))
    there = None if log.filled.all() else log.filled
    shared = fit_logit(Scaled.of(features), log.steps.clicked, there)
    if plan.kinds > 1:
        return _classes(log, plan, features, shared)
    return Choice(None, Linear(plan.blocks, shared[None]), np.ones(1))


@dataclass(frozen=True)
class _Round:
    """Classes of users after some rounds: the choice, every session's shares in them `[E, K]`, log-likelihood."""

    law: Choice
    of_session: Floats
    total: float


def _classes(log: Log, plan: ChoicePlan, features: Floats, shared: Floats) -> Choice:
    """Let classes of users differ in the weights of 1 and of the document; the other weights are `shared`, `[P]`.

    Latent class logit by expectation and maximisation (Kamakura & Russell 1989), from several random beginnings.
    """
    own = 1 + len(log.spec.documents)  # `one` and `item` are the first blocks
    scaled = Scaled.of(features[..., :own])
    parts = np.concatenate([scaled.features, (features @ shared)[..., None]], axis=-1)
    there = None if log.filled.all() else log.filled

    def maximised(of_session: Floats) -> Choice:
        weights = np.tile(shared, (plan.kinds, 1))
        for kind, often in enumerate(of_session.T):
            logit = ConditionalLogit(own + 1, RIDGE)
            logit.weights[own] = 1.0  # of the shared score, which stays
            logit.precision = np.diag(np.append(np.full(own, RIDGE), FIXED))
            logit.learn(parts, log.steps.clicked, there, often[log.episode], NEWTON_STEPS)
            weights[kind, :own] += scaled.weights(logit.weights[:own])
        return Choice(None, Linear(plan.blocks, weights), of_session.mean(0))

    def played(of_session: Floats, rounds: int) -> _Round:
        before = -np.inf
        for _ in range(rounds):
            law = maximised(of_session)
            joint = _of_sessions(law, log)
            total = np.logaddexp.reduce(joint, axis=1, keepdims=True)
            of_session, now = np.exp(joint - total), float(total.sum())
            if now < before + WORTH:
                break
            before = now
        return _Round(law, of_session, now)

    rng = np.random.default_rng(0)
    beginnings = [played(rng.dirichlet(np.full(plan.kinds, 1.0), log.sessions), FEW_ROUNDS) for _ in range(BEGINNINGS)]
    return played(max(beginnings, key=lambda one: one.total).of_session, ROUNDS).law


def _of_kinds(law: Choice, log: Log) -> Floats:
    """Return the log-likelihood of every click under every class, `[n, K]`."""
    at = log.steps.clicked.astype(np.int64)
    if law.known is not None and law.known.kind == FIRST:
        return np.log(np.maximum(at == 0, LEAST))[:, None]
    parts = chances(law, log)
    none = 1 - parts.sum(2, keepdims=True)
    taken = np.concatenate([parts, none], axis=2)[:, np.arange(len(log)), at]
    return np.log(np.maximum(taken, LEAST)).T


def _of_sessions(law: Choice, log: Log) -> Floats:
    """Return the joint log-likelihood of every session's clicks and of each class, `[E, K]`."""
    parts = [np.bincount(log.episode, part, log.sessions) for part in _of_kinds(law, log).T]
    return np.asarray(np.stack(parts, axis=1) + np.log(law.shares + LEAST))


def chances(law: Choice, log: Log) -> Floats:
    """Return the probabilities of a click on every position, for every class of users: `[K, n, k]`."""
    parts = []
    for kind in range(len(law.shares)):
        spec, scores = law.scored(log.basis, log.slates(slice(None)), np.full(len(log), kind))
        weights, none = choice_models.choice_weights(spec, scores, log.filled)
        parts.append(weights / (weights.sum(1) + none)[:, None])
    return np.stack(parts)


def likelihood(law: Choice, log: Log) -> Floats:
    """Return the log-likelihood of every step's click under a choice with one class of users, `[n]`."""
    return np.asarray(_of_kinds(law, log)[:, 0])


def session_likelihood(law: Choice, log: Log) -> Floats:
    """Return the log-likelihood of every session's clicks, classes of users summed out, `[E]`."""
    return np.asarray(np.logaddexp.reduce(_of_sessions(law, log), axis=1))
