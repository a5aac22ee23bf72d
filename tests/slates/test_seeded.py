"""Draws by seed: each user's slate follows from their seed and distribution alone."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_distributions import EXACT, SIZES, N, certain, masks, mixed, plackett_luce, router, uniform

from recsys_cli.slates.distributions import DrawnOnly, Mixture, PlackettLuceSlates, SlateDistribution, Uniform
from recsys_cli.slates.seeded import bits, uniforms

SEEDS = st.lists(st.integers(0, 2**64 - 1), min_size=N, max_size=N).map(lambda seeds: np.array(seeds, np.uint64))


def drawn_only(rng: np.random.Generator, c: int, k: int, mask: np.ndarray | None) -> SlateDistribution:
    """Slates by draws of a law that ranks by scores with noise on each."""
    scores = rng.standard_normal((N, c))

    def draw(rows: Any, rng: np.random.Generator) -> np.ndarray:
        own = scores if rows is None else scores[rows]
        there = mask if mask is None or rows is None else mask[rows]
        return PlackettLuceSlates(own, k, 1.0, there).sample(rng)

    return DrawnOnly(draw, N, c, k, mask)


ALL = [*EXACT, drawn_only, mixed(uniform, plackett_luce, 0.3), mixed(uniform, router, 0.5)]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("make", ALL)
@settings(max_examples=8, deadline=None)
@given(seeds=SEEDS, seed=st.integers(0, 2**32 - 1), size=st.sampled_from(SIZES), order=st.permutations(range(N)))
def test_a_user_s_slate_is_their_own(
    make: Any, masked: bool, seeds: np.ndarray, seed: int, size: tuple[int, int], order: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    mask = masks(rng, size[0]) if masked and size[0] > 1 else None
    law, rows = make(rng, *size, mask), np.array(order)
    slates = law.sample_seeded(seeds)
    assert slates.shape == (N, size[1]) and law.possible(slates).all()
    np.testing.assert_array_equal(law.take(rows).sample_seeded(seeds[rows]), slates[rows])
    for row in range(N):  # alone
        np.testing.assert_array_equal(law.take(np.array([row])).sample_seeded(seeds[[row]]), slates[[row]])
    other = np.where(np.arange(N) == rows[0], seeds, ~seeds)
    np.testing.assert_array_equal(law.sample_seeded(other)[rows[0]], slates[rows[0]])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("make", [*EXACT, mixed(uniform, plackett_luce, 0.3), mixed(plackett_luce, certain, 0.6)])
def test_slates_have_the_distribution_s_probabilities(make: Any, masked: bool) -> None:
    draws, c, k = 4000, 4, 2
    mask = np.array([[1, 1, 0, 1]] * N, bool) if masked else None
    law = make(np.random.default_rng(3), c, k, mask).take(np.zeros(draws, np.int64))
    slates = law.sample_seeded(np.arange(draws, dtype=np.uint64))
    every = list(permutations(range(c), k))
    p = np.array([np.exp(law.log_prob(np.tile(slate, (draws, 1)))[0]) for slate in every])
    counts = np.array([(slates == slate).all(1).sum() for slate in every])
    assert counts.sum() == draws and not counts[p == 0].any()
    expected = p[p > 0] * draws / p.sum()
    assert len(expected) == 1 or stats.chisquare(counts[p > 0], expected).pvalue > 1e-3


@pytest.mark.parametrize("epsilon", [0.0, 0.4, 1.0])
@settings(max_examples=20, deadline=None)
@given(seeds=SEEDS, seed=st.integers(0, 2**32 - 1), c=st.integers(1, 6), wider=st.integers(0, 30))
def test_candidates_behind_the_last_change_nothing(
    epsilon: float, seeds: np.ndarray, seed: int, c: int, wider: int
) -> None:
    rng, k = np.random.default_rng(seed), 3
    scores, mask = rng.standard_normal((N, c)), masks(rng, c) if c > 1 else np.ones((N, 1), bool)

    def law(more: int) -> Mixture:
        there, own = np.pad(mask, ((0, 0), (0, more))), np.pad(scores, ((0, 0), (0, more)))
        return Mixture([epsilon, 1 - epsilon], [Uniform(N, c + more, k, there), PlackettLuceSlates(own, k, 1.0, there)])

    np.testing.assert_array_equal(law(0).sample_seeded(seeds), law(wider).sample_seeded(seeds))


def test_an_absent_mask_is_one_of_ones() -> None:
    seeds = np.arange(200, dtype=np.uint64)
    bare, masked = (Uniform(200, 5, 3, mask) for mask in (None, np.ones((200, 5), bool)))
    np.testing.assert_array_equal(bare.sample_seeded(seeds), masked.sample_seeded(seeds))


def test_the_hash_is_splitmix64_s() -> None:
    """The reference implementation's first outputs from the state 1234567."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert bits(np.array([1234567], np.uint64), 4)[0].tolist() == expected
    ends = uniforms(np.array([0, 2**64 - 1], np.uint64))
    assert ends.min() > 0 and ends.max() < 1


def test_neighbouring_seeds_are_unrelated() -> None:
    numbers = uniforms(bits(np.arange(20_000, dtype=np.uint64), 3))
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.03
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.03
