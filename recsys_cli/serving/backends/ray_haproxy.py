"""Starts HAProxy with what the configuration that Ray Serve writes for it lacks.

Serve's manager runs this file in place of HAProxy, at the first start and for every change of the replicas. It stands
alone: a process of its own that imports nothing of ours, and becomes HAProxy.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

VARIABLE = "RECSYS_HAPROXY"  # the arguments of `amended` as JSON, and `binary`, HAProxy itself
INTERIM = "interim.pid"  # of the HAProxy that stands in after the last one was killed (`ray_keeper`)
OPEN = ".open"  # ending of the last configuration that led to replicas
NO_REPLICA = json.dumps({"error": "no replica answered; try again with the same event_id"})
UNAVAILABLE = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    f"Content-Length: {len(NO_REPLICA)}\r\n\r\n{NO_REPLICA}"
).encode()
TOO_LARGE = r"{\"error\":\"the body is larger than serving.max_body_bytes\"}"


def amended(config: str, folder: Path, address: str, max_seconds: float, max_body_bytes: int) -> str:
    """Return Serve's configuration with our rules.

    - It listens at `address`; replicas stay at 127.0.0.1, where Serve would have it too.
    - Metrics and statistics are for this machine only; Serve binds them to all interfaces.
    - Clients have `max_seconds` for their headers, and what is announced as too large is refused at once.
    - Serve's replicas keep no task to notice that a client went away, and clients cannot change Serve's own time limit;
      Serve takes both wishes from headers.
    - If no replica answers: one line of JSON, 503 and Retry-After, not 500.
    - Without replicas the port stays closed; Serve would answer 404.
    - Nothing is logged: Serve sends a line of each request to a syslog that may not exist.
    """
    text = re.sub(r"^(\s*bind )[:*]+(\d+)$", r"\g<1>127.0.0.1:\2", config, flags=re.MULTILINE)
    text = re.sub(r"^\s*log (?!global).*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*log global\n", "", text, flags=re.MULTILINE)
    text = text.replace("option httplog", "").replace("option log-health-checks", "")
    text = re.sub(r"^(\s*errorfile )(50[234]) .*$", rf"\g<1>\2 {folder}/503.http", text, flags=re.MULTILINE)
    text = text.replace("mode http\n", f"mode http\n    timeout http-request {max_seconds:.0f}s\n", 1)
    rules = (
        "    http-request set-header x-request-disconnect-disabled ?1",
        "    http-request del-header x-request-timeout-seconds",
        "    http-request deny deny_status 413 content-type application/json "
        f'string "{TOO_LARGE}" if {{ req.hdr_val(content-length) gt {max_body_bytes} }}',
    )
    found = re.search(r"^frontend http_frontend\n\s*bind (.*)$", text, flags=re.MULTILINE)
    if found is None:
        return text
    bind = address if is_open(text) else f"unix@{folder / 'closed.sock'}"
    return text[: found.start(1)] + "\n".join([bind, *rules]) + text[found.end() :]


def is_open(config: str) -> bool:
    """Whether a configuration leads to replicas."""
    return "\n    use_backend " in config


def alone(config: str) -> str:
    """Return an open configuration for an HAProxy that no manager knows: without sockets for managing it."""
    text = re.sub(r"^\s*(stats socket|stats timeout|server-state-.*|load-server-state.*) .*\n", "", config, flags=re.M)
    text = re.sub(r"^frontend prometheus\n(?:\s+.*\n)*", "", text, flags=re.MULTILINE)
    return re.sub(r"^listen stats\n(?:\s+.*\n?)*", "", text, flags=re.MULTILINE)


def write(path: Path, content: bytes) -> None:
    """Write a file whole."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def main(words: list[str]) -> None:
    """Amend the configuration that the command line names, and become HAProxy."""
    settings = json.loads(os.environ[VARIABLE])
    binary = settings.pop("binary")
    folder, path = Path(settings["folder"]), Path(words[words.index("-f") + 1])
    write(folder / "503.http", UNAVAILABLE)
    text = amended(path.read_text(), **{**settings, "folder": folder})
    write(path, text.encode())
    if is_open(text):
        write(path.with_name(path.name + OPEN), alone(text).encode())
        interim = folder / INTERIM
        if interim.exists():  # it ends when we have taken over
            words += ["-sf", interim.read_text()]
    os.execv(binary, [binary, *words])


if __name__ == "__main__":
    main(sys.argv[1:])
