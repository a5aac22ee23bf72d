"""A replica of the service: what Ray Serve runs in each of its processes.

Serve pickles a class that it wraps by value, unless it can be imported: nothing here may hold more than a path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recsys_cli.serving.app import make_app
from recsys_cli.serving.service import Service


class Replica:
    """Holds all policies, and answers by the same app as `serving.backend=local`."""

    def __init__(self, folder: str) -> None:
        """Open the service in its folder."""
        self.service = Service.open(Path(folder))

    def __serve_build_asgi_app__(self) -> Any:
        """Return the app, which Serve asks for once, after the constructor."""
        return make_app(self.service)

    def __del__(self) -> None:
        """Close the log; Serve calls this when the replica has answered its last request."""
        self.service.close()
