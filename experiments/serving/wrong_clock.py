"""`recsys` whose wall clock is as wrong as the file named first says, in seconds, from moment to moment.

python -m experiments.serving.wrong_clock <file> serve checkpoint=...
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

LOOK_S = 0.05


def main() -> int:
    """Put the clock wrong, and run the command."""
    file, right, right_ns, wrong = Path(sys.argv[1]), time.time, time.time_ns, [0]

    def look() -> None:
        while True:
            wrong[0] = int(file.read_text() or 0)
            time.sleep(LOOK_S)

    threading.Thread(target=look, daemon=True).start()
    time.time = lambda: right() + wrong[0]
    time.time_ns = lambda: right_ns() + wrong[0] * 1_000_000_000
    from recsys_cli.cli import main as recsys

    return recsys(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
