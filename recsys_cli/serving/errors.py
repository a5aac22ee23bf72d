"""What a request is refused with."""

from __future__ import annotations


class Refused(Exception):
    """A request that gets no answer but one line.

    Attributes:
        status: of HTTP, 400 to 503.
        message: what is wrong, without an echo of what was sent.
        retry_after: seconds after which to try again, if that may help.
    """

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        """Take the status and the line."""
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after
