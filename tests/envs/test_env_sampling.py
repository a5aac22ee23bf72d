"""Draws, slates and recycled memory."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector.utils import batch_space
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from recsys_cli.envs import sampling
from recsys_cli.envs.recycling import RecycledArrays
from recsys_cli.envs.sampling import (
    STEPS_AHEAD,
    Ahead,
    LogNormalDocuments,
    OneHot,
    UniformTopics,
    draw_topics,
    normal,
    uniform,
)
from recsys_cli.envs.slate_space import SlateSpace, repeats

MIN_P = 1e-5


@pytest.mark.parametrize("num_topics", [2, 7, 20, 22, 23, 33, 256, 300, 600])
def test_topics_are_uniform_and_independent(num_topics: int) -> None:
    topics = UniformTopics(num_topics).draw(np.random.default_rng(0), 200_001).astype(int)
    assert topics.shape == (200_001,)
    assert chisquare(np.bincount(topics, minlength=num_topics)).pvalue > MIN_P
    for lag in (1, 2, 3, 4):
        sums = np.bincount((topics[lag:] + topics[:-lag]) % num_topics, minlength=num_topics)
        assert chisquare(sums).pvalue > MIN_P


@pytest.mark.parametrize("size", [1001, 5001, 300_001])
def test_numbers_are_uniform_and_normal_and_independent(size: int) -> None:
    rng = np.random.Generator(np.random.SFC64(0))
    numbers, noise = uniform(rng, size), normal(rng, size)
    assert numbers.shape == noise.shape == (size,) and numbers.dtype == noise.dtype == np.float32
    assert numbers.min() >= 0 and numbers.max() < 1
    assert kstest(numbers, "uniform").pvalue > MIN_P
    assert kstest(noise, "norm").pvalue > MIN_P
    for lag in (1, (min(size, sampling.BLOCK) + 1) // 2):  # the second: of the two numbers of a pair
        assert kstest((numbers[lag:] + numbers[:-lag]) % 1, "uniform").pvalue > MIN_P
        assert kstest((noise[lag:] + noise[:-lag]) / np.sqrt(2), "norm").pvalue > MIN_P
        assert kstest((noise[lag:] - noise[:-lag]) / np.sqrt(2), "norm").pvalue > MIN_P


def test_normal_numbers_have_tails() -> None:
    far = (np.abs(normal(np.random.default_rng(0), 2_000_000)) > 4).sum()
    assert 80 < far < 180  # 127 expected


def test_the_rarest_bits_give_finite_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array([0, 2**32 - 1], np.uint32)
    monkeypatch.setattr(sampling, "_words", lambda rng, size: np.resize(words, size))
    assert np.abs(normal(np.random.default_rng(0), 10_000)).max() < 6.8
    assert set(uniform(np.random.default_rng(0), 10_000).tolist()) == {0, 1 - 2**-24}


def test_numbers_drawn_ahead_are_those_drawn_at_once() -> None:
    ahead, rng = Ahead(uniform, 3, 5), np.random.default_rng(0)
    first = [ahead.take(rng) for _ in range(STEPS_AHEAD)]
    assert (np.stack(first).ravel() == uniform(np.random.default_rng(0), STEPS_AHEAD * 15)).all()
    assert not (ahead.take(rng) == first[0]).any()
    ahead.clear()
    assert (ahead.take(np.random.default_rng(0)) == first[0]).all()


@settings(max_examples=40, deadline=None)
@example(20, 300, 100)  # beyond the cache
@example(20, 300, 80)
@given(st.integers(2, 3000), st.integers(1, 30), st.integers(1, 30))
def test_one_hot_rows(num_topics: int, users: int, candidates: int) -> None:
    topics = np.random.default_rng(0).integers(0, num_topics, (users, candidates), dtype=np.int16)
    out = np.full((users, candidates, num_topics), np.nan, np.float32)
    OneHot(num_topics).write(topics, out)
    assert (out == np.eye(num_topics)[topics.astype(int)]).all()


@pytest.mark.parametrize("topics", [2, 5, 40])
def test_topics_have_their_distribution(topics: int) -> None:
    weights = np.arange(1, topics + 1) / np.arange(1, topics + 1).sum()
    drawn = draw_topics(np.random.default_rng(0), np.cumsum(weights).astype(np.float32), 200_000)
    assert chisquare(np.bincount(drawn, minlength=topics), weights * 200_000).pvalue > MIN_P


def test_log_normal_documents() -> None:
    documents = LogNormalDocuments([0.3, 0.7], [0.5, -0.2], [0.1, 0.4])
    topics = documents.topics(np.random.default_rng(0), 50_000)
    quality = documents.quality(topics, normal(np.random.default_rng(1), 50_000))
    noise = (np.log(quality) - np.array([0.5, -0.2])[topics]) / np.array([0.1, 0.4])[topics]
    assert kstest(noise, "norm").pvalue > MIN_P
    out = np.empty((50_000, 3), np.float32)
    documents.features(topics, quality, out)
    assert (out[:, :2].argmax(axis=1) == topics).all()
    assert (out[:, :2].sum(axis=1) == 1).all()
    assert (out[:, 2] == quality).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.data())
def test_slate_space(candidates: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, candidates))
    space = SlateSpace(candidates, size, seed=1)
    many = batch_space(space, 7)
    slates = many.sample()
    assert slates in many
    assert slates.shape == (7, size)
    assert space.sample() in space
    assert not repeats(slates).any()
    if size > 1:
        slates[3, 0] = slates[3, -1]
        assert slates not in many
        assert repeats(slates).tolist() == [row == 3 for row in range(7)]
    assert np.full((7, size), candidates) not in many
    assert np.full((7, size), -1) not in many


def test_slate_space_draws_among_what_is_there() -> None:
    space = SlateSpace(5, 2, num_envs=3, seed=0, shorter=True)
    mask = np.array([[0, 1, 1, 0, 1], [0, 0, 0, 1, 0], [1, 1, 1, 1, 1]], bool)
    drawn = np.array([space.sample(mask) for _ in range(200)])
    assert set(drawn[:, 0].ravel()) == {1, 2, 4} and set(drawn[:, 2].ravel()) == set(range(5))
    assert (drawn[:, 1] == [3, -1]).all()
    with pytest.raises(ValueError, match="mask has 1 rows and must have 3"):
        space.sample(mask[0])
    with pytest.raises(ValueError, match="takes no probability"):
        space.sample(probability=mask)


def test_memory_is_reused_only_when_nobody_holds_it() -> None:
    memory = RecycledArrays((4, 5), np.float32)
    first = memory.take()
    address = first.__array_interface__["data"][0]
    second = memory.take()
    assert not np.shares_memory(first, second)
    part = first[1:, :2].T  # a view of a view
    del first
    third = memory.take()
    assert not np.shares_memory(third, part)
    buffer = memoryview(third)
    del third, part
    fourth = memory.take()
    assert fourth.__array_interface__["data"][0] == address
    assert not np.shares_memory(fourth, np.asarray(buffer))
    held = [memory.take() for _ in range(20)]
    assert len({array.__array_interface__["data"][0] for array in held}) == 20


def test_memory_that_torch_holds_is_not_reused() -> None:
    torch = pytest.importorskip("torch")
    memory = RecycledArrays((1000,), np.float32)
    tensor = torch.from_numpy(memory.take())
    tensor.fill_(1.0)
    for _ in range(3):
        memory.take()[:] = 0
    assert bool((tensor == 1).all())
