"""Routers that compare the policies' mean rewards: Thompson sampling, UCB1, epsilon-greedy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln, stdtr, stdtrit

from recsys_cli.config.routers import EpsilonGreedyRouter, ThompsonRouter, UCB1Router
from recsys_cli.serving.router.base import Arm, Bools, C, Floats, SameForAll, State, among

NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(6)
_TAIL = np.logspace(-9, -0.5, 26)
_LEVELS = np.concatenate([_TAIL, [0.5], 1 - _TAIL[::-1]])  # quantiles between which densities are smooth


class BestMean(SameForAll[C]):
    """A rule on the number, the mean and the variance of each policy's rewards."""

    def freeze(self, arms: Sequence[Arm], before: State) -> State:
        """See `Router.freeze`."""
        return {
            "count": [arm.count for arm in arms],
            "mean": [arm.mean for arm in arms],
            "scatter": [arm.scatter for arm in arms],
        }


class Thompson(BestMean[ThompsonRouter]):
    """Thompson sampling: a policy's share is the probability that its mean reward is the greatest.

    Posteriors are Student's, of normal rewards with unknown mean and variance (Gelman et al., Bayesian Data Analysis,
    section 3.3); the prior is one observation at the mean of all rewards, with their variance: so that the scale of
    rewards does not matter.
    """

    def shares(self, state: State, enabled: Bools) -> Floats:
        """See `SameForAll.shares`."""
        shares = np.zeros(len(enabled))
        means, scales, freedom = posteriors(*(np.asarray(state[name], float) for name in ("count", "mean", "scatter")))
        shares[enabled] = best_of(means[enabled], scales[enabled], freedom[enabled])
        return shares


class UCB1(BestMean[UCB1Router]):
    """The greatest upper confidence bound, constant during an epoch (Auer, Cesa-Bianchi and Fischer 2002).

    Rewards are not bounded by 1 here: the width is in units of their standard deviation within policies. Policies
    without an observation come first.
    """

    def shares(self, state: State, enabled: Bools) -> Floats:
        """See `SameForAll.shares`."""
        count, mean, scatter = (np.asarray(state[name], float) for name in ("count", "mean", "scatter"))
        deviation = np.sqrt(scatter.sum() / max(count.sum() - len(count), 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            width = self.config.width * deviation * np.sqrt(2 * np.log(max(count.sum(), 1)) / count)
        return among(np.where(count > 0, mean + width, np.inf), enabled)


class EpsilonGreedy(BestMean[EpsilonGreedyRouter]):
    """The greatest mean, or any with probability epsilon. Policies without an observation come first."""

    def shares(self, state: State, enabled: Bools) -> Floats:
        """See `SameForAll.shares`."""
        count, mean = np.asarray(state["count"]), np.asarray(state["mean"], float)
        greedy = among(np.where(count > 0, mean, np.inf), enabled)
        return (1 - self.config.epsilon) * greedy + self.config.epsilon * enabled / enabled.sum()


def posteriors(count: Floats, mean: Floats, scatter: Floats) -> tuple[Floats, Floats, Floats]:
    """Return location, scale and degrees of freedom of each policy's mean reward, `[M]` each."""
    total = max(count.sum(), 1)
    center = (count * mean).sum() / total
    variance = (scatter + count * (mean - center) ** 2).sum() / total
    variance = max(variance, 1e-12 * (1 + center**2))  # rewards that are all the same
    freedom = 2 + count
    location = (center + count * mean) / (1 + count)
    spread = 2 * variance + scatter + (mean - center) ** 2 * count / (1 + count)
    return location, np.sqrt(spread / freedom / (1 + count)), freedom


def best_of(location: Floats, scale: Floats, freedom: Floats) -> Floats:
    """Return the probability that each of M independent Student variables is the greatest, `[M]`.

    The integral of one's density times the others' distribution functions, by Gauss-Legendre between the quantiles of
    all: exact to about 1e-8.
    """
    ends = np.unique(location + scale * stdtrit(freedom, _LEVELS[:, None]))
    middle, half = (ends[1:] + ends[:-1]) / 2, np.diff(ends) / 2
    points = (middle[:, None] + half[:, None] * NODES).ravel()
    weights = (half[:, None] * NODE_WEIGHTS).ravel()
    z = (points[:, None] - location) / scale
    below = stdtr(freedom, z)
    constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - np.log(freedom * np.pi) / 2 - np.log(scale)
    density = np.exp(constant - (freedom + 1) / 2 * np.log1p(z**2 / freedom))
    best = np.array([weights @ (density[:, m] * np.delete(below, m, axis=1).prod(1)) for m in range(len(location))])
    shares: Floats = best / best.sum()
    return shares
