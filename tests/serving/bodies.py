"""Bodies of requests about interest evolution."""

from __future__ import annotations

from typing import Any

import numpy as np

TOPICS = 20


def rank_body(candidates: int = 5, **changes: Any) -> dict[str, Any]:
    """Return a sound request with candidates `d0`, `d1`, ..."""
    rng = np.random.default_rng(candidates)
    topics = np.eye(TOPICS)[rng.integers(TOPICS, size=candidates)]
    documents = [{"id": f"d{i}", "features": row.tolist()} for i, row in enumerate(topics)]
    return {"user": rng.uniform(-1, 1, TOPICS).tolist(), "candidates": documents, **changes}
