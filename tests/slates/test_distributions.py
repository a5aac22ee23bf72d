"""Distributions over slates: every question is answered as enumeration answers it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsys_cli.slates.distributions import (
    Certain,
    Deferred,
    DrawnOnly,
    EnumeratedSoftmax,
    Mixture,
    PlackettLuceSlates,
    SlateDistribution,
    Uniform,
    epsilon_mixture,
)
from recsys_cli.slates.enumeration import all_slates

N = 3
Make = Callable[[np.random.Generator, int, int, np.ndarray | None], SlateDistribution]


def certain(rng: np.random.Generator, c: int, k: int, mask: np.ndarray | None) -> SlateDistribution:
    return Certain(Uniform(N, c, k, mask).sample(rng), c, mask)


def uniform(rng: np.random.Generator, c: int, k: int, mask: np.ndarray | None) -> SlateDistribution:
    return Uniform(N, c, k, mask)


def plackett_luce(rng: np.random.Generator, c: int, k: int, mask: np.ndarray | None) -> SlateDistribution:
    return PlackettLuceSlates(3 * rng.standard_normal((N, c)), k, 2.0, mask)


def plackett_luce_of_tensors(rng: np.random.Generator, c: int, k: int, mask: np.ndarray | None) -> SlateDistribution:
    return PlackettLuceSlates(torch.from_numpy(3 * rng.standard_normal((N, c))), k, 2.0, mask)


def softmax(rng: np.random.Generator, c: int, k: int, mask: np.ndarray | None) -> SlateDistribution:
    slates = all_slates(c, min(k, c), True).numpy()
    return EnumeratedSoftmax(rng.standard_normal((N, len(slates))), slates, c, k, mask)


def softmax_of_sets(rng: np.random.Generator, c: int, k: int, mask: np.ndarray | None) -> SlateDistribution:
    """Only the first two documents count, in any order; the others are filled up."""
    slates = all_slates(c, min(k, c, 2), False).numpy()
    return EnumeratedSoftmax(torch.from_numpy(rng.standard_normal((N, len(slates)))), slates, c, k, mask=mask)


def router(rng: np.random.Generator, c: int, k: int, mask: np.ndarray | None) -> SlateDistribution:
    weights = rng.dirichlet(np.ones(3), N)
    return Mixture(weights, [make(rng, c, k, mask) for make in (certain, plackett_luce, softmax_of_sets)])


def deferred(rng: np.random.Generator, c: int, k: int, mask: np.ndarray | None) -> SlateDistribution:
    known = plackett_luce(rng, c, k, mask)
    return Deferred(lambda rows: known if rows is None else known.take(rows), N, c, k, mask)


SIMPLE: list[Make] = [certain, uniform, plackett_luce, plackett_luce_of_tensors, softmax, softmax_of_sets, deferred]
EXACT: list[Make] = [*SIMPLE, router]
SIZES = [(1, 1), (4, 1), (4, 2), (5, 3), (3, 3), (2, 3)]


def mixed(one: Make, other: Make, epsilon: float) -> Make:
    return lambda rng, c, k, mask: Mixture([epsilon, 1 - epsilon], [one(rng, c, k, mask), other(rng, c, k, mask)])


def masks(rng: np.random.Generator, c: int) -> np.ndarray:
    """Candidates that are there: at least one a user, and of the last user all but one."""
    mask = rng.random((N, c)) < 0.6
    mask[np.arange(N), rng.integers(0, c, N)] = True
    mask[-1] = np.arange(c) != (0 if c > 1 else 1)
    return mask


def every_slate(c: int, k: int) -> np.ndarray:
    """All ordered slates of up to k candidates, the shorter ones padded."""
    slates = [(*slate, *[-1] * (k - size)) for size in range(1, k + 1) for slate in permutations(range(c), size)]
    return np.array(slates)


def enumerated(law: SlateDistribution, slates: np.ndarray) -> np.ndarray:
    """Probabilities `[N, M]`."""
    each = [law.log_prob(np.broadcast_to(slate, (law.num_users, law.slate_size))) for slate in slates]
    return np.exp(np.stack(each, axis=1))


def check_all_answers(law: SlateDistribution, c: int, k: int) -> None:
    slates = every_slate(c, k)
    p = enumerated(law, slates)
    np.testing.assert_allclose(p.sum(1), 1)
    at = slates[:, :, None] == np.arange(c)
    np.testing.assert_allclose(law.position_probs(), np.tensordot(p, at.astype(float), 1), atol=1e-9)
    np.testing.assert_allclose(law.item_probs(), p @ at.any(1), atol=1e-9)
    mode = law.mode()
    assert mode.shape == (N, k)
    for i, slate in enumerate(slates):
        position = law.position_log_prob(np.broadcast_to(slate, (N, k)))
        with np.errstate(divide="ignore", invalid="ignore"):
            np.testing.assert_allclose(position.sum(1), np.log(p[:, i]), atol=1e-9)
            for place in range(k):
                prefix, before = (p[:, (slates[:, :end] == slate[:end]).all(1)].sum(1) for end in (place + 1, place))
                computed = np.where(before > 1e-12, prefix / before, 1.0)
                np.testing.assert_allclose(np.exp(position[:, place]), computed, atol=1e-7)
    some = np.array([2, 0])
    np.testing.assert_allclose(enumerated(law.take(some), slates), p[some], atol=1e-12)
    assert law.exact and not law.standard_error(mode).any()
    best = enumerated(law, mode)[np.arange(N), np.arange(N)]
    assert isinstance(law, Mixture) or (best >= p.max(1) - 1e-12).all()


@pytest.mark.parametrize("make", EXACT)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from(SIZES), masked=st.booleans())
def test_answers_are_those_of_enumeration(make: Make, seed: int, size: tuple[int, int], masked: bool) -> None:
    rng = np.random.default_rng(seed)
    check_all_answers(make(rng, *size, masks(rng, size[0]) if masked else None), *size)


@pytest.mark.parametrize(
    "pair", combinations_with_replacement(SIMPLE, 2), ids=lambda p: "-".join(f.__name__ for f in p)
)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), epsilon=st.sampled_from([0.0, 0.1, 0.5, 1.0]), masked=st.booleans())
def test_mixtures_of_all_pairs(pair: tuple[Make, Make], seed: int, epsilon: float, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    check_all_answers(mixed(*pair, epsilon)(rng, 4, 2, masks(rng, 4) if masked else None), 4, 2)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("make", [*EXACT, mixed(uniform, plackett_luce, 0.3)])
@pytest.mark.parametrize(("c", "k"), [(4, 2), (5, 3), (2, 3)])
def test_draws_agree_with_probabilities(make: Make, masked: bool, c: int, k: int) -> None:
    rng = np.random.default_rng(7 * c + k)
    law = make(rng, c, k, masks(rng, c) if masked else None)
    slates = every_slate(c, k)
    p, number = enumerated(law, slates), {tuple(slate): i for i, slate in enumerate(slates.tolist())}
    many, state = law.take(np.repeat(np.arange(N), 4000)), rng.bit_generator.state
    drawn = many.sample(rng).reshape(N, 4000, k)
    rng.bit_generator.state = state
    again, log_prob = many.draw(rng)
    np.testing.assert_array_equal(again.reshape(drawn.shape), drawn)
    np.testing.assert_allclose(log_prob, many.log_prob(again), atol=1e-12)
    assert drawn.dtype == np.int64
    for user in range(N):
        counts = np.bincount([number[tuple(slate)] for slate in drawn[user].tolist()], minlength=len(slates))
        likely = p[user] > 1e-3
        assert not counts[p[user] == 0].any()
        # The rare ones together; seeds are fixed, so that nothing flakes.
        seen, wanted = (np.append(of[likely], of[~likely].sum()) for of in (counts, 4000 * p[user]))
        seen, wanted = seen[wanted > 1e-9], wanted[wanted > 1e-9]
        assert len(seen) == 1 or stats.chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue > 1e-3


@pytest.mark.parametrize("make", EXACT)
@pytest.mark.parametrize(("c", "k"), [(6, 2), (5, 4), (1, 2)])
def test_slates_hold_what_is_there_and_no_more(make: Make, c: int, k: int) -> None:
    rng = np.random.default_rng(3)
    mask = masks(rng, c)
    law = make(rng, c, k, mask)
    for slates in (law.mode(), *(law.sample(rng) for _ in range(50))):
        for there, slate in zip(mask, slates.tolist(), strict=True):
            shown = [number for number in slate if number >= 0]
            assert len(shown) == min(k, there.sum()) == len(set(shown)) and there[shown].all()
            assert slate == shown + [-1] * (k - len(shown))
    assert (law.item_probs()[~mask] == 0).all()


@pytest.mark.parametrize("make", EXACT)
def test_numbers_that_name_no_candidate_are_impossible(make: Make) -> None:
    law = make(np.random.default_rng(0), 4, 2, None)
    for slate in ([0, 4], [9, 1], [-1, 0], [1, -1], [2, 2], [-7, 3]):
        assert np.isneginf(law.log_prob(np.tile(slate, (N, 1)))).all()


def test_a_certain_slate_holds_nothing_that_is_not_there() -> None:
    mask = np.array([[True, False, True]])
    for slates in ([[0, 1]], [[0, -1]]):
        with pytest.raises(ValueError, match="masked candidate"):
            Certain(np.array(slates), 3, mask)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_marginals_of_sharp_scores_do_not_cancel(dtype: torch.dtype) -> None:
    scores = torch.tensor([[0.0, 300.0, -300.0, 299.0, 1.0, -1.0], [1e4, 0, 0, 0, -1e4, 0]], dtype=dtype)
    p = PlackettLuceSlates(scores, 3).item_probs()
    np.testing.assert_allclose(p.sum(1), 3, atol=1e-10)
    a, b, c = np.exp([0.0, 1.0, -1.0]) / np.exp([0.0, 1.0, -1.0]).sum()  # who is third in the first row
    np.testing.assert_allclose(p[0], [a, 1, 0, 1, b, c], atol=1e-10)
    np.testing.assert_allclose(p[1], [1, 0.5, 0.5, 0.5, 0, 0.5], atol=1e-10)


def test_a_mixture_s_factor_is_a_ratio_of_prefixes_and_no_mixture_of_factors() -> None:
    law = epsilon_mixture(0.1, Certain(np.array([[0, 1]]), 3))
    np.testing.assert_allclose(np.exp(law.position_log_prob(np.array([[1, 0]]))), [[0.1 / 3, 0.5]])
    np.testing.assert_allclose(
        np.exp(law.position_log_prob(np.array([[0, 1]]))), [[0.9 + 0.1 / 3, (0.9 + 0.1 / 6) / (0.9 + 0.1 / 3)]]
    )


def test_users_with_a_uniform_slate_are_not_computed() -> None:
    asked: list[np.ndarray] = []

    def make(rows: np.ndarray) -> SlateDistribution:
        asked.append(rows)
        return Certain(np.tile([0, 1, 2], (len(rows), 1)), 6)

    rng = np.random.Generator(np.random.SFC64(0))
    law = epsilon_mixture(0.5, Deferred(make, 200, 6, 3))
    slates = law.sample(rng)
    (rows,) = asked
    assert 60 < len(rows) < 140 and (slates[rows] == [0, 1, 2]).all()
    assert (np.delete(slates, rows, axis=0) != [0, 1, 2]).any(1).mean() > 0.9
    epsilon_mixture(1.0, Deferred(make, 200, 6, 3)).log_prob(slates)
    assert len(asked) == 1
    twice = Deferred(make, 200, 6, 3).take(np.arange(100, 200)).take(np.array([5]))
    assert twice.mode().tolist() == [[0, 1, 2]] and asked[-1].tolist() == [105]


def test_draws_estimate_within_their_standard_error() -> None:
    known = PlackettLuceSlates(np.random.default_rng(1).standard_normal((N, 4)), 2)
    law = DrawnOnly(lambda rows, rng: (known if rows is None else known.take(rows)).sample(rng), N, 4, 2, draws=4000)
    slates = every_slate(4, 2)[4:]
    p = enumerated(known, slates)
    for i, slate in enumerate(slates):
        shown = np.tile(slate, (N, 1))
        error = law.standard_error(shown)
        assert (error > 0).all() and (np.abs(np.exp(law.log_prob(shown)) - p[:, i]) < 4 * error).all()
        np.testing.assert_allclose(law.position_log_prob(shown).sum(1), law.log_prob(shown))
    np.testing.assert_allclose(law.position_probs(), known.position_probs(), atol=0.04)
    np.testing.assert_allclose(enumerated(law, slates).sum(1), 1)
    assert not law.exact and not epsilon_mixture(0.1, law).exact and epsilon_mixture(1.0, law).exact
    assert (epsilon_mixture(0.5, law).standard_error(shown) == 0.5 * error).all()
    never = np.tile([1, 1], (N, 1))
    assert np.isneginf(law.log_prob(never)).all() and (law.standard_error(never) > 0).all()
    assert law.take(np.array([1])).sample(np.random.default_rng(0)).shape == (1, 2)
    assert (law.mode() == slates[p.argmax(1)]).mean() > 0.5


@pytest.mark.parametrize("weights", [[0.5, 0.6], [-0.1, 1.1], [1.0], [[0.5, 0.5]]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"mixture's weights|weights of shape"):
        Mixture(weights, [Uniform(N, 4, 2), Uniform(N, 4, 2)])


@pytest.mark.parametrize("masked", [False, True])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), c=st.integers(1, 60), k=st.integers(1, 4), scale=st.sampled_from([0.1, 3, 300]))
def test_arrays_and_tensors_of_scores_are_one_distribution(
    masked: bool, seed: int, c: int, k: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    scores, mask = scale * rng.standard_normal((N, c)), masks(rng, c) if masked and c > 1 else None
    arrays, tensors = (PlackettLuceSlates(of, k, 1.0, mask) for of in (scores, torch.from_numpy(scores)))
    np.testing.assert_array_equal(arrays.mode(), tensors.mode())
    slates = arrays.sample(np.random.default_rng(seed))
    np.testing.assert_array_equal(slates, tensors.sample(np.random.default_rng(seed)))
    for shown in (slates, slates[:, ::-1], rng.integers(-1, c + 1, slates.shape)):
        np.testing.assert_allclose(arrays.prefix_log_prob(shown), tensors.prefix_log_prob(shown), atol=1e-9)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("make", EXACT)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from(SIZES))
def test_a_user_alone_gets_the_same_answers(make: Make, masked: bool, seed: int, size: tuple[int, int]) -> None:
    rng, (c, k) = np.random.default_rng(seed), size
    law = make(rng, c, k, masks(rng, c) if masked and c > 1 else None)
    some = [law.mode(), law.sample(rng), *rng.integers(-2, c + 2, (4, N, k))]
    for slates in some:
        for row in range(N):
            alone, own = law.take(np.array([row])), slates[[row]]
            np.testing.assert_array_equal(alone.possible(own), law.possible(slates)[[row]])
            for asked in ("prefix_log_prob", "position_log_prob", "log_prob"):
                expected = getattr(law, asked)(slates)[[row]]
                np.testing.assert_allclose(getattr(alone, asked)(own), expected, rtol=1e-6, atol=1e-12)
