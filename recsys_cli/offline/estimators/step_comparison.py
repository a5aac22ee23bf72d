"""Estimators of the mean reward of one step, side by side, on the same judged steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.estimators import bandit, cascade, slate
from recsys_cli.offline.estimators.base import (
    MEAN_ERRORS,
    Estimate,
    from_influence,
    refused,
    standard_error,
    why_refused,
)
from recsys_cli.offline.estimators.diagnostics import of_weights, why_useless
from recsys_cli.offline.estimators.influence import Estimated, Floats, by_unit
from recsys_cli.offline.estimators.intervals import bca, bootstrap, empirical_bernstein
from recsys_cli.offline.estimators.reward_models import Fit, cross_fitted, direct, least_squares, most_robust
from recsys_cli.offline.estimators.step_columns import StepColumns, columns_of, joined
from recsys_cli.offline.estimators.support import Support
from recsys_cli.offline.judging import Judged
from recsys_cli.offline.support import SupportCheck

MOST_STEPS = 50_000  # that are looked at
FOLDS = 5
RIDGE = 3.0  # clicks' worth of shrinkage to the mean of all clicks
CONSTANTS = 1e-6  # of the two constants
GROUPS = 200  # of episodes, at most, that the bootstrap of DM draws from
STEP = "step"

OF_SLATES = ("IPS", "SNIPS", "DR", "SNDR", "Switch-DR", "DRos", "MRDR")
INDEPENDENT = ("independent IPS", "independent SNIPS")
OF_PREFIXES = ("RIPS", "RIPS, normalised", "cascade-DR")
MEANS = {"IPS", "DR", "MRDR", "independent IPS", "RIPS", "cascade-DR", "PI"}  # linear: their intervals are BCa

WHOLE = "the log has propensities of whole slates only"
NO_MARGINALS = "what the policy that logged shows at each position is unknown"
NO_PAIRS = "what the policy that logged shows together is unknown"


class StepComparison:
    """The mean reward of a step in which the target acts once, in the states of the log.

    Estimators with weights of whole slates: IPS, SNIPS, DR, SNDR, Switch-DR, DRos, MRDR; of positions: independent IPS,
    RIPS, cascade-DR, PI; and DM, which has none. The reward model is linear in the features of the clicked document,
    and, with the choice model, of slates.
    """

    def __init__(self, spec: ProblemSpec, propensities: SupportCheck) -> None:
        """Take the problem, and a check of the log's propensities that has seen nothing yet."""
        self.spec, self.propensities, self.support = spec, propensities, Support()
        self._parts, self._steps = list[StepColumns](), 0

    def add(self, judged: Judged) -> None:
        """Take more whole episodes; nothing beyond `MOST_STEPS` is looked at."""
        if self._steps < MOST_STEPS and judged.steps.valid.any():
            self._parts.append(columns_of(judged, self.spec.documents))
            self.propensities.add(judged.steps)
            self.support.add(judged)
            self._steps += len(self._parts[-1])

    def estimates(self) -> list[Estimate]:
        """Return the estimates; those that the log does not allow, or whose assumption it refutes, are refused."""
        useless, log = why_useless(self.propensities.result()), joined(self._parts)
        if useless is not None:
            log = replace(log, log_ratio=None)
        penalty = np.full(log.clicked.shape[1], RIDGE)
        penalty[-2:] = CONSTANTS

        def plain(rows: NDArray[np.bool_]) -> Floats:
            return least_squares(log.clicked[rows], log.reward[rows], penalty)

        fold = log.unit % FOLDS
        slates = self._bounded(_of_slates(log, fold, plain), log) or [
            refused(name, str(useless), per=STEP) for name in OF_SLATES
        ]
        if self.propensities.whole:
            useless, log = WHOLE, replace(log, log_ratio=None)
        places = _of_prefixes(log, fold) or [refused(name, str(useless), per=STEP) for name in OF_PREFIXES]
        reference = _reference(log, fold, plain, slates)
        assuming = [refuted(each, reference) for each in (_direct(log, penalty), *_of_positions(log), *places)]
        unseen, wrong = self.support.refusal(), known_wrong(self.spec)
        reasons = {each.name: unseen or wrong.get(each.name) for each in (*assuming, *slates)}
        every = (assuming[0], *slates, *assuming[1:])
        return [each if (why := reasons[each.name]) is None else refusing(each, why) for each in every]

    def _bounded(self, slates: list[Estimate], log: StepColumns) -> list[Estimate]:
        """Return the estimates, IPS with bounds that hold at any sample size, if rewards have bounds.

        They need the greatest weight: no slate may be shown with a smaller probability than the least that was logged.
        """
        reward = next((each for each in self.spec.response if each.name == self.spec.reward), None)
        if reward is None or not slates:
            return slates
        ips, size = slates[0], np.bincount(log.unit)
        assert ips.influence is not None
        most = float(size.max()) / float(size.mean()) / self.propensities.result().smallest
        low, high = (most * each for each in (min(reward.low, 0.0), max(reward.high, 0.0)))
        bounds = zip(
            ("bound_low", "bound_high"), empirical_bernstein(ips.value + ips.influence, low, high), strict=True
        )
        return [replace(ips, diagnostics={**ips.diagnostics, **dict(bounds)}), *slates[1:]]


def known_wrong(spec: ProblemSpec) -> dict[str, str]:
    """Return, by estimator, which assumption is false for what is known of the users' choice."""
    if spec.choice.kind == "unknown" or spec.attended < 2:
        return {}
    wrong = dict.fromkeys(INDEPENDENT, "assumes that positions do not compete for the click; here they do")
    if not spec.order_matters:
        wrong |= dict.fromkeys(OF_PREFIXES, "assumes that only positions above matter; these users choose among all")
    return wrong


def refuted(estimate: Estimate, reference: Estimate | None) -> Estimate:
    """Return an estimate, refused if it differs from one that assumes less (Hausman 1978).

    Args:
        estimate: with influence, of the same units.
        reference: what it is compared with, if there is anything.
    """
    if reference is None or estimate.refusal is not None or estimate.influence is None:
        return estimate
    assert reference.influence is not None
    off, error = estimate.value - reference.value, standard_error(estimate.influence - reference.influence)
    if abs(off) <= MEAN_ERRORS * error:
        return estimate
    why = f"differs from {reference.name} by {off:+.3g} ± {error:.2g}: what it assumes does not hold here"
    return refusing(estimate, why)


def refusing(estimate: Estimate, why: str) -> Estimate:
    """Return an estimate that is refused, and so has no interval."""
    return replace(estimate, low=float("nan"), high=float("nan"), interval="none", refusal=why)


def _reference(log: StepColumns, fold: NDArray[np.int64], plain: Fit, slates: list[Estimate]) -> Estimate | None:
    """Return what assumes least and is not refused: click-DR, else DR."""
    if log.click_ratio is not None:
        q, v = cross_fitted(plain, log.clicked, log.target, fold)
        diagnostics = of_weights(log.click_ratio, log.unit)
        estimate = _estimate("click-DR", bandit.dr(log.click_ratio, log.reward, q, v), log, diagnostics)
        if estimate.refusal is None:
            return estimate
    return next((each for each in slates if each.name == "DR" and each.refusal is None), None)


def _direct(log: StepColumns, penalty: Floats) -> Estimate:
    """Return DM, its model fitted anew in every bootstrap sample, of episodes or groups of them."""
    value, influence = by_unit(direct(log.clicked, log.target, log.reward, penalty), log.unit)
    estimate = Estimate("DM", value, influence=influence, per=STEP)
    group = log.unit % GROUPS
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    clicked, target, reward = log.clicked[order], log.target[order], log.reward[order]
    parts = list(zip(np.split(clicked, starts[1:]), np.split(reward, starts[1:]), strict=True))
    gram, cross = (np.stack(each) for each in zip(*((x.T @ x, x.T @ r) for x, r in parts), strict=True))
    meant, size = np.add.reduceat(target, starts), np.diff(starts, append=len(group)).astype(float)

    def refitted(counts: NDArray[np.int64]) -> float:
        normal = np.tensordot(counts, gram, 1) + np.diag(penalty)
        return float(counts @ meant @ np.linalg.solve(normal, counts @ cross) / (counts @ size))

    if len(starts) < 2:
        return estimate
    low, high = bootstrap(refitted, len(starts))
    return replace(estimate, low=low, high=high, interval="bootstrap, model refitted; the model's bias is not in it")


def _of_slates(log: StepColumns, fold: NDArray[np.int64], plain: Fit) -> list[Estimate]:
    """Return the estimates with weights of whole slates; none without propensities."""
    if log.log_ratio is None:
        return []
    weight, reward = np.exp(log.log_ratio.sum(1)), log.reward
    q, v = cross_fitted(plain, log.logged, log.target, fold)

    def robust(rows: NDArray[np.bool_]) -> Floats:
        return most_robust(weight[rows], log.logged[rows], log.target[rows], reward[rows], RIDGE, plain(rows))

    found: dict[str, Estimated] = {
        "IPS": bandit.ips(weight, reward),
        "SNIPS": bandit.snips(weight, reward),
        "DR": bandit.dr(weight, reward, q, v),
        "SNDR": bandit.sndr(weight, reward, q, v),
        "MRDR": bandit.dr(weight, reward, *cross_fitted(robust, log.logged, log.target, fold)),
    }
    diagnostics = of_weights(weight, log.unit)
    estimates = {name: _estimate(name, estimated, log, diagnostics) for name, estimated in found.items()}
    for name, estimator in (("Switch-DR", bandit.switch_dr), ("DRos", bandit.dros)):
        biased = estimator(weight, reward, q, v)
        more = {"bias_bound": biased.bias, "threshold": biased.chosen}
        estimates[name] = _widened(_estimate(name, biased.estimated, log, {**diagnostics, **more}), biased.bias)
    return [estimates[name] for name in OF_SLATES]


def _of_prefixes(log: StepColumns, fold: NDArray[np.int64]) -> list[Estimate]:
    """Return the estimates for users who go down the slate; none without propensities of positions."""
    if log.log_ratio is None:
        return []
    q, v = cascade.fitted(log.prefix, log.prefix_target, log.place_reward, fold, RIDGE)
    diagnostics = of_weights(np.exp(log.log_ratio.sum(1)), log.unit)
    found = (
        slate.rips(log.log_ratio, log.place_reward),
        slate.normalised_rips(log.log_ratio, log.place_reward),
        slate.cascade_dr(log.log_ratio, log.place_reward, q, v),
    )
    return [_estimate(name, each, log, diagnostics) for name, each in zip(OF_PREFIXES, found, strict=True)]


def _of_positions(log: StepColumns) -> list[Estimate]:
    """Return the estimates for independent positions, and for additive rewards."""
    estimates = []
    if log.place_ratio is None:
        estimates += [refused(name, NO_MARGINALS, per=STEP) for name in INDEPENDENT]
    else:
        places = [of_weights(weight, log.unit) for weight in log.place_ratio.T]
        worst = min(places, key=lambda each: (why_refused(each) is None, each["ess"]))
        functions = (slate.independent_ips, slate.normalised_independent_ips)
        for name, independent in zip(INDEPENDENT, functions, strict=True):
            estimates.append(_estimate(name, independent(log.place_ratio, log.place_reward), log, worst))
    if log.additive is None:
        return [*estimates, *(refused(name, NO_PAIRS, per=STEP) for name in ("PI", "PI, normalised"))]
    diagnostics = of_weights(log.additive, log.unit)
    for name, simple in (("PI", bandit.ips), ("PI, normalised", bandit.snips)):
        estimates.append(_estimate(name, simple(log.additive, log.reward), log, diagnostics))
    return estimates


def _estimate(name: str, estimated: Estimated, log: StepColumns, diagnostics: dict[str, float]) -> Estimate:
    """Return an estimate with its interval, of a mean by BCa."""
    value, influence = by_unit(estimated, log.unit)
    estimate = from_influence(
        name, value, influence, diagnostics=diagnostics, refusal=why_refused(diagnostics), per=STEP
    )
    if estimate.refusal is not None or name not in MEANS:
        return estimate
    low, high = bca(value, influence)
    return replace(estimate, low=low, high=high, interval=f"BCa over {len(influence):,} episodes")


def _widened(estimate: Estimate, bias: float) -> Estimate:
    """Return an estimate whose interval, if it has one, also holds a bias up to a bound."""
    if estimate.refusal is not None:
        return estimate
    words = f"{estimate.interval}, widened by a bound of the bias"
    return replace(estimate, low=estimate.low - bias, high=estimate.high + bias, interval=words)
