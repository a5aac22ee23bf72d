"""Every slate once."""

from __future__ import annotations

import pytest

from recsys_cli.slates.counting import count_slates
from recsys_cli.slates.enumeration import all_slates


@pytest.mark.parametrize(("c", "k"), [(1, 1), (5, 2), (6, 6), (7, 3)])
@pytest.mark.parametrize("ordered", [True, False])
def test_every_slate_is_there_once(c: int, k: int, ordered: bool) -> None:
    slates = [tuple(slate) for slate in all_slates(c, k, ordered).tolist()]
    assert len(slates) == count_slates(c, k, ordered) == len(set(slates if ordered else map(frozenset, slates)))
    assert all(len(set(slate)) == k and set(slate) <= set(range(c)) for slate in slates)
