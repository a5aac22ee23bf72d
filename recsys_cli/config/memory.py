"""What a training or an evaluation must hold in memory at least, compared with the machine before it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from recsys_cli.config.errors import ConfigError

_EPISODE = 40  # bytes kept of one: return, length, clicks, watch time, quality
_LOCK_STEP_USERS = 1_000  # play at the same time, at least
_UNLIMITED = 1 << 60


def check_training(config: Any, at_once: int) -> None:
    """Refuse trainings that cannot fit.

    Args:
        config: of a run.
        at_once: its trainings at the same time on this machine.

    Raises:
        ConfigError: with the settings that ask for most, the figure, and what the machine has.
    """
    spec, algo, resources, evaluation = config.env.spec, config.algo, config.resources, config.evaluation
    lock_steps = getattr(algo, "rollout_length", 1) + 2  # of a chunk, of the simulator and of the newest observation
    users = resources.users_per_runner * max(resources.env_runners, 1)
    asked = f"resources.users_per_runner={resources.users_per_runner:,} with env.num_candidates={spec.width:,}"
    parts = {
        **config.learner.memory_bytes(spec),
        asked: users * lock_steps * spec.observation_bytes,
        f"evaluation.users={evaluation.users:,}": (1 + len(evaluation.baselines)) * evaluation.users * _EPISODE,
    }
    _refuse(parts, at_once)


def check_evaluation(spec: Any, users: int, policies: int) -> None:
    """Refuse an evaluation that cannot fit.

    Args:
        spec: of the problem.
        users: of each policy.
        policies: how many are played.

    Raises:
        ConfigError: as `check_training`.
    """
    at_once = 2 * min(users, _LOCK_STEP_USERS) * spec.observation_bytes
    _refuse({f"users={users:,}": policies * users * _EPISODE, f"env.num_candidates={spec.width:,}": at_once}, 1)


def _refuse(parts: dict[str, int], at_once: int) -> None:
    there = machine_memory()
    if sum(parts.values()) * at_once <= there:
        return
    most = sorted(parts.items(), key=lambda part: -part[1])
    named = ", ".join(f"{what} takes {_spell(size)} of memory" for what, size in most if 10 * size >= most[0][1])
    times = f", in each of {at_once} trainings at once (resources.concurrent_trials)" if at_once > 1 else ""
    raise ConfigError(f"{named} at least{times}; this machine has {_spell(there)}")


def _spell(size: float) -> str:
    """Return a size in words: 3.1 GB."""
    units = iter(("bytes", "kB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while size >= 1000 and unit != "PB":
        size, unit = size / 1000, next(units)
    return f"{size:,.0f} {unit}" if size >= 100 else f"{size:.2g} {unit}"


def machine_memory() -> int:
    """Return the bytes this process may use: the machine's, or the limit of its control group."""
    try:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # unknown here
        installed = _UNLIMITED
    return min(installed, _group_limit())


def _group_limit(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory limit of the control group (version 2, then 1); a huge number without one."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            return int((root / name).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
    return _UNLIMITED
