"""A run's framework, processes and GPUs, checked against the machine before Ray starts."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import AtLeast, Cap, Count, Processes


@dataclass(frozen=True)
class FrameworkConfig:
    """The deep-learning framework (`conf/framework`); `resources.gpus_per_learner` decides where it computes."""

    name: Literal["torch", "torch_compile"]

    @property
    def compiled(self) -> bool:
        """Whether gradient steps are compiled."""
        return self.name == "torch_compile"


@dataclass(frozen=True)
class ResourcesConfig:
    """Processes, threads, GPUs and the Ray cluster (`conf/resources`)."""

    inline: bool
    env_runners: Processes
    users_per_runner: Count
    evaluation_runners: Processes
    learners: Processes
    gpus_per_learner: Annotated[float, AtLeast(0), Cap(1_000)]
    threads: Annotated[int, AtLeast(1), Cap(10_000)]
    concurrent_trials: Annotated[int, AtLeast(1), Cap(100_000)] | None
    ray_address: str | None
    ship_code: bool
    num_cpus: Annotated[int, AtLeast(1), Cap(100_000)] | None

    def cpus_per_trial(self, seeds: int = 1) -> int:
        """Return the CPUs of one trial: its own process, and each process started by its seeds' trainings."""
        return 1 + seeds * (self.env_runners + self.evaluation_runners + self.learners)

    def local_cpus(self, seeds: int = 1) -> int:
        """Return the CPUs of a local Ray: no more than the concurrent trials may take.

        This makes the limit strict. Tune's own would hold a scheduler's trials back until others have ended.
        """
        cpus = self.num_cpus or machine_cpus()
        return min(cpus, (self.concurrent_trials or cpus) * self.cpus_per_trial(seeds))

    def trials_at_once(self, seeds: int = 1) -> int | None:
        """Return how many trials train at the same time; None if a cluster decides."""
        if self.inline:
            return 1
        if self.ray_address is not None:
            return self.concurrent_trials
        return self.local_cpus(seeds) // self.cpus_per_trial(seeds)

    def gpus_per_trial(self, seeds: int = 1) -> float:
        """Return the GPUs of one trial, used by its own process if it has no learner processes."""
        return self.gpus_per_learner * (seeds * self.learners or 1)


def check_resources(resources: ResourcesConfig, framework: FrameworkConfig) -> None:
    """Refuse resources that this machine lacks; a Ray cluster (`ray_address`) is not checked.

    Raises:
        ConfigError: with the key, what it needs and what there is.
    """
    if framework.compiled and resources.learners > 1:
        raise ConfigError(
            f"framework=torch_compile compiles the steps of one learner, but resources.learners={resources.learners} "
            "average gradients within a step: set framework=torch, or resources.learners=1 or 0"
        )
    if resources.inline:
        _check_inline(resources)
    if resources.ray_address is None:
        if framework.compiled:
            _check_compiler()
        if resources.gpus_per_trial() > 0:  # first: a machine without any is the wrong machine
            _check_gpus(resources, machine_gpus())
        _check_cpus(resources, machine_cpus())


def _check_inline(resources: ResourcesConfig) -> None:
    """Refuse what only Ray can give."""
    for key in ("env_runners", "evaluation_runners", "learners", "ray_address", "concurrent_trials", "num_cpus"):
        if value := getattr(resources, key):
            raise ConfigError(
                f"resources.{key}={value}: resources=inline trains in this process alone, without Ray; leave the key "
                "out, or choose resources=laptop"
            )


def _check_compiler() -> None:
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")  # as torch._inductor looks
    if shutil.which(compiler) is None:
        raise ConfigError(
            f"framework=torch_compile needs a C++ compiler, and there is no {compiler} on the PATH (CXX may name "
            "another): install one, or set framework=torch"
        )
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        raise ConfigError(
            f"framework=torch_compile needs Python's headers, and there is no {header}: install the package that has "
            "them (python3-dev), or set framework=torch"
        )


def _check_cpus(resources: ResourcesConfig, there: int) -> None:
    allowed = resources.num_cpus
    if allowed is not None and allowed > there:
        raise ConfigError(f"resources.num_cpus={allowed}: this machine has {_count(there, 'CPU')}")
    cpus = there if allowed is None else allowed
    if resources.threads > there:
        raise ConfigError(f"resources.threads={resources.threads}: this machine has {_count(there, 'CPU')}")
    have = f"this machine has {_count(cpus, 'CPU')}" if allowed is None else f"resources.num_cpus={allowed}"
    needed = resources.cpus_per_trial()
    if needed > cpus:
        parts = ("env_runners", "evaluation_runners", "learners")
        asked = ", ".join(f"resources.{key}={getattr(resources, key)}" for key in parts if getattr(resources, key))
        raise ConfigError(f"{asked} with the training process need {needed} CPUs, {have}")
    at_once = resources.concurrent_trials
    if at_once is not None and at_once * needed > cpus:
        total = f"{at_once} x {_count(needed, 'CPU')}"
        raise ConfigError(f"resources.concurrent_trials={at_once} needs {total}, {have}; null takes as many as fit")


def _check_gpus(resources: ResourcesConfig, there: int) -> None:
    needed = resources.gpus_per_trial()
    if needed > there:
        asked = f"resources.gpus_per_learner={resources.gpus_per_learner:g}"
        if resources.learners > 1:
            asked += f" with resources.learners={resources.learners}"
        seen = f"{_count(there, 'GPU')} found" if there else "no GPU found"
        instead = "resources=laptop, or resources.gpus_per_learner=0"
        raise ConfigError(f"{asked}: {seen} on this machine; train on the CPU with {instead}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def machine_cpus() -> int:
    """Return the CPUs this process may use: its affinity, and the quota of its control group."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cpus = os.cpu_count() or 1
    return max(1, min(cpus, _quota_cpus()))


def _quota_cpus(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the CPUs of the control group's quota (version 2, then 1); a huge number without one."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text()
            period = (root / "cpu/cpu.cfs_period_us").read_text()
        return math.ceil(int(quota) / int(period)) if int(quota) > 0 else 1 << 30
    except (OSError, ValueError):  # no control groups here, or quota "max"
        return 1 << 30


def machine_gpus() -> int:
    """Return how many NVIDIA GPUs this process can see; asks the driver, since torch takes seconds."""
    there = _driver_gpus()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return there
    shown = [word for word in visible.split(",") if word.strip() not in ("", "-1", "NoDevFiles")]
    return min(there, len(shown))


def _driver_gpus() -> int:
    listed = Path("/proc/driver/nvidia/gpus")
    if listed.is_dir():
        return len(list(listed.iterdir()))
    return len(list(Path("/dev").glob("nvidia[0-9]*"))) or _nvidia_smi_gpus()


def _nvidia_smi_gpus() -> int:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
