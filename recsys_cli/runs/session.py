"""A Ray session for one command: quiet, local by default, its logs in the run folder, gone afterwards."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsys_cli.config import folders
from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.resources import ResourcesConfig
from recsys_cli.runs.cluster import find_cluster, shipped
from recsys_cli.runs.ray_private import session_dir

LOGS = "ray_logs"
LOGGING: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}


@contextmanager
def ray_session(resources: ResourcesConfig, run_dir: Path, seeds: int = 1) -> Iterator[None]:
    """Start a local Ray, or join the cluster at `resources.ray_address`; shut down afterwards.

    Args:
        resources: of each trial, and how many may run at the same time.
        run_dir: the run's folder.
        seeds: of one trial.

    Raises:
        ConfigError: nothing answers at the address, or it is no cluster that this Ray can join.
    """
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # `Reporting` shows failures, in one line each
    if resources.ray_address is None:
        with folders.handed_on():
            start(_local(resources, seeds))
    else:
        _join(resources, resources.ray_address)
    logs = _link_logs(run_dir) if resources.ray_address is None else None
    try:
        yield
    finally:
        ray.shutdown()
        if logs is not None:
            _keep_logs(run_dir, logs)


def start(arguments: dict[str, Any], attempts: int = 3) -> None:
    """Start Ray; on a busy machine a local start may miss Ray's deadline of 30 s, and is tried again."""
    import ray

    for left in reversed(range(attempts)):
        try:
            ray.init(**arguments)
            return
        except Exception as error:  # Ray raises no class of its own here
            if "timed out during startup" not in str(error) or not left:
                raise
            ray.shutdown()


def _join(resources: ResourcesConfig, asked: str) -> None:
    import ray

    address = find_cluster(asked)
    with shipped(resources) as runtime_env:
        try:
            ray.init(address=address, runtime_env=runtime_env, **LOGGING)
        except Exception as error:  # Ray raises no class of its own here: versions, tokens, nodes that went
            raise ConfigError(f"resources.ray_address={asked}: cannot join ({one_line(error)})") from None


def _local(resources: ResourcesConfig, seeds: int) -> dict[str, Any]:
    gpus = {} if resources.gpus_per_trial() else {"num_gpus": 0}
    # "local": never join a cluster that happens to run on this machine.
    cpus = {"num_cpus": resources.local_cpus(seeds)}
    return {"address": "local", **cpus, "include_dashboard": False, **gpus, **LOGGING}


def _link_logs(run_dir: Path) -> Path:
    """Link the session's logs into the run folder; Ray's sockets forbid such a long path for the session itself."""
    session = session_dir()
    link = run_dir / LOGS
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
    link.symlink_to(session / "logs")
    return session


def _keep_logs(run_dir: Path, session: Path) -> None:
    """Put the logs themselves where the link was, and remove the session's folder."""
    link = run_dir / LOGS
    link.unlink(missing_ok=True)
    shutil.copytree(session / "logs", link, symlinks=True, ignore_dangling_symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(session, ignore_errors=True)
