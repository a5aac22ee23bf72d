"""Means with intervals: against SciPy's own interval, and by how often they cover the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from recsys_cli.evaluation.statistics import Interval, mean_interval


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
