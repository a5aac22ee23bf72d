"""Plackett-Luce: probabilities, draws, entropy and divergence against enumeration of every slate."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from recsys_cli.slates import plackett_luce
from recsys_cli.slates.plackett_luce import PlackettLuce

SIZES = [(1, 1), (4, 1), (5, 2), (5, 5), (6, 3)]


def all_log_probs(scores: Tensor, k: int) -> tuple[list[tuple[int, ...]], list[float]]:
    """Every ordered slate of one row and its log-probability, by the definition and in double precision."""
    weights = [math.exp(score) for score in scores.double().tolist()]
    slates = list(permutations(range(len(weights)), k))
    log_probs = []
    for slate in slates:
        left, log_prob = sum(weights), 0.0
        for place in slate:
            log_prob += math.log(weights[place] / left)
            left = sum(w for i, w in enumerate(weights) if i not in slate[: slate.index(place) + 1])
        log_probs.append(log_prob)
    return slates, log_probs


def random_scores(seed: int, rows: int, candidates: int, spread: float = 1.5) -> Tensor:
    return spread * torch.randn(rows, candidates, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=25, deadline=None)
@given(size=st.sampled_from(SIZES), scores=st.lists(st.floats(-6, 6), min_size=6, max_size=6))
def test_log_probability_is_the_definition_and_sums_to_one(size: tuple[int, int], scores: list[float]) -> None:
    c, k = size
    row = torch.tensor(scores[:c], dtype=torch.float64)
    slates, expected = all_log_probs(row, k)
    computed = PlackettLuce(row.expand(len(slates), -1), k).log_prob(torch.tensor(slates))
    np.testing.assert_allclose(computed.numpy(), expected, rtol=1e-7, atol=1e-9)
    assert computed.exp().sum().item() == pytest.approx(1.0)


@settings(max_examples=15, deadline=None)
@given(scores=st.lists(st.floats(-80, 80, width=32), min_size=6, max_size=6), shift=st.floats(-50, 50, width=32))
def test_extreme_scores_stay_finite_and_only_differences_count(scores: list[float], shift: float) -> None:
    row = torch.tensor([scores], dtype=torch.float32, requires_grad=True)
    slates = PlackettLuce(row, 3)
    for number in (slates.log_prob(slates.sample()), slates.entropy(), slates.kl(PlackettLuce(row.detach() + 1, 3))):
        assert torch.isfinite(number).all()
        (gradient,) = torch.autograd.grad(number.sum(), row, allow_unused=True)
        assert gradient is None or torch.isfinite(gradient).all()
    shown = slates.mode()
    moved = PlackettLuce(row + shift, 3)
    torch.testing.assert_close(moved.log_prob(shown), slates.log_prob(shown), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("c", "k"), SIZES)
def test_draws_have_the_probabilities_told(c: int, k: int) -> None:
    torch.manual_seed(1)
    row = random_scores(3, 1, c, spread=0.7)
    slates, log_probs = all_log_probs(row[0], k)
    drawn = PlackettLuce(row.expand(20_000, -1), k).sample().tolist()
    index = {slate: i for i, slate in enumerate(slates)}
    counts = np.bincount([index[tuple(slate)] for slate in drawn], minlength=len(slates))
    assert len(slates) == 1 or stats.chisquare(counts, 20_000 * np.exp(log_probs)).pvalue > 1e-3


def test_noise_given_decides_the_draw() -> None:
    slates = PlackettLuce(random_scores(0, 50, 8), 3)
    noise = torch.as_tensor(np.random.default_rng(0).standard_exponential((50, 8)))
    assert torch.equal(slates.sample(noise), slates.sample(noise))
    assert torch.equal(slates.sample(torch.ones(50, 8)), slates.mode())
    assert torch.isfinite(slates.log_prob(slates.sample(torch.zeros(50, 8)))).all()  # a zero may be drawn


@pytest.mark.parametrize(("c", "k"), SIZES)
def test_mode_is_the_most_probable_slate(c: int, k: int) -> None:
    scores = random_scores(7, 20, c)
    for row, slate in zip(scores, PlackettLuce(scores, k).mode().tolist(), strict=True):
        slates, log_probs = all_log_probs(row, k)
        assert slates[int(np.argmax(log_probs))] == tuple(slate)


def test_candidates_are_a_set() -> None:
    scores, order = random_scores(2, 30, 6), torch.randperm(6, generator=torch.Generator().manual_seed(0))
    slates = PlackettLuce(scores, 3).sample()
    moved = order.argsort()[slates]  # where the same documents stand
    torch.testing.assert_close(
        PlackettLuce(scores[:, order], 3).log_prob(moved), PlackettLuce(scores, 3).log_prob(slates)
    )


def by_enumeration(scores: Tensor, other: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Entropies and divergences [B], differentiable."""
    every = torch.tensor(list(permutations(range(scores.shape[1]), k)))
    rows = [PlackettLuce(row.expand(len(every), -1), k).log_prob(every) for row in scores]
    others = [PlackettLuce(row.expand(len(every), -1), k).log_prob(every) for row in other]
    log_p, log_q = torch.stack(rows), torch.stack(others)
    return -(log_p.exp() * log_p).sum(-1), (log_p.exp() * (log_p - log_q)).sum(-1)


@pytest.mark.parametrize(("c", "k"), SIZES)
def test_entropy_and_divergence_are_exact_where_prefixes_are_few(
    c: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plackett_luce, "EXACT_PREFIXES", 120)
    scores, other = random_scores(4, 5, c).requires_grad_(), random_scores(5, 5, c)
    entropy, divergence = by_enumeration(scores, other, k)
    slates = PlackettLuce(scores, k)
    for computed, expected in ((slates.entropy(), entropy), (slates.kl(PlackettLuce(other, k)), divergence)):
        torch.testing.assert_close(computed, expected)
        one, two = (torch.autograd.grad(x.sum(), scores, retain_graph=True)[0] for x in (computed, expected))
        torch.testing.assert_close(one, two)


def test_estimates_and_their_gradients_are_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plackett_luce, "EXACT_PREFIXES", 1)
    torch.manual_seed(0)
    n, k, row = 20_000, 3, random_scores(4, 1, 5, spread=1.0)[0]
    other = random_scores(5, 1, 5, spread=1.0)
    one = row[None].clone().requires_grad_()
    expected = by_enumeration(one, other, k)
    scores = row.expand(n, -1).clone().requires_grad_()
    computed = PlackettLuce(scores, k).entropy(), PlackettLuce(scores, k).kl(PlackettLuce(other.expand(n, -1), k))
    for estimate, exact in zip(computed, expected, strict=True):
        assert estimate.std() > 0
        assert abs(estimate.mean() - exact[0]) < 5 * estimate.std() / n**0.5
        (gradient,) = torch.autograd.grad(estimate.sum(), scores)
        (truth,) = torch.autograd.grad(exact.sum(), one, retain_graph=True)
        assert ((gradient.mean(0) - truth[0]).abs() < 5 * gradient.std(0) / n**0.5).all()


@pytest.mark.parametrize("k", [0, 5])
def test_impossible_sizes_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match=r"1\.\.4"):
        PlackettLuce(torch.zeros(2, 4), k)


def test_candidates_that_are_not_there_change_nothing_but_the_numbers() -> None:
    """Masked rows are the distribution over the candidates left, which stand elsewhere."""
    scores, there = random_scores(4, 5, 6), torch.tensor([0, 2, 3, 5])
    mask = torch.zeros(5, 6, dtype=torch.bool).index_fill(1, there, True)
    few, masked = PlackettLuce(scores[:, there], 3), PlackettLuce(scores, 3, mask=mask)
    slates = few.sample()
    assert torch.equal(masked.mode(), there[few.mode()])
    torch.testing.assert_close(masked.log_prob(there[slates]), few.log_prob(slates))
    torch.testing.assert_close(masked.entropy(), few.entropy())
    shifted = scores + random_scores(5, 5, 6)
    torch.testing.assert_close(
        masked.kl(PlackettLuce(shifted, 3, mask=mask)), few.kl(PlackettLuce(shifted[:, there], 3))
    )


def test_the_entropy_of_short_slates_is_estimated_with_a_finite_gradient() -> None:
    scores = random_scores(6, 1, 4).requires_grad_()
    mask = torch.tensor([[True, False, True, False]]).expand(4000, -1)
    law = PlackettLuce(scores.expand(4000, -1), 4, torch.Generator().manual_seed(0), mask=mask)
    exact = PlackettLuce(scores[:, [0, 2]], 2).entropy()
    assert (law.sample()[:, 2:] == -1).all()
    (gradient,) = torch.autograd.grad(law.entropy().mean(), scores, retain_graph=True)
    (wanted,) = torch.autograd.grad(exact.sum(), scores)
    np.testing.assert_allclose(law.entropy().mean().item(), exact.item(), atol=0.02)
    np.testing.assert_allclose(gradient, wanted, atol=0.03)
    assert torch.isfinite(law.log_prob(law.sample())).all()
