"""Joining a running Ray cluster: its address, whether it answers, and the code that its nodes need."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import recsys_cli
from recsys_cli.config import folders
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir, show_path
from recsys_cli.config.resources import ResourcesConfig
from recsys_cli.runs.ray_private import joined_cluster, listening_host

KEY = "resources.ray_address"
PORT = "6379"
ANSWER_S = 5.0
CACHES = (".*", "__pycache__")
LEFT_OUT = (*CACHES, "runs", "mlruns", "*.db")  # of the user's own folders
MOST_MB = 100  # Ray takes 500, and every node copies them


def check_cluster(resources: ResourcesConfig) -> None:
    """Refuse a cluster that does not answer; Ray itself would try for minutes.

    Raises:
        ConfigError: there is none, or nothing listens at its address.
    """
    if resources.ray_address is not None:
        find_cluster(resources.ray_address)


def find_cluster(asked: str) -> str:
    """Return the address of a cluster that answers.

    Args:
        asked: `<host>:<port>` of its head, or `auto`: RAY_ADDRESS, else the cluster that this machine joined by `ray
            start`. Unlike Ray's own `auto`, never the private Ray of another command on this machine.

    Raises:
        ConfigError: there is none, or nothing listens there.
    """
    address = asked
    if asked == "auto":
        address = os.environ.get("RAY_ADDRESS") or joined_cluster() or ""
        if not address:
            raise ConfigError(
                f"{KEY}=auto: this machine is in no Ray cluster, and RAY_ADDRESS is not set: start one with `ray start "
                f"--head`, set {KEY}=<head's host>:{PORT}, or train on this machine alone with resources=workstation"
            )
    named = f"{KEY}={asked}" + (f" ({address})" if asked == "auto" else "")
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{named}: <host>:<port> of the cluster's head is expected, as in {KEY}=10.0.0.1:{PORT}")
    host = listening_host(host.strip("[]"))
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise ConfigError(f"{named}: no Ray answers at {host}:{port} ({error}); see `ray status` on its head") from None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def shipped(resources: ResourcesConfig) -> Iterator[dict[str, Any]]:
    """Yield the `runtime_env` that gives all processes on the cluster our code and the user's own folders.

    With `resources.ship_code` these are copies of this package and those folders, made now and sent to every node by
    Ray. Otherwise every node must have both under the same paths.

    Raises:
        ConfigError: a folder too big to be copied to every node.
    """
    if not resources.ship_code:
        own = folders.environment("${PYTHONPATH}")
        yield {"env_vars": own} if own else {}
        return
    with TemporaryDirectory(prefix="recsys-") as temporary:
        stage = Path(temporary)
        _copy(Path(recsys_cli.__file__).parent, stage / "recsys_cli", CACHES)
        _copy(conf_dir(), stage / "recsys_cli/conf", CACHES)
        names = [f"own/{number}" for number, _ in enumerate(folders.named())]
        for name, folder in zip(names, folders.named(), strict=True):
            _copy(folder, stage / name, LEFT_OUT)
        # Relative to the copy, in which Ray starts its processes: each node chooses where that is.
        variables = {"PYTHONPATH": os.pathsep.join([*names, "${PYTHONPATH}"])} if names else {}
        variables |= {"RAY_CHDIR_TO_TRIAL_DIR": "0", **folders.shipped_environment(names)}
        yield {"working_dir": str(stage), "env_vars": variables}


def _copy(folder: Path, to: Path, left_out: Sequence[str]) -> None:
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    files = [path for path in inside if not any(fnmatch(part, each) for part in path.parts for each in left_out)]
    size = sum((folder / path).stat().st_size for path in files) / 1e6
    if size > MOST_MB:
        raise ConfigError(
            f"{show_path(folder)} holds {size:,.0f} MB, too much to copy to every node (at most {MOST_MB}): keep it on "
            "storage that all nodes see, and set resources.ship_code=false"
        )
    for path in files:
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, to / path)
