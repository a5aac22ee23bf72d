"""Statistics of sessions: what simulated users are compared with logged ones by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import kstest

from recsys_cli.envs.learned_files import Model
from recsys_cli.envs.learned_session import Floats
from recsys_cli.offline.simulator.choice import FIRST, chances
from recsys_cli.offline.simulator.estimation import least_squares
from recsys_cli.offline.simulator.log import Log

MAX_Z = 4.5  # as in the comparison of our simulators with RecSim's: fixed, and wide enough for many of them
MIN_P = 1e-5
EXACT = 1e-9
MOST = 64  # features that are compared one by one


@dataclass(frozen=True)
class Check:
    """One statistic of held-out and of simulated sessions.

    Attributes:
        name: of the statistic.
        logged: its mean over held-out sessions (of the feature that differs most, if it has several).
        simulated: over simulated ones.
        z: difference of the means in standard errors.
        p: of the Kolmogorov-Smirnov test of its distribution; None if it has several features.
        visible: smallest difference of the means that would be found, with so many sessions.
    """

    name: str
    logged: float
    simulated: float
    z: float
    p: float | None
    visible: float

    @property
    def equal(self) -> bool:
        """Whether no difference was found."""
        return abs(self.z) <= MAX_Z and (self.p is None or self.p >= MIN_P)


def statistics(log: Log, model: Model) -> dict[str, Floats]:
    """Return the statistics of every session: `[E]`, or `[E, m]` of several features; NaN where there is none."""
    steps, k = log.steps, log.spec.slate_size
    count = np.bincount(log.episode[log.clicks], minlength=log.sessions)
    found: dict[str, Floats] = {
        "return": steps.returns(),
        "steps": steps.lengths.astype(np.float64),
        "clicks a step": count / steps.lengths,
    }
    if k > 1:
        found["position of clicks"] = _per_click(log, 1.0 + steps.clicked[log.clicks])
    for i, name in enumerate(log.basis.counted):
        found[f"{name} of a click"] = _per_click(log, log.values[:, i])
    if log.clicked_doc.shape[1] <= MOST:
        found["clicks by feature"] = _sums(log, log.clicks, log.clicked_doc)
    if steps.user.shape[1] > 0:
        last = steps.user[np.append(steps.starts[1:], len(log)) - 1].astype(np.float64)
        first = steps.user[steps.starts].astype(np.float64)
        found["user at the end: sum"] = last.sum(1)
        found["user at the end: sum of squares"] = np.square(last).sum(1)
        found["user's change"] = np.abs(last - first).sum(1)
    return found | _persistence(log, model)


def _per_click(log: Log, values: Floats) -> Floats:
    count = np.bincount(log.episode[log.clicks], minlength=log.sessions)
    total = np.bincount(log.episode[log.clicks], values, log.sessions)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _sums(log: Log, rows: np.ndarray, values: Floats) -> Floats:
    """Return the sums by session, `[E, m]`, of values `[len(rows), m]`."""
    total = np.zeros((log.sessions, values.shape[1]))
    np.add.at(total, log.episode[rows], values)
    return total


def _persistence(log: Log, model: Model) -> dict[str, Floats]:
    """Return what the halves of a session have in common that features do not explain: signs of a hidden state.

    Clicks by document feature beyond those expected, and rewards of clicks beyond a linear function of document and
    user: products of the sums over the odd and the even steps. Their means are 0 if users have no hidden state.
    """
    even = log.steps.step % 2 == 0
    rows = np.arange(len(log))
    surprise = np.zeros((len(log), log.shown.shape[2] + 1))
    if not (model.choice.known is not None and model.choice.known.kind == FIRST):
        expected = np.einsum("i,ink->nk", model.choice.shares, chances(model.choice, log))
        off = (log.steps.clicked[:, None] == np.arange(log.spec.slate_size)) - expected
        surprise = np.concatenate([off.sum(1, keepdims=True), np.einsum("nk,nkf->nf", off, log.shown)], axis=1)
    about = np.concatenate(
        [np.ones((len(log.clicks), 1)), log.clicked_doc, log.steps.user[log.clicks]], axis=1, dtype=np.float64
    )
    reward = log.steps.reward[log.clicks].astype(np.float64)
    beyond = reward - about @ least_squares(about, reward) if len(reward) else reward
    beyond[np.abs(beyond) < EXACT * np.abs(reward)] = 0.0
    halves = []
    for half in (even, ~even):
        of_clicks = half[log.clicks]
        halves.append(
            (_sums(log, rows[half], surprise[half]), _sums(log, log.clicks[of_clicks], beyond[of_clicks, None]))
        )
    (clicks_a, rewards_a), (clicks_b, rewards_b) = halves
    return {
        "lasting tastes": (clicks_a * clicks_b).sum(1) / log.steps.lengths,
        "lasting rewards": (rewards_a * rewards_b)[:, 0] / log.steps.lengths,
    }


def compare(logged: dict[str, Floats], simulated: dict[str, Floats]) -> list[Check]:
    """Compare two sets of sessions, statistic by statistic."""
    return [_check(name, logged[name], simulated[name]) for name in logged]


def _check(name: str, logged: Floats, simulated: Floats) -> Check:
    ours, theirs = (values.reshape(len(values), -1) for values in (simulated, logged))
    mean_a, mean_b = np.nanmean(ours, axis=0), np.nanmean(theirs, axis=0)
    errors = [np.nanvar(v, axis=0) / np.maximum(np.isfinite(v).sum(0), 1) for v in (ours, theirs)]
    error = np.sqrt(errors[0] + errors[1]) + 1e-6 * (1 + np.abs(mean_b))
    z = (mean_a - mean_b) / error
    worst = int(np.nanargmax(np.abs(z))) if np.isfinite(z).any() else 0
    p = None
    if logged.ndim == 1 and np.ptp(logged[np.isfinite(logged)], axis=0) > 0:
        p = float(kstest(simulated[np.isfinite(simulated)], logged[np.isfinite(logged)]).pvalue)
    logged_mean, simulated_mean = float(mean_b[worst]), float(mean_a[worst])
    return Check(name, logged_mean, simulated_mean, float(z[worst]), p, float(MAX_Z * error[worst]))
