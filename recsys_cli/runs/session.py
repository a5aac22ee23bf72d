"""A Ray session for one command: quiet, local by default, its logs in the run folder, gone afterwards."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from recsys_cli.config import folders
from recsys_cli.config.errors import ConfigError, one_line
from recsys_cli.config.resources import ResourcesConfig
from recsys_cli.runs.cluster import find_cluster, shipped
from recsys_cli.runs.display import waiting
from recsys_cli.runs.signals import Lost

LOGS = "ray_logs"
PRELOADED = "recsys_cli.runs.preload"


def begin(resources: ResourcesConfig, trials: int, seeds: int, say: Callable[[str], None]) -> None:
    """Start the local Ray of a run: its workers import what they need while this process does.

    Nothing is started for a training in this process or on a cluster.

    Args:
        resources: of each trial, and how many may run at the same time.
        trials: how many there are.
        seeds: of one trial.
        say: shows what is being waited for.

    Raises:
        ConfigError: Ray cannot start.
    """
    if resources.inline or resources.ray_address is not None:
        return
    from recsys_cli.runs import local_ray

    cpus, each = resources.local_cpus(seeds), resources.cpus_per_trial(seeds)
    with folders.handed_on(), waiting(f"Ray to start (at most {local_ray.LIMIT_S} s)", say):
        local_ray.start(
            cpus,
            gpus=None if resources.gpus_per_trial() else 0,
            workers=min(trials, cpus // each) * each,
            preload=[PRELOADED],
        )


@contextmanager
def ray_session(
    resources: ResourcesConfig, run_dir: Path, trials: int, seeds: int, say: Callable[[str], None]
) -> Iterator[Callable[[], bool]]:
    """Use the local Ray, started by `begin` before or now, or join the cluster at `resources.ray_address`.

    Args:
        resources: of each trial.
        run_dir: the run's folder.
        trials: how many there are.
        seeds: of one trial.
        say: shows what is being waited for.

    Raises:
        ConfigError: Ray cannot start; nothing answers at the address, or it is no cluster that this Ray can join.
        Lost: the local Ray ended by itself.

    Yields:
        A function that returns whether the local Ray has ended.
    """
    import ray

    from recsys_cli.runs import local_ray
    from recsys_cli.runs.ray_private import quiet_logs

    quiet_logs()
    if resources.ray_address is not None:
        join(resources)
    elif local_ray.LocalNode.last is None or not ray.is_initialized():
        begin(resources, trials, seeds, say)
    node, logs = None, None
    if resources.ray_address is None:
        node, logs = local_ray.LocalNode.last, _link_logs(run_dir)
    gone = node.ended if node is not None else lambda: False
    try:
        yield gone
    except Lost:
        word = node.last_word() if node is not None else ""
        raise Lost("Ray's processes ended, and not by this command" + (f": {word}" if word else "")) from None
    finally:
        ray.shutdown()
        local_ray.LocalNode.last = None
        if logs is not None:
            _keep_logs(run_dir, logs)


def join(resources: ResourcesConfig, variables: Mapping[str, str] = MappingProxyType({})) -> None:
    """Join the cluster at `resources.ray_address`.

    Args:
        resources: with the address, and whether our code is sent to its nodes.
        variables: of all processes that are started for us.

    Raises:
        ConfigError: nothing answers there, or it is no cluster that this Ray can join.
    """
    import ray

    from recsys_cli.runs.local_ray import LOGGING

    asked = resources.ray_address or "auto"
    address = find_cluster(asked)
    with shipped(resources) as runtime_env:
        runtime_env["env_vars"] = {**runtime_env.get("env_vars", {}), **variables}
        on_term = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(address=address, runtime_env=runtime_env, **LOGGING)
        except Exception as error:  # Ray raises no class of its own here: versions, tokens, nodes that went
            raise ConfigError(f"resources.ray_address={asked}: cannot join ({one_line(error)})") from None
    signal.signal(signal.SIGTERM, on_term)  # Ray's own handler prints a stack trace


def _link_logs(run_dir: Path) -> Path:
    """Link the session's logs into the run folder; Ray's sockets forbid such a long path for the session itself."""
    from recsys_cli.runs.ray_private import session_dir

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
