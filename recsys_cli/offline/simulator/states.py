"""How users start, change and leave, and what they are offered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.learned_laws import LARGEST, Drift, Ending, Linear, LinearDrift, Offers, Start, TopicDrift
from recsys_cli.envs.learned_session import Floats
from recsys_cli.offline.simulator.estimation import (
    CONSTANT,
    RIDGES,
    Blocks,
    Form,
    Scaled,
    better,
    event_likelihood,
    fit_logit,
    fit_switch,
    grow,
    least_squares,
)
from recsys_cli.offline.simulator.log import Log

LONGEST = 5  # times the log's longest session, after which a learned one ends in any case
STILL = 1e-6  # change of a user's feature, relative to its bounds, that counts as none
RESIDUALS = 4_096
SETS, SET_BYTES = 20_000, 1 << 25
KERNELS = 400  # sessions on either side when the smoothing of first states is chosen
BANDWIDTHS = (0.3, 1.0)  # times Silverman's


@dataclass(frozen=True)
class EndingPlan:
    """The form of a session's end: `fixed` length, `never`, or a hazard of some blocks with a ridge."""

    form: str
    blocks: Blocks = ("one",)
    ridge: float = 1.0


def plan_ending(train: Log, test: Log) -> tuple[EndingPlan, list[Form]]:
    """Choose the form of a session's end by the likelihood of held-out sessions."""
    ended, lengths = train.steps.terminated, train.steps.lengths
    if not ended.any():
        return EndingPlan("never"), [Form("end", "never: all sessions were cut", 0.0, True)]
    whole = np.bincount(train.episode, ended, train.sessions) > 0
    if np.ptp(lengths[whole]) == 0 and lengths.max() == lengths[whole][0] and train.sessions > 1:
        return EndingPlan("fixed"), [Form("end", f"always after {lengths.max()} steps", 0.0, True)]

    def fitted(ridge: float, blocks: Blocks) -> Linear:
        return fit_switch(train.basis, blocks, train.ends(), ended, ridge)

    def likelihood(law: Linear) -> Floats:
        logits = np.clip(law.of(test.basis, test.ends())[:, 0], -LARGEST, LARGEST)
        return event_likelihood(logits, test.steps.terminated)

    totals = ("one", "totals")
    scores = [likelihood(fitted(ridge, totals)).sum() for ridge in RIDGES]
    ridge = RIDGES[int(np.argmax(scores))]
    more: list[tuple[str, Blocks]] = [
        ("totals", ("totals",)),
        ("squares", ("curves",)),
        ("last response", ("last",)),
        ("user", train.basis.blocks(("user",))),
    ]
    blocks, forms = grow(
        "end", CONSTANT, ("one",), more, lambda blocks: fitted(ridge, blocks), likelihood, test.episode
    )
    return EndingPlan("hazard", blocks, ridge), forms


def fit_ending(log: Log, plan: EndingPlan) -> Ending:
    """Return the law of a session's end in a given form."""
    longest = int(log.steps.lengths.max())
    if plan.form == "fixed":
        return Ending(longest, None, longest)
    hazard = fit_switch(log.basis, plan.blocks, log.ends(), log.steps.terminated, plan.ridge)
    return Ending(None, None if plan.form == "never" else hazard, LONGEST * longest)


@dataclass(frozen=True)
class DriftPlan:
    """How users change: not at all, `topic` or `linear`; whether a step of a topic depends on the response fields."""

    form: str
    fields: bool = False


def plan_drift(train: Log, test: Log) -> tuple[DriftPlan, list[Form]]:
    """Find out what changes, and whether the direction depends on the response."""
    change, still = _changes(train)
    if not (np.abs(change) > still).any():
        return DriftPlan("still"), [Form("drift", "none", 0.0, True)]
    if not _only_topics(train, change, still):
        return DriftPlan("linear"), [Form("drift", "linear, of all features", 0.0, True)]
    forms, likelihoods = [], []
    for fields in (False, True):
        law = _fit_topics(train, fields)
        x, step, values = _topic_steps(test, fields)
        rises = np.concatenate([TopicDrift.curve(x), values], axis=1) @ law.rises[: 6 + values.shape[1]]
        moved = step != 0
        likelihoods.append(event_likelihood(np.clip(rises[moved], -LARGEST, LARGEST), step[moved] > 0))
    episode = test.episode[_followed_clicks(test)][moved]
    takes = bool(len(episode)) and better(likelihoods[1], likelihoods[0], episode)
    names = ("step of the clicked topic", "its response")
    for name, each, chosen in zip(names, likelihoods, (True, takes), strict=True):
        forms.append(Form("drift", name, float(each.mean()) if len(each) else float("nan"), chosen))
    return DriftPlan("topic", takes), forms


def fit_drift(log: Log, plan: DriftPlan) -> Drift | None:
    """Return the law of the user's change in a given form."""
    if plan.form == "still":
        return None
    return _fit_topics(log, plan.fields) if plan.form == "topic" else _fit_linear(log)


def _changes(log: Log) -> tuple[Floats, Floats]:
    """Return the changes of all steps that have a next one, `[m, U]`, and what counts as none, `[U]`."""
    rows = np.flatnonzero(log.after_row >= 0)
    user = log.steps.user[rows].astype(np.float64)
    size = np.maximum(np.abs(log.steps.user).max(0, initial=0.0), 1e-12)
    return log.next_user[rows] - user, STILL * size


def _only_topics(log: Log, change: Floats, still: Floats) -> bool:
    documents = log.spec.documents
    if not documents.topics or documents.topics != len(log.spec.user):
        return False
    rows = np.flatnonzero(log.after_row >= 0)
    moved = np.abs(change) > still
    topic = np.full(len(log), -1)
    topic[log.clicks] = log.clicked_doc[:, : documents.topics].argmax(1)
    own = topic[rows, None] == np.arange(documents.topics)
    return not (moved & ~own).any()


def _followed_clicks(log: Log) -> NDArray[np.int64]:
    return log.clicks[log.after_row[log.clicks] >= 0]


def _topic_steps(log: Log, fields: bool) -> tuple[Floats, Floats, Floats]:
    """Return of every click: the clicked topic's feature `[c]`, its change `[c]` and the response fields `[c, f]`."""
    kept = log.after_row[log.clicks] >= 0
    rows, topic = log.clicks[kept], log.clicked_doc[kept][:, : log.spec.documents.topics].argmax(1)
    x = log.steps.user[rows, topic].astype(np.float64)
    step = log.next_user[rows, topic] - x
    step[np.abs(step) <= STILL * max(float(np.abs(x).max(initial=0.0)), 1e-12)] = 0.0
    return x, step, log.values[kept] if fields else np.zeros((len(x), 0))


def _fit_topics(log: Log, fields: bool) -> TopicDrift:
    x, step, values = _topic_steps(log, fields)
    curve, moved, up = TopicDrift.curve(x), step != 0, step > 0
    moves = None if moved.all() else _logit(curve, moved)
    rises = _logit(np.concatenate([curve, values], axis=1)[moved], up[moved])
    pad = np.zeros(len(log.basis.counted) - values.shape[1])
    sizes, noise = [], []
    for which in (moved & ~up, moved & up):
        weights = least_squares(curve[which], np.abs(step[which]), 1e-6) if which.any() else np.zeros(curve.shape[1])
        residual = np.abs(step[which]) - curve[which] @ weights
        sizes.append(weights)
        noise.append(np.quantile(residual, np.linspace(0, 1, 512)) if which.any() else np.zeros(512))
    return TopicDrift(moves, np.concatenate([rises, pad]), np.stack(sizes), np.stack(noise))


def _logit(features: Floats, happened: NDArray[np.bool_]) -> Floats:
    return fit_logit(Scaled.of(features[:, None]), np.where(happened, 0, 1), ridge=1e-3)


def _fit_linear(log: Log) -> LinearDrift:
    kept = log.after_row >= 0
    doc, values = np.zeros((len(log), len(log.spec.documents))), np.zeros((len(log), len(log.basis.counted)))
    doc[log.clicks], values[log.clicks] = log.clicked_doc, log.values
    clicks = log.steps.clicked < log.spec.slate_size
    features = LinearDrift.features(log.steps.user, clicks, doc, values)[kept]
    change = (log.next_user.astype(np.float64) - log.steps.user)[kept]
    scaled = Scaled.of(features)
    weights = scaled.weights(least_squares(scaled.features, change))
    residual = change - features @ weights
    some = np.random.default_rng(0).permutation(len(residual))[:RESIDUALS]
    return LinearDrift(weights, residual[some])


def fit_start(log: Log) -> tuple[Start, list[Form]]:
    """Return the law of first states: smoothed, of dependent or independent features, by held-out likelihood."""
    users = log.steps.user[log.steps.starts]
    sessions, width = users.shape
    spread = users.std(0).astype(np.float64)
    discrete = [len(np.unique(column)) < 0.5 * sessions for column in users.T]
    if not width or sessions < 10 or any(discrete):
        return Start(users, np.zeros(width), False), [Form("first state", "as logged", float("nan"), True)]
    sample = np.random.default_rng(0).permutation(sessions)
    cut = sessions // 2
    test, train = users[sample[:cut]][:KERNELS].astype(np.float64), users[sample[cut:]][:KERNELS].astype(np.float64)
    tried = []
    for independent in (False, True):
        for factor in BANDWIDTHS:
            width_of = factor * spread * len(train) ** (-1 / ((1 if independent else width) + 4))
            name = f"{'independent' if independent else 'joint'}, bandwidth {factor:g} of Silverman's"
            tried.append((float(_kernel_likelihood(train, test, width_of, independent)), name, independent, factor))
    best = max(tried)
    forms = [Form("first state", name, value, value == best[0]) for value, name, *_ in tried]
    _, _, independent, factor = best
    bandwidth = factor * spread * sessions ** (-1 / ((1 if independent else width) + 4))
    return Start(users, bandwidth, independent), forms


def _kernel_likelihood(train: Floats, test: Floats, width: Floats, independent: bool) -> np.floating:
    """Return the mean log-likelihood of `test` under a Gaussian kernel density of `train`."""
    off = (test[:, None] - train) / width
    logs = -0.5 * np.square(off) - np.log(width) - 0.5 * np.log(2 * np.pi)
    if independent:
        return (np.logaddexp.reduce(logs, axis=1) - np.log(len(train))).sum(1).mean()
    return (np.logaddexp.reduce(logs.sum(2), axis=1) - np.log(len(train))).mean()


def fit_offers(log: Log) -> Offers:
    """Return the sets of candidates of the log, of a large one a sample."""
    doc, mask, slate = log.steps.doc, log.steps.mask, log.steps.slate.astype(np.int64)
    most = min(SETS, max(1, SET_BYTES // max(doc[0].nbytes, 1)))
    rows = np.sort(np.random.default_rng(0).permutation(len(log))[:most])
    sets, slates = doc[rows], slate[rows]
    if mask is None:
        return Offers(sets, None, slates)
    there = mask[rows]
    order = np.argsort(~there, axis=1, kind="stable")  # those present come first
    place = np.argsort(order, axis=1)
    sets = sets[np.arange(len(rows))[:, None], order]
    slates = np.where(slates < 0, -1, place[np.arange(len(rows))[:, None], slates])
    return Offers(sets, there.sum(1), slates)
