"""Intervals of means: against SciPy's own, and by how often they cover the truth; joint scores of several seeds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys_cli.evaluation.statistics import Interval, joint_score, mean_interval, paired_difference


@pytest.mark.parametrize(("size", "level"), [(2, 0.95), (5, 0.95), (400, 0.95), (30, 0.8)])
def test_is_the_t_interval(size: int, level: float) -> None:
    sample = np.random.default_rng(size).gamma(2.0, 3.0, size)
    low, high = stats.ttest_1samp(sample, 0).confidence_interval(level)
    interval = mean_interval(sample, level)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((sample.mean(), low, high))
    assert interval.n == size


def test_covers_the_true_mean_as_often_as_it_says() -> None:
    samples = np.random.default_rng(0).normal(7.0, 3.0, (4000, 5))
    intervals = [mean_interval(sample) for sample in samples]
    coverage = np.mean([interval.low <= 7.0 <= interval.high for interval in intervals])
    assert coverage == pytest.approx(0.95, abs=0.01)  # three standard errors


def test_a_single_value_has_no_width() -> None:
    interval = mean_interval([3.5])
    assert interval == Interval(3.5, 3.5, 3.5, 1)
    assert str(interval) == "3.5"


def test_reads_as_mean_and_half_width() -> None:
    assert str(Interval(10.0, 9.5, 10.5, 4)) == "10.0 ± 0.5"


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.randoms())
def test_joint_scores_lie_between_the_ends_whatever_the_order(values: list[float], random: Any) -> None:
    shuffled = random.sample(values, len(values))
    for how in ("mean", "iqm"):
        score = joint_score(values, how)
        assert min(values) - 1e-9 <= score <= max(values) + 1e-9
        assert joint_score(shuffled, how) == pytest.approx(score)


def test_the_middle_half_leaves_outliers_out() -> None:
    assert joint_score([0, 1, 2, 1000], "iqm") == pytest.approx(1.5)
    assert joint_score([1, 2, 3, 4, 5, 6, 7, 8], "iqm") == pytest.approx(4.5)
    assert joint_score([0, 10, 100], "iqm") == pytest.approx((0 / 12 + 10 / 3 + 100 / 12) / 0.5)
    assert joint_score([0, 1, 2, 1000], "mean") == pytest.approx(250.75)
    assert math.isnan(joint_score([1.0, math.nan], "iqm"))


def test_differences_on_the_same_users_are_narrower_than_two_intervals() -> None:
    users = np.random.default_rng(0).normal(100, 20, 500)
    ours, theirs = users + 3 + np.random.default_rng(1).normal(0, 1, 500), users
    difference = paired_difference(ours, theirs)
    assert difference.low < 3 < difference.high and difference.n == 500
    assert difference.half_width < 0.1 < 1 < mean_interval(ours).half_width
    assert paired_difference(theirs, ours).mean == pytest.approx(-difference.mean)
