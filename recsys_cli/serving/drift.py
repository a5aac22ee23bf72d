"""Whether requests look like what a policy was trained on."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray


class Requests(Protocol):
    """The requests of a body, as far as they are looked at."""

    user: NDArray[Any]
    doc: NDArray[Any]
    mask: NDArray[Any]


class Report(Protocol):
    """How far requests are from the reference."""

    drift: float
    alarm: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""


class Drift(Protocol):
    """Watches the features of requests."""

    def see(self, batch: Requests) -> None:
        """Look at a body's requests."""

    def report(self) -> Report:
        """Return what was seen."""
