"""Starting Ray on a machine that is busy."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import ray

from recsys_cli.config.structured import load
from recsys_cli.runs import QUIET
from recsys_cli.runs.session import _local, start
from recsys_cli.runs.tune import trial_resources

LATE = "The current node timed out during startup. This could happen because the GCS has become overloaded."


@pytest.mark.parametrize(("failures", "starts"), [([], 1), ([LATE], 2), ([LATE, LATE], 3)])
def test_a_late_start_is_tried_again(monkeypatch: pytest.MonkeyPatch, failures: list[str], starts: int) -> None:
    seen, ended = [], []

    def init(**arguments: object) -> None:
        seen.append(arguments)
        if len(seen) <= len(failures):
            raise Exception(failures[len(seen) - 1])

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: ended.append(True))
    start({"address": "local"})
    assert seen == [{"address": "local"}] * starts
    assert len(ended) == starts - 1


@pytest.mark.parametrize("message", [LATE, "something else"])
def test_what_does_not_help_is_raised(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    seen = []

    def init(**arguments: object) -> None:
        seen.append(arguments)
        raise Exception(message)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(Exception, match=message[:20]):
        start({})
    assert len(seen) == (3 if message == LATE else 1)


def test_ray_is_told_to_be_quiet_before_it_is_imported() -> None:
    # Where `uv run` started the command, Ray would otherwise start its workers by it too, and fail in other folders.
    code = "import recsys_cli.runs.callbacks, ray; print(ray._private.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV)"
    environ = {name: value for name, value in os.environ.items() if name not in QUIET}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_local_ray_has_the_cpus_of_the_trials_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 8)
    resources = load("resources", "laptop", env_runners=1, concurrent_trials=1)
    assert [_local(resources, seeds)["num_cpus"] for seeds in (1, 2)] == [2, 3]
    for seeds in (1, 2):
        reserved = trial_resources(resources, seeds).bundles
        assert sum(bundle["CPU"] for bundle in reserved) == resources.cpus_per_trial(seeds)
