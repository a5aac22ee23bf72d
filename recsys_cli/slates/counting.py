"""How many slates there are."""

from __future__ import annotations

import math


def count_slates(num_candidates: int, slate_size: int, ordered: bool) -> int:
    """Return the number of slates of different candidates; if order does not matter, each set counts once."""
    return (math.perm if ordered else math.comb)(num_candidates, slate_size)
