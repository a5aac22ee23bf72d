"""Two-sample comparisons with recsim: fixed thresholds, wide enough that fixed seeds cannot meet them by chance."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstest, norm

MAX_Z = 4.5
MIN_P = 1e-5


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return mean, variance and count; counts by topic come as `[2, T]` already."""
    if values.ndim == 2:
        return values[0], values[1], 0
    values = values[np.isfinite(values)].astype(np.float64)
    return values.mean(), values.var(), values.size


def compare(ours: dict[str, np.ndarray], recsim: dict[str, np.ndarray]) -> list[str]:
    """Return the differences between two sets of episodes' statistics, in words; empty if equal in distribution."""
    assert ours.keys() == recsim.keys()
    found = []
    counts = [values["return"].size for values in (ours, recsim)]
    for key in ours:
        (mean_a, var_a, n_a), (mean_b, var_b, n_b) = moments(ours[key]), moments(recsim[key])
        error = np.sqrt(var_a / (n_a or counts[0]) + var_b / (n_b or counts[1]))
        # 1e-6: float32 against float64 where there is no variance at all (an episode's fixed length).
        z = np.abs(mean_a - mean_b) / (error + 1e-6 * (1 + np.abs(mean_b)))
        if np.max(z) > MAX_Z:
            found.append(f"{key}: means {mean_a} and {mean_b}, |z| {np.max(z):.1f}")
        if ours[key].ndim == 1 and np.ptp(recsim[key]) > 0:
            p = kstest(ours[key][np.isfinite(ours[key])], recsim[key][np.isfinite(recsim[key])]).pvalue
            if p < MIN_P:
                found.append(f"{key}: Kolmogorov-Smirnov p = {p:.1e}")
    return found


def assert_standard_normal(values: np.ndarray, what: str) -> None:
    """Fail unless `values` look like independent draws from N(0, 1)."""
    n = values.size
    assert abs(values.mean()) * np.sqrt(n) < MAX_Z, f"{what}: mean {values.mean()}"
    assert abs(np.square(values).mean() - 1) * np.sqrt(n / 2) < MAX_Z, f"{what}: variance {np.square(values).mean()}"
    assert kstest(values, norm.cdf).pvalue > MIN_P, what


def assert_calibrated(happened: np.ndarray, probability: np.ndarray, what: str) -> None:
    """Fail unless independent events `happened` with the given probabilities, summed over all of them."""
    z = (happened - probability).sum() / np.sqrt((probability * (1 - probability)).sum())
    assert abs(z) < MAX_Z, f"{what}: {happened.sum()} of an expected {probability.sum():.1f}, z {z:.1f}"
