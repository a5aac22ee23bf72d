"""Send every malformed and hostile request to a running service, and write what it answered.

    recsys serve checkpoint=<run id> port=8000 serving.max_seconds=1
    uv run python -m experiments.hostile.run http://127.0.0.1:8000 --seconds 1

Ends with exit code 1 if an answer is not what it must be. Writes `hostile.csv` and prints counts.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import re
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from experiments.hostile.requests import MARK, Request, all_requests, sound
from experiments.hostile.wire import CLOSED, Seen, Wire, send, wires


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("serve", help="address of a service of interest evolution, slates of two")
    parser.add_argument("--seconds", type=float, default=10.0, help="the service's serving.max_seconds")
    parser.add_argument("--bytes", type=int, default=8_000_000, help="the service's serving.max_body_bytes")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "hostile.csv")
    arguments = parser.parse_args()
    cases: list[Wire | Request] = [*all_requests(), *wires(arguments.seconds, arguments.bytes)]
    before = _memory(arguments.serve)
    seen = asyncio.run(_send_all(arguments.serve, cases))
    wrong = [case.name for case, answer in zip(cases, seen, strict=True) if not _right(case, answer)]
    with arguments.output.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["request", "status", "answer"])
        rows.writerows([case.name, *_row(answer)] for case, answer in zip(cases, seen, strict=True))
    last = Counter(answer.statuses[-1] if answer.statuses else CLOSED for answer in seen)
    print(f"{len(cases)} requests: " + ", ".join(f"{n} x {status or 'closed'}" for status, n in sorted(last.items())))
    print(f"resident memory of the service: {before:.0f} MB before, {_memory(arguments.serve):.0f} MB after")
    print(f"not as it must be: {', '.join(wrong) or 'none'}")
    return int(bool(wrong))


async def _send_all(address: str, cases: list[Wire | Request]) -> list[Seen]:
    """Send a few at a time, and a sound request in the end."""
    parts, few = urlsplit(address), asyncio.Semaphore(8)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80

    async def one(case: Wire | Request) -> Seen:
        async with few:
            return await send(host, port, case, patience=0.5)

    seen = await asyncio.gather(*map(one, cases))
    good = Request("sound", json.dumps(sound()).encode(), 200)
    assert (await send(host, port, good, patience=1.0)).statuses == [200], "the service does not answer any more"
    return list(seen)


def _right(case: Wire | Request, seen: Seen) -> bool:
    last = seen.statuses[-1] if seen.statuses else CLOSED
    allowed = case.statuses if isinstance(case, Wire) else (case.status,)
    body = seen.text.rpartition(b"\r\n\r\n")[2]
    return last in allowed and (last < 400 or MARK.encode() not in body)


def _row(seen: Seen) -> tuple[str, str]:
    statuses = [str(each) for each, _ in zip(seen.statuses, range(3), strict=False)]
    more = f" and {len(seen.statuses) - 3} more" if len(seen.statuses) > 3 else ""
    error = re.search(rb'{"error":"(.*?)"}', seen.text)
    return " ".join(statuses) + more or "closed", error[1].decode() if error else ""


def _memory(address: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics") as answer:
        found = re.search(rb"^process_resident_memory_bytes (\S+)", answer.read(), re.MULTILINE)
    return float(found[1]) / 1e6 if found else float("nan")


if __name__ == "__main__":
    sys.exit(main())
