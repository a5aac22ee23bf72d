"""Distributions of users in parts: each user's is that of the own part."""

from __future__ import annotations

import numpy as np

from recsys_cli.slates.distributions import Certain, Parted, PlackettLuceSlates, Uniform
from recsys_cli.slates.distributions.base import SlateDistribution
from recsys_cli.slates.seeded import Seeds

C, K = 5, 2
ROWS = (np.array([4, 0, 2]), np.array([1, 3]))


def parts() -> tuple[SlateDistribution, SlateDistribution]:
    rng = np.random.default_rng(0)
    mask = np.ones((2, C), bool)
    mask[1, 1:] = False  # one candidate
    return PlackettLuceSlates(rng.normal(size=(3, C)), K, 1.0), Uniform(2, C, K, mask)


def test_every_user_has_the_own_part_s_distribution() -> None:
    laws = parts()
    law = Parted(list(zip(ROWS, laws, strict=True)))
    slates = law.sample(np.random.default_rng(1))
    assert law.num_users == 5 and law.exact and law.possible(slates).all() and slates[3].tolist() == [0, -1]
    for rows, part in zip(ROWS, laws, strict=True):
        np.testing.assert_array_equal(law.log_prob(slates)[rows], part.log_prob(slates[rows]))
        np.testing.assert_array_equal(law.position_log_prob(slates)[rows], part.position_log_prob(slates[rows]))
        np.testing.assert_array_equal(law.position_probs()[rows], part.position_probs())
        np.testing.assert_array_equal(law.mode()[rows], part.mode())
        np.testing.assert_array_equal(law.standard_error(slates)[rows], part.standard_error(slates[rows]))


def test_some_users_are_taken_in_the_order_asked_for() -> None:
    law = Parted(list(zip(ROWS, parts(), strict=True)))
    slates = law.sample(np.random.default_rng(1))
    for asked in (np.array([3, 2, 4]), np.array([1])):
        taken = law.take(asked)
        assert taken.num_users == len(asked)
        np.testing.assert_array_equal(taken.log_prob(slates[asked]), law.log_prob(slates)[asked])
        np.testing.assert_array_equal(taken.mode(), law.mode()[asked])


def test_a_user_s_seed_decides_alone() -> None:
    law = Parted(list(zip(ROWS, parts(), strict=True)))
    seeds: Seeds = np.arange(5, dtype=np.uint64)
    whole = law.sample_seeded(seeds)
    asked = np.array([2, 1])
    np.testing.assert_array_equal(law.take(asked).sample_seeded(seeds[asked]), whole[asked])


def test_kinds_are_named_once() -> None:
    certain = Certain(np.array([[0, 1]]), C)
    alike = Parted([(np.array([0]), certain), (np.array([1]), certain)])
    assert alike.kind == certain.kind
    mixed = Parted([(np.array([0]), certain), (np.array([1]), Uniform(1, C, K))])
    assert mixed.kind == f"{certain.kind} and {Uniform(1, C, K).kind}"
