"""What a run reserves, and what the machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recsys_cli.config import resources as module
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.resources import ResourcesConfig, check_resources, machine_cpus, machine_gpus
from recsys_cli.config.structured import load


def _laptop(**changed: Any) -> ResourcesConfig:
    resources: ResourcesConfig = load("resources", "laptop", **changed)
    return resources


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that pretends a number of CPUs and GPUs."""

    def pretend(cpus: int, gpus: int) -> None:
        monkeypatch.setattr(module, "machine_cpus", lambda: cpus)
        monkeypatch.setattr(module, "machine_gpus", lambda: gpus)

    return pretend


@pytest.mark.parametrize(
    ("asked", "cpus", "gpus"),
    [
        ({}, 1, 0),
        ({"env_runners": 4, "evaluation_runners": 1}, 6, 0),
        ({"learners": 2, "gpus_per_learner": 1}, 3, 2),
        ({"learners": 0, "gpus_per_learner": 0.5}, 1, 0.5),
    ],
)
def test_what_a_trial_reserves(asked: dict[str, Any], cpus: int, gpus: float) -> None:
    resources = _laptop(**asked)
    assert (resources.cpus_per_trial(), resources.gpus_per_trial()) == (cpus, gpus)
    assert resources.cpus_per_trial(2) == 2 * cpus - 1  # one process trains both seeds
    assert resources.gpus_per_trial(2) == gpus * (2 if resources.learners else 1)


@pytest.mark.parametrize(
    ("asked", "seeds", "cpus"),
    [
        ({}, 1, 8),
        ({"num_cpus": 3}, 1, 3),
        ({"concurrent_trials": 2}, 1, 2),
        ({"concurrent_trials": 2, "env_runners": 1}, 1, 4),
        ({"concurrent_trials": 2, "env_runners": 1}, 2, 6),
        ({"concurrent_trials": 20}, 1, 8),
    ],
)
def test_trials_at_the_same_time_bound_a_local_ray(machine: Any, asked: dict[str, Any], seeds: int, cpus: int) -> None:
    machine(8, 0)
    assert _laptop(**asked).local_cpus(seeds) == cpus


@pytest.mark.parametrize(
    ("cpus", "gpus", "asked"),
    [
        (1, 0, {}),
        (5, 0, {"env_runners": 4}),
        (8, 0, {"env_runners": 3, "concurrent_trials": 2, "num_cpus": 8}),
        (2, 2, {"gpus_per_learner": 2}),
        (1, 0, {"env_runners": 500, "gpus_per_learner": 4, "ray_address": "auto"}),  # the cluster will check
    ],
)
def test_what_is_there_is_granted(machine: Any, cpus: int, gpus: int, asked: dict[str, Any]) -> None:
    machine(cpus, gpus)
    check_resources(_laptop(**asked), load("framework", "torch"))


@pytest.mark.parametrize(
    ("cpus", "gpus", "asked", "key"),
    [
        (4, 0, {"env_runners": 4}, "resources.env_runners=4"),
        (4, 0, {"learners": 2, "evaluation_runners": 2}, "resources.evaluation_runners=2, resources.learners=2"),
        (4, 0, {"num_cpus": 5}, "resources.num_cpus=5"),
        (4, 0, {"num_cpus": 2, "env_runners": 2}, "resources.num_cpus=2"),
        (4, 0, {"env_runners": 1, "concurrent_trials": 3}, "resources.concurrent_trials=3"),
        (4, 1, {"learners": 2, "gpus_per_learner": 1}, "resources.gpus_per_learner=1 with resources.learners=2"),
        (4, 0, {"gpus_per_learner": 0.25}, "resources.gpus_per_learner=0.25"),
    ],
)
def test_what_is_not_there_is_refused(machine: Any, cpus: int, gpus: int, asked: dict[str, Any], key: str) -> None:
    machine(cpus, gpus)
    with pytest.raises(ConfigError, match=key):
        check_resources(_laptop(**asked), load("framework", "torch"))


def test_defaults_fit_two_cores(machine: Any) -> None:
    machine(2, 0)
    check_resources(load("resources", "laptop"), load("framework", "torch"))


def test_compiling_needs_a_compiler_and_python_s_headers(
    machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(1, 0)
    compiler, include = tmp_path / "compiler", tmp_path / "include"
    monkeypatch.setattr(module.sysconfig, "get_path", lambda name: str(include))
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(ConfigError, match=f"there is no {compiler} on the PATH.*set framework=torch"):
        check_resources(_laptop(), load("framework", "torch_compile"))
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    with pytest.raises(ConfigError, match=f"there is no {include}/Python.h"):
        check_resources(_laptop(), load("framework", "torch_compile"))
    include.mkdir()
    (include / "Python.h").touch()
    check_resources(_laptop(), load("framework", "torch_compile"))


def test_without_compiling_no_compiler_is_needed(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(1, 0)
    monkeypatch.setenv("CXX", "/nowhere/g++")
    check_resources(_laptop(), load("framework", "torch"))
    check_resources(_laptop(ray_address="auto"), load("framework", "torch_compile"))  # the cluster will check


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, 1 << 30),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1 << 30),
        ({}, 1 << 30),
    ],
)
def test_the_quota_of_a_container_counts(tmp_path: Path, files: dict[str, str], cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert module._quota_cpus(tmp_path) == cpus


def test_cpus_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 5}, raising=False)
    monkeypatch.setattr(module, "_quota_cpus", lambda: 2)
    assert machine_cpus() == 2
    monkeypatch.setattr(module, "_quota_cpus", lambda: 1 << 30)
    assert machine_cpus() == 3


@pytest.mark.parametrize(("visible", "gpus"), [(None, 4), ("0,1", 2), ("", 0), ("-1", 0), ("GPU-aa,GPU-bb", 2)])
def test_hidden_gpus_do_not_count(monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: int) -> None:
    monkeypatch.setattr(module, "_driver_gpus", lambda: 4)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine_gpus() == gpus


def test_gpus_are_counted_by_the_driver_s_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-1)'\necho 'GPU 1: H200 (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert module._nvidia_smi_gpus() == 2
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    assert module._nvidia_smi_gpus() == 0
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert module._nvidia_smi_gpus() == 0
