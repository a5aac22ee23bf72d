"""Bayesian linear regressions in closed form: the posterior of a linear bandit.

Sums over the observations are kept in float64; mean and width come from a new Cholesky decomposition after every batch,
so that nothing drifts as a running inverse would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class LinearRegressions:
    """M independent models of `y = x . w_m + noise` with the prior `w_m ~ N(0, noise variance / ridge)`.

    With a forgetting factor f below 1, an observation of age a (in env steps) counts f^a; the prior is not forgotten
    (Russac et al. 2019, arXiv 1909.09146, section 3). The noise variance is shared by all models and estimated from
    their residuals, starting from one observation of variance 1, so that the scale of rewards does not matter.

    Attributes:
        gram: summed `x x'`, `[M, P, P]`.
        moment: summed `x y`, `[M, P]`.
        totals: number of observations, and summed `y^2`, `[2]`.
    """

    def __init__(self, models: int, size: int, ridge: float, forgetting: float = 1.0) -> None:
        """Begin at the prior."""
        self.ridge, self.forgetting = ridge, forgetting
        self.gram: Floats = np.zeros((models, size, size))
        self.moment: Floats = np.zeros((models, size))
        self.totals: Floats = np.zeros(2)

    def learn(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        model: NDArray[np.integer[Any]] | None = None,
        age: NDArray[np.integer[Any]] | None = None,
        passed: int = 0,
    ) -> None:
        """Add a batch of observations.

        Args:
            x: features, `[n, P]`.
            y: what was observed, `[n]`.
            model: which model each is about, `[n]`; the first if None.
            age: env steps since each, at the end of the batch, `[n]`; 0 if None.
            passed: env steps of the batch, by which earlier observations age.
        """
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        weight = np.ones(len(y))
        if self.forgetting < 1:
            weight = weight if age is None else self.forgetting ** age.astype(np.float64)
            for total in (self.gram, self.moment, self.totals):
                total *= self.forgetting**passed
        for m, rows in _by_model(model):
            weighted = x[rows] * weight[rows, None]
            self.gram[m] += weighted.T @ x[rows]
            self.moment[m] += y[rows] @ weighted
        self.totals += weight.sum(), weight @ y**2
        self._forget_derived()

    def _forget_derived(self) -> None:
        for name in ("factor", "weights", "noise"):
            self.__dict__.pop(name, None)

    @cached_property
    def factor(self) -> Floats:
        """F with `F F' = (gram + ridge I)^-1`, `[M, P, P]`: times the noise, a square root of the covariance."""
        return inverse_factor(self.gram + self.ridge * np.eye(self.gram.shape[-1]))

    @cached_property
    def weights(self) -> Floats:
        """The posterior mean, `[M, P]`."""
        halfway = self.factor.swapaxes(1, 2) @ self.moment[..., None]
        weights: Floats = (self.factor @ halfway)[..., 0]
        return weights

    @cached_property
    def noise(self) -> float:
        """The estimated standard deviation of the noise (mean of the inverse variance under the conjugate prior)."""
        count, square = self.totals
        residual = square - float((self.weights * self.moment).sum())
        return float(np.sqrt((1 + max(residual, 0.0)) / (1 + count)))

    def predict(self, x: NDArray[Any]) -> Floats:
        """Return the first model's `x . w`, `[...]`."""
        return x @ self.weights[0]

    def deviations(self, x: NDArray[Any]) -> Floats:
        """Return the posterior standard deviation of every model's value, `[n, M]`, at the features `[n, P]`."""
        models, size = self.moment.shape
        along = (x @ self.factor.transpose(1, 0, 2).reshape(size, models * size)).reshape(len(x), models, size)
        deviations: Floats = self.noise * np.sqrt(np.einsum("nmp,nmp->nm", along, along))
        return deviations

    def tensors(self) -> dict[str, np.ndarray]:
        """Return copies of the sums."""
        return {name: getattr(self, name).copy() for name in ("gram", "moment", "totals")}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Restore what `tensors` returned; shapes are the caller's business."""
        for name, value in tensors.items():
            setattr(self, name, np.array(value, np.float64))
        self._forget_derived()


def inverse_factor(precision: Floats) -> Floats:
    """Return F with `F F' = precision^-1`, `[..., P, P]`, for positive definite matrices."""
    lower = torch.linalg.cholesky(torch.from_numpy(precision))
    identity = torch.eye(precision.shape[-1], dtype=torch.float64).expand_as(lower)
    factor: Floats = torch.linalg.solve_triangular(lower, identity, upper=False).mT.contiguous().numpy()
    return factor


def _by_model(model: NDArray[Any] | None) -> Iterator[tuple[int, Any]]:
    """Yield each model that occurs with the rows about it, in their order."""
    if model is None:
        yield 0, slice(None)
        return
    for m in np.unique(model):
        yield int(m), np.flatnonzero(model == m)
