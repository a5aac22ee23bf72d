"""The bearer token that clients of a service need."""

from __future__ import annotations

import hmac
import os
from functools import lru_cache
from pathlib import Path

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.serving import LOOPBACK, TOKEN_VARIABLE, ServeConfig
from recsys_cli.config.simulation import SimulateConfig


def read_token(config: ServeConfig | SimulateConfig) -> str | None:
    """Return the token of `token_file`, else of the environment, else None: nobody needs one.

    Raises:
        ConfigError: a file that cannot be read, or holds no token.
    """
    if config.token_file is None:
        name, text = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "")
        if not text:
            return None
    else:
        name = f"token_file={config.token_file}"
        try:
            text = Path(config.token_file).read_text(encoding="ascii")
        except UnicodeDecodeError:
            raise ConfigError(f"{name} must hold printable ASCII") from None
        except OSError as error:
            raise ConfigError(f"{name}: {error.strerror}") from None
    token = text.strip()
    if not token:
        raise ConfigError(f"{name} is empty: it must hold the bearer token")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(f"{name} must hold one word of printable ASCII")
    return token


class Bearer:
    """Compares the header `Authorization` with the token, in a time that says nothing about where they differ."""

    def __init__(self, token: str | None) -> None:
        """Take the token; None lets everybody in."""
        self.needed = token is not None
        self._token = (token or "").encode()

    def admits(self, authorization: bytes) -> bool:
        """Whether a request with such a header may enter."""
        if not self.needed:
            return True
        scheme, _, given = authorization.partition(b" ")
        return hmac.compare_digest(given.strip(), self._token) and scheme.lower() == b"bearer"


@lru_cache(64)  # clients send the same again and again
def names_this_machine(host: bytes) -> bool:
    """Whether the header `Host` names this machine itself, with a port or without."""
    name = host.partition(b"]")[0].lstrip(b"[") if host.startswith(b"[") else host.partition(b":")[0]
    return name.decode("latin-1").lower() in LOOPBACK
