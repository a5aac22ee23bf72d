"""What several folders share: a quiet local Ray, and comparing states."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import pytest

import recsys_cli.runs  # noqa: F401  # sets what Ray reads as it is imported
from recsys_cli.config import compose, folders
from recsys_cli.config.paths import conf_dir

# Two pytest workers share the cores: more threads than one each only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where bytecode may not be kept, as in many containers, every process that a test starts would compile the thousands of
# modules of Ray and torch anew: half of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Plans of oracles: found once for all workers, which inherit the variable, and not in the cache of who runs the tests.
if "RECSYS_CACHE_DIR" not in os.environ:
    os.environ["RECSYS_CACHE_DIR"] = tempfile.mkdtemp(prefix="recsys-cache-")
    atexit.register(shutil.rmtree, os.environ["RECSYS_CACHE_DIR"], ignore_errors=True)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over the half million objects of Ray, torch and the tests: they stay."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def our_options_are_composed_once() -> Iterator[None]:
    """Keep what Hydra made of the same options: a tenth of a second each time, and a thousand tests compose.

    Where a test has options of its own, it composes them.
    """
    original = compose._compose_groups

    @cache
    def kept(root: str, *options: tuple[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
        return original(root, dict(options))

    def composed(root: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        own = folders.named() or compose.conf_dir() != conf_dir()
        if own or not all(isinstance(option, str) for option in options.values()):
            return original(root, options)
        return deepcopy(kept(root, *options.items()))

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(compose, "_compose_groups", composed)
        yield


@pytest.fixture(scope="session")
def ray_of() -> Iterator[Callable[[int], None]]:
    """A function that sees to it that a Ray of so many CPUs stands; it is gone after the session."""
    import ray

    from recsys_cli.runs.local_ray import start

    def stand(cpus: int) -> None:
        if ray.is_initialized() and ray.cluster_resources()["CPU"] != cpus:
            ray.shutdown()
        if not ray.is_initialized():
            start(cpus, workers=min(cpus, 2))

    yield stand
    ray.shutdown()


@pytest.fixture(scope="module")
def local_ray(ray_of: Callable[[int], None]) -> None:
    """A Ray that grants eight CPUs, whatever there are; tests that use it share the `xdist_group` "ray"."""
    ray_of(8)


@pytest.fixture
def no_ray() -> Iterator[None]:
    """RLlib without a Ray, for trainings whose runner and learner are in this process: any worker may run them."""
    from recsys_cli.runs.inline import without_ray

    with without_ray():
        yield


@pytest.fixture(scope="module")
def one_cpu_ray(ray_of: Callable[[int], None]) -> None:
    """A Ray of one CPU, for the `xdist_group` "sweeps": trials take turns in one process, for each takes seconds."""
    ray_of(1)


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
