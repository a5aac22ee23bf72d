"""The closest match."""

from __future__ import annotations

import pytest

from recsys_cli.config.errors import closest, nearest

KEYS = ["env", "env.num_candidates", "algo", "algo.lr", "algo.network.hidden", "seed", "seeds"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("env.num_candidate", "env.num_candidates"),
        ("num_candidates", "env.num_candidates"),
        ("num-candidates", "env.num_candidates"),
        ("ENV", "env"),
        ("algo.hidden", "algo.network.hidden"),
        ("sed", "seed"),
        ("xyz", None),
        ("", None),
    ],
)
def test_nearest(word: str, expected: str | None) -> None:
    assert nearest(word, KEYS) == expected


def test_closest_is_a_sentence_or_nothing() -> None:
    assert closest("sed", KEYS) == " Did you mean 'seed'?"
    assert closest("xyz", KEYS) == ""
