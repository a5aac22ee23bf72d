"""Propensities of imported logs: their moments say what they are; those that are missing are estimated."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest
from import_logs import CANDIDATES, ITEMS, slate_rows

from recsys_cli.envs.features import Features
from recsys_cli.envs.spec import Documents, ProblemSpec, ResponseField
from recsys_cli.offline.importing.estimated import estimate
from recsys_cli.offline.importing.mapping import PropensityColumns
from recsys_cli.offline.importing.propensities import Reading, Sample, check
from recsys_cli.offline.steps import Steps

SIZE, N = 2, 6_000
WRITTEN = {
    "probability": np.exp,
    "log": lambda logs: logs,
    "log2": lambda logs: logs / np.log(2),
    "log10": lambda logs: logs / np.log(10),
    "negative": lambda logs: -logs,
    "percent": lambda logs: 100 * np.exp(logs),
    "inverse": lambda logs: np.exp(-logs),
}


def shown(scores: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return slates drawn from a Plackett-Luce distribution, and each position's log-probability."""
    slates = np.argsort(-(scores + rng.gumbel(size=scores.shape)), axis=1)[:, :SIZE]
    left, logs = scores.copy(), []
    for at in slates.T:
        logs.append(np.take_along_axis(left, at[:, None], 1)[:, 0] - np.log(np.exp(left).sum(1)))
        np.put_along_axis(left, at[:, None], -np.inf, 1)
    return slates, np.stack(logs, axis=1)


def sample_of(cells: np.ndarray) -> Sample:
    sample = Sample()
    sample.add(cells, np.full(len(cells), SIZE), np.full(len(cells), CANDIDATES))
    return sample


def cells_of(logs: np.ndarray, of: str) -> np.ndarray:
    """Return what a log would hold of these log-probabilities of positions."""
    whole = logs.sum(1, keepdims=True)
    return {
        "positions": logs,
        "slate": whole,
        "set": np.log(factorial(SIZE)) + whole,  # of a uniform policy
        "repeated": np.repeat(whole, SIZE, axis=1),
        "marginal": np.repeat(logs[:, :1], SIZE, axis=1),  # of a uniform policy
    }[of]


@pytest.mark.parametrize("of", ["positions", "slate", "set", "repeated", "marginal"])
@pytest.mark.parametrize("scale", WRITTEN)
def test_what_propensities_are_is_found_whatever_the_mapping_says(scale: str, of: str) -> None:
    uniform = of in ("set", "marginal")
    rng = np.random.default_rng(3)
    scores = np.zeros((N, CANDIDATES)) if uniform else rng.normal(0, 0.5, (N, CANDIDATES))
    cells = WRITTEN[scale](cells_of(shown(scores, rng)[1], of))
    wide = cells.shape[1] > 1
    for declared_scale in ("probability", "log", "log2", "log10"):
        declared = "positions" if wide else "slate"
        verdict = check(sample_of(cells), PropensityColumns("p", declared, declared_scale), 0)
        if (declared_scale, declared) == (scale, of):
            assert verdict.kind == "ok"
        else:
            assert verdict.kind == "wrong" and Reading(scale, of).words() in verdict.text


def test_a_log_that_shows_some_documents_never_or_only_one_slate_is_said_to() -> None:
    rng = np.random.default_rng(0)
    scores = np.where(np.arange(CANDIDATES) < 4, 0.0, -30.0) * np.ones((N, 1))
    how = PropensityColumns("p", "positions", "log")
    logs = shown(scores, rng)[1]
    assert check(sample_of(logs), how, 0).kind == "support"
    assert check(sample_of(np.zeros((N, SIZE))), how, 0).kind == "deterministic"
    assert check(sample_of(logs - 1.7), how, 0).kind == "off"


def steps_of(slates: np.ndarray, doc: np.ndarray, user: np.ndarray) -> Steps:
    n = len(slates)
    flags = {name: np.zeros(n, bool) for name in ("terminated", "truncated")}
    numbers = {
        "episode": np.arange(n),
        "step": np.zeros(n, np.int32),
        "clicked": np.full(n, SIZE),
        "reward": np.zeros(n),
    }
    return Steps(user=user, doc=doc, slate=slates, response={}, valid=np.ones(n, bool), **numbers, **flags)


@pytest.mark.parametrize("truth", ["plackett_luce", "multinomial", "uniform"])
def test_the_model_of_missing_propensities_is_chosen_on_held_out_episodes(truth: str) -> None:
    rng, n = np.random.default_rng(5), 3_000
    doc = np.stack([rng.choice(ITEMS, CANDIDATES, replace=False) for _ in range(n)])
    user = rng.normal(size=(n, 2)).astype(np.float32)
    if truth == "plackett_luce":  # the user's taste decides
        scores = (user @ rng.normal(0, 1, (2, ITEMS)))[np.arange(n)[:, None], doc]
        slates, logs = shown(scores, rng)
    elif truth == "multinomial":  # what is liked at the first position is not at the second
        taste = rng.normal(0, 1, ITEMS)
        first, second = taste[doc], -taste[doc]
        slates, logs = shown(first, rng)
        np.put_along_axis(second, slates[:, :1], -np.inf, 1)
        slates[:, 1] = np.argmax(second + rng.gumbel(size=second.shape), axis=1)
        rest = np.take_along_axis(second, slates[:, 1:], 1)[:, 0] - np.log(np.exp(second).sum(1))
        logs = np.stack([logs[:, 0], rest], axis=1)
    else:
        slates, logs = shown(np.zeros((n, CANDIDATES)), rng)
    documents = Documents(Features.of(ITEMS, 0, 1), topics=ITEMS)
    spec = ProblemSpec("log", Features.of(2), documents, (ResponseField("click"),), SIZE, CANDIDATES)
    steps = steps_of(slates, doc, user)
    found = estimate(steps, spec)
    assert found.model.name == truth
    estimated = found.log_propensity(steps).astype(float)
    assert np.abs(estimated - logs).mean() < 0.1
    np.testing.assert_allclose(found.held_out["uniform"], -np.log(CANDIDATES * (CANDIDATES - 1)), rtol=1e-9)


def test_a_small_log_is_estimated_too() -> None:
    documents = Documents(Features.of(3, 0, 1), topics=3)
    spec = ProblemSpec("log", Features.of(0), documents, (ResponseField("click"),), SIZE, 3)
    one = steps_of(np.array([[0, 1]]), np.array([[0, 1, 2]]), np.zeros((1, 0), np.float32))
    assert np.isfinite(estimate(one, spec).log_propensity(one)).all()


def test_the_uniform_log_of_these_tests_is_uniform() -> None:
    cells = np.array([row["propensity"] for row in slate_rows()])
    assert check(sample_of(cells), PropensityColumns("p"), 0).kind == "ok"
