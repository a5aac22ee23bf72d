"""Ray Serve's settings, from a service's: variables of its processes, and options of its one deployment."""

from __future__ import annotations

import json
import math
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.serving import LOOPBACK, TOKEN_VARIABLE, ServeConfig, ServingConfig
from recsys_cli.serving.backends import ray_haproxy
from recsys_cli.serving.http.auth import read_token
from recsys_cli.serving.sessions.tokens import KEY_VARIABLE

RETRY_AFTER_S = 1.0
HEALTH_S = 1.0  # between Serve's looks at its processes: three failures, and they are replaced
START_S = 60  # for HAProxy's manager; Serve kills one that takes longer than 5 s, and `serve.start` gives up
DRAIN_S = 2.0  # a replica that is to end answers on for so long, until no HAProxy sends to it any more
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # all interfaces, and where to reach them from this machine


def variables(serving: ServingConfig) -> dict[str, str]:
    """Return the variables of all of Serve's processes: HAProxy in front, and replicas that it reaches directly."""
    seconds = str(math.ceil(serving.max_seconds))
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a datagram a request, read by Python
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": seconds,
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(2 * math.ceil(serving.max_seconds)),
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": f"{HEALTH_S:g}",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(START_S),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": f"{DRAIN_S:g}",
        "RAY_SERVE_LOG_TO_STDERR": "0",
        "SERVE_SOCKET_REUSE_PORT_ENABLED": "1",  # one HAProxy takes over from another without closing the port
    }


def local_variables(serving: ServingConfig, address: str, folder: Path, binary: str) -> dict[str, str]:
    """Return more of them, for a Ray of our own: ports that no other service has, and HAProxy started by our rules.

    Args:
        serving: how the service runs.
        address: where HAProxy is to listen, `<host>:<port>`.
        folder: short, of this start alone, for HAProxy's files and sockets.
        binary: HAProxy itself.
    """
    rules = {
        "binary": binary,
        "folder": str(folder),
        "address": address,
        "max_seconds": serving.max_seconds,
        "max_body_bytes": serving.max_body_bytes,
    }
    ports = free_ports(3)
    return {
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",  # replicas have no port for it (`replicas_on_loopback`)
        ray_haproxy.VARIABLE: json.dumps(rules),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(haproxy(folder)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports[0]),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports[1]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports[2]),
    }


def haproxy(folder: Path) -> Path:
    """Write the program that Serve runs in place of HAProxy."""
    program = folder / "haproxy"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-I", "-S", ray_haproxy.__file__])} "$@"\n')
    program.chmod(0o700)
    return program


def deployment(serving: ServingConfig) -> dict[str, Any]:
    """Return the options of the deployment, of which each replica holds all policies.

    The app itself refuses what is beyond `serving.max_queued`, in one line; Serve's own limit lies above it.
    """
    from ray.serve.config import AutoscalingConfig, BackpressureConfig

    options: dict[str, Any] = {
        "name": "policies",
        "max_ongoing_requests": 2 * serving.max_queued,
        "max_queued_requests": serving.max_queued,
        "backpressure_config": BackpressureConfig(status_code=503, retry_after_s=RETRY_AFTER_S),
        "health_check_period_s": HEALTH_S,
        "health_check_timeout_s": 10.0,
        "graceful_shutdown_timeout_s": DRAIN_S + serving.max_seconds,
        "graceful_shutdown_wait_loop_s": 0.1,
        "ray_actor_options": {"num_cpus": 1},
    }
    if serving.max_replicas == serving.replicas:
        return options | {"num_replicas": serving.replicas}
    scaling = AutoscalingConfig(
        min_replicas=serving.replicas,
        max_replicas=serving.max_replicas,
        target_ongoing_requests=max(1.0, serving.max_queued / 8),
    )
    return options | {"autoscaling_config": scaling}


def check_cluster(config: ServeConfig, nodes: int) -> None:
    """Refuse what would leave replicas on other nodes without a token, a key or sessions, or out of reach.

    Raises:
        ConfigError: the token or the key comes from a variable, which other nodes lack; sessions lie in a file of one
            machine; or HAProxy, which runs on every node, could not reach the replicas of others.
    """
    if os.environ.get(KEY_VARIABLE) is not None:
        raise ConfigError(f"{KEY_VARIABLE}: it stays on this machine; on a cluster leave it to the service's folder")
    if config.serving.sessions == "server" and nodes > 1:
        raise ConfigError(
            f"serving.sessions=server keeps sessions in a file of one machine, and the cluster has {nodes} nodes; "
            "allowed: serving.sessions=client"
        )
    if config.token_file is None and read_token(config) is not None:
        raise ConfigError(
            f"{TOKEN_VARIABLE}: it stays on this machine; on a cluster set token_file=<a file that all nodes see>"
        )
    if config.token_file is not None and not Path(config.token_file).is_absolute():
        raise ConfigError(
            f"token_file={config.token_file}: on a cluster it must be an absolute path that all nodes see"
        )
    if config.host in LOOPBACK and nodes > 1:
        raise ConfigError(
            f"host={config.host}: the cluster has {nodes} nodes, which reach each other's replicas only at "
            "host=0.0.0.0 (which needs a bearer token)"
        )


def free_ports(number: int) -> list[int]:
    """Return ports that nothing uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def set_variables(values: Mapping[str, str]) -> None:
    """Set variables of this process, and of those that it starts; the user's own come first."""
    for name, value in values.items():
        os.environ.setdefault(name, value)
