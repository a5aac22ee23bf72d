"""Records of a log as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_cli.serving.log.records import DecisionRecord, unpack


def candidates_of(decisions: Sequence[DecisionRecord], features: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the candidates' features `[N, C, F]`, 0 behind a row's last, and which could be shown, `[N, C]`."""
    counts = np.array([len(decision.ids) for decision in decisions])
    mask = np.arange(counts.max(initial=1)) < counts[:, None]
    doc = np.zeros((*mask.shape, features), np.float32)
    doc[mask] = unpack(b"".join(decision.doc for decision in decisions)).reshape(-1, features)
    excluded = [decision.excluded for decision in decisions]
    rows = np.repeat(np.arange(len(decisions)), [len(each) for each in excluded])
    mask[rows, np.fromiter(chain.from_iterable(excluded), np.int64)] = False
    return doc, mask


def users_of(decisions: Sequence[DecisionRecord]) -> NDArray[np.float32]:
    """Return the users' features, `[N, U]`."""
    return np.array([decision.user for decision in decisions], np.float32).reshape(len(decisions), -1)


def ragged(values: Sequence[Sequence[Any]], width: int, fill: float, dtype: Any) -> NDArray[Any]:
    """Return lists as an array `[N, width]`, filled up behind each one's end; None becomes nan."""
    there = np.arange(width) < np.array([len(each) for each in values])[:, None]
    array = np.full(there.shape, fill, dtype)
    array[there] = np.array(list(chain.from_iterable(values)), np.float64)
    return array
