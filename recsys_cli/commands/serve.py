"""Serve trained policies over HTTP; of several, a bandit finds the best.

Clients ask for slates (POST /v1/rank) and report what came of them (POST /v1/events/{id}/reward); /openapi.json
describes all requests, and / shows the service at work. Decisions and rewards are logged with exact propensities:
recsys compact makes a data set of them, for recsys ope and recsys train data=. The first checkpoint is the control. The
same command again goes on with the same log and router.

Examples:
    recsys serve checkpoint=<run id> explore=epsilon:0.05
    recsys serve checkpoint=[<run id>,<run id>] router=thompson
    recsys serve checkpoint=models:/slateq@champion serving=ray serving.replicas=4
"""

from __future__ import annotations

import importlib
from pathlib import Path

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError


def run(overrides: list[str]) -> int:
    """Check the request and serve until stopped.

    Raises:
        ConfigError: the request is invalid, or the service runs already.
    """
    config = compose("serve", overrides)
    from recsys_cli.files import locked
    from recsys_cli.serving.folder import ServiceFolder

    folder = ServiceFolder(Path(config.service_dir).expanduser() / config.name)
    folder.path.mkdir(parents=True, exist_ok=True)
    with locked(folder.path / ".running", wait=False) as alone:
        if not alone:
            raise ConfigError(f"name={config.name}: this service is running already, in {folder.path}")
        folder.prepare(config)
        backend = importlib.import_module(f"recsys_cli.serving.backends.{config.serving.backend}")
        backend.serve(folder, config)
    return 0
