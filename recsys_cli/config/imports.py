"""Importing big libraries sooner."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Collect no garbage in this block: imports leave hardly any, and looking for it takes a seventh of their time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # classes and functions stay: no later collection need look at them
        if was:
            gc.enable()
