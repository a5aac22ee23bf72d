"""What several folders share: a quiet local Ray, and comparing states."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from recsys_cli.tuning.session import QUIET

# Two pytest workers share the cores: more threads than one each only get in each other's way.
for name, value in {**QUIET, "OMP_NUM_THREADS": "1"}.items():
    os.environ.setdefault(name, value)
# Where bytecode may not be kept, as in many containers, every process that a test starts would compile the thousands of
# modules of Ray and torch anew: half of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of two CPUs, gone after the session; tests that use it share one `xdist_group("ray")`."""
    import ray

    for attempts_left in (2, 1, 0):
        try:
            ray.init(
                address="local",
                num_cpus=2,
                num_gpus=0,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
            break
        except Exception:  # on a crowded machine Ray's processes may miss their own start-up deadlines
            ray.shutdown()
            if not attempts_left:
                raise
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def assert_same() -> Callable[[Any, Any], None]:
    """A function that fails where two nested states differ in a single bit, and says where."""
    return _assert_same


def _assert_same(one: Any, other: Any, at: str = "state") -> None:
    if isinstance(one, Mapping):
        assert set(one) == set(other), f"{at} has other keys"
        for key in one:
            _assert_same(one[key], other[key], f"{at}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), f"{at} has another length"
        for i, (left, right) in enumerate(zip(one, other, strict=True)):
            _assert_same(left, right, f"{at}[{i}]")
    elif hasattr(one, "shape"):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=at)
    else:
        assert one == other, f"{at}: {one} and {other}"
