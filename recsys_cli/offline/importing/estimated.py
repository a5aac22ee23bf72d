"""Propensities of a log that has none: models of what was shown, the better one chosen on held-out episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.offline.steps import Steps, fold_of

SAMPLE = 50_000  # slates that a model is fitted to and judged by
FOLDS = 5  # the first is held out
MOST_WEIGHTS = 50_000  # of a model with the user's features
RIDGE = 1.0


class Shown(Protocol):
    """A model of what is shown."""

    name: str

    def log_weights(self, steps: Steps) -> Tensor:
        """Return log-weights of the candidates at each position, `[n, k or 1, C]`."""


class Frequencies:
    """At each position a document is shown as often as in the log: a multinomial, over the candidates left."""

    name = "multinomial"

    def __init__(self, steps: Steps, spec: ProblemSpec) -> None:
        """Count what is shown at each position, plus one."""
        counts = np.ones((spec.slate_size, spec.documents.numbers))
        for position in range(spec.slate_size):
            shown = steps.slate[:, position]
            there = np.flatnonzero(shown >= 0)
            np.add.at(counts[position], steps.doc[there, shown[there]], 1.0)
        self._logs = torch.as_tensor(np.log(counts / counts.sum(1, keepdims=True)))

    def log_weights(self, steps: Steps) -> Tensor:
        """See `Shown`."""
        return self._logs[:, torch.as_tensor(steps.doc.astype(np.int64))].transpose(0, 1)


class Logit:
    """A Plackett-Luce model: scores are linear in the document and in the products of user and document features."""

    name = "plackett_luce"

    def __init__(self, steps: Steps, spec: ProblemSpec) -> None:
        """Maximise the likelihood of the slates by L-BFGS, with a ridge of 1."""
        documents, numbers = spec.documents, spec.documents.numbers
        self._numbers = numbers
        self._features = torch.zeros(0)
        if numbers and not documents.one_hot:
            assert documents.items is not None
            self._features = torch.as_tensor(_standard(documents.items.astype(np.float64)))
        width = numbers if documents.one_hot else len(documents)
        crossed = 0 < len(spec.user) * width <= MOST_WEIGHTS
        shapes: dict[str, tuple[int, ...]] = {"bias": (numbers,), "linear": (0 if documents.one_hot else width,)}
        shapes["cross"] = (len(spec.user), width) if crossed else (0, 0)
        self._scale = np.maximum(np.abs(steps.user).max(0, initial=1e-6), 1e-6)
        self._weights = {key: torch.zeros(shape, dtype=torch.float64) for key, shape in shapes.items()}
        self._fit(steps)

    def _fit(self, steps: Steps) -> None:
        from scipy.optimize import minimize  # torch's own L-BFGS takes seconds to import

        slates = torch.as_tensor(steps.slate.astype(np.int64))
        sizes = [weight.numel() for weight in self._weights.values()]

        def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            leaf = torch.tensor(flat, requires_grad=True)
            self._set(leaf, sizes)
            fit = position_log_prob(self.log_weights(steps), slates, steps.mask).sum()
            total = RIDGE / 2 * leaf.square().sum() - fit
            (gradient,) = torch.autograd.grad(total, leaf)
            return float(total.detach()), gradient.numpy()

        if sum(sizes):
            found = minimize(loss, np.zeros(sum(sizes)), jac=True, method="L-BFGS-B", options={"maxiter": 100})
            self._set(torch.as_tensor(found.x), sizes)

    def _set(self, flat: Tensor, sizes: list[int]) -> None:
        parts = zip(self._weights.items(), flat.split(sizes), strict=True)
        self._weights = {key: part.reshape(old.shape) for (key, old), part in parts}

    def log_weights(self, steps: Steps) -> Tensor:
        """See `Shown`."""
        weights, doc = self._weights, steps.doc
        user = torch.as_tensor(steps.user.astype(np.float64) / self._scale)
        scores = torch.zeros(doc.shape[:2], dtype=torch.float64)
        if self._numbers:
            number = torch.as_tensor(doc.astype(np.int64))
            scores = scores + weights["bias"][number]
            if self._features.numel():
                of_item = self._features @ weights["linear"]
                scores = scores + of_item[number]
            if weights["cross"].numel():
                affinity = user @ weights["cross"]
                affinity = affinity @ self._features.T if self._features.numel() else affinity
                scores = scores + affinity.gather(1, number)
            return scores[:, None]
        features = torch.as_tensor(doc.astype(np.float64))
        if weights["cross"].numel():
            scores = scores + torch.einsum("nu,uf,ncf->nc", user, weights["cross"], features)
        return (scores + features @ weights["linear"])[:, None]


def _standard(features: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = features.std(0)
    standard: NDArray[np.float64] = (features - features.mean(0)) / np.where(spread > 0, spread, 1.0)
    return standard


def position_log_prob(log_weights: Tensor, slates: Tensor, mask: NDArray[np.bool_] | None) -> Tensor:
    """Return the log-probability of each document among the candidates left, `[n, k]`; 0 where there is none.

    Args:
        log_weights: of the candidates at each position, `[n, k or 1, C]`.
        slates: positions among the candidates, `[n, k]`; -1 for no document.
        mask: candidates that are present, `[n, C]`; None: all.
    """
    n, k = slates.shape
    left = torch.ones((n, log_weights.shape[-1]), dtype=torch.bool)
    if mask is not None:
        left &= torch.as_tensor(mask)
    rows, found = torch.arange(n), []
    for position in range(k):
        weights = log_weights[:, min(position, log_weights.shape[1] - 1)].masked_fill(~left, -torch.inf)
        shown = slates[:, position]
        there = shown >= 0
        each = weights.gather(1, shown.clamp_min(0)[:, None])[:, 0] - weights.logsumexp(-1)
        found.append(each.where(there, torch.zeros(())))
        left = left.clone()
        left[rows[there], shown[there]] = False
    return torch.stack(found, dim=1)


@dataclass(frozen=True)
class Estimated:
    """The chosen model.

    Attributes:
        model: it.
        held_out: log-likelihood of a held-out slate, mean, by model; `uniform` among them.
    """

    model: Shown
    held_out: dict[str, float]

    def log_propensity(self, steps: Steps) -> NDArray[np.float32]:
        """Return the estimated log-probability of each position's document given those before it, `[n, k]`."""
        with torch.no_grad():
            return _log_prob(self.model, steps).numpy().astype(np.float32)


def _log_prob(model: Shown, steps: Steps) -> Tensor:
    return position_log_prob(model.log_weights(steps), torch.as_tensor(steps.slate.astype(np.int64)), steps.mask)


class Uniform:
    """Every candidate left is equally likely."""

    name = "uniform"

    def log_weights(self, steps: Steps) -> Tensor:
        """See `Shown`."""
        return torch.zeros((len(steps), 1, steps.doc.shape[1]), dtype=torch.float64)


def estimate(sample: Steps, spec: ProblemSpec) -> Estimated:
    """Fit the models to a sample of whole episodes and choose by the likelihood of held-out ones.

    Of those within a standard error of the best, the simplest is chosen. It is not fitted again: its likelihood is that
    of the propensities that are written.
    """
    sample = sample.take(np.flatnonzero(sample.valid))
    held = fold_of(sample.episode, FOLDS) == 0
    if held.all() or not held.any():  # a handful of episodes
        held = np.arange(len(sample)) % FOLDS == 0
    train, test = sample.take(np.flatnonzero(~held)), sample.take(np.flatnonzero(held))
    models: list[Shown] = [Uniform()]
    if len(train) and spec.documents.numbers:
        models.append(Frequencies(train, spec))
    if len(train):
        models.append(Logit(train, spec))
    with torch.no_grad():
        scores = {model.name: _log_prob(model, test).sum(-1).numpy() for model in models}
    held_out = {name: float(each.mean()) for name, each in scores.items()}
    best = scores[max(held_out, key=lambda name: held_out[name])]
    error = {name: (best - each).std() / np.sqrt(len(test)) for name, each in scores.items()}
    simplest = next(model for model in models if held_out[model.name] >= best.mean() - error[model.name])
    return Estimated(simplest, held_out)
