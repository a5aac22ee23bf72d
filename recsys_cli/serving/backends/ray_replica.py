"""A replica of the service: what Ray Serve runs in each of its processes.

Serve pickles what it wraps by value, but for what can be imported: nothing here holds more than a path. It imports
nothing heavy until a replica starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class Replica:
    """Holds all policies, and answers by the same app as `serving.backend=local`."""

    def __init__(self, folder: str) -> None:
        """Open the service in its folder."""
        from recsys_cli.runs.ray_private import replicas_on_loopback
        from recsys_cli.serving.backends.local import log_errors
        from recsys_cli.serving.chores import Chores
        from recsys_cli.serving.folder import ServiceFolder
        from recsys_cli.serving.running import chores_of_each
        from recsys_cli.serving.service import Service

        paths = ServiceFolder(Path(folder))
        config = paths.config()
        if config.resources.ray_address is None:
            replicas_on_loopback()
        log_errors(paths.errors)
        self.service = Service(paths, config)
        self.chores = Chores(*chores_of_each(self.service))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the app, which Serve asks for once, after the constructor."""
        from recsys_cli.serving.http.app import make_app
        from recsys_cli.serving.http.auth import read_token

        config = self.service.config
        return make_app(self.service, config.serving, read_token(config))

    def __del__(self) -> None:
        """Finish the log: Serve deletes a replica that has answered its last request."""
        if hasattr(self, "chores"):
            self.chores.close()
            self.service.close()
