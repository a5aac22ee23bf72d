"""Compare returns over HTTP with those of `recsys evaluate`, on other users.

    uv run python -m experiments.served_returns.run            # all; or names of some

Trains what is not in `--folder` yet, serves it, plays simulated users with `recsys simulate`, evaluates. Writes
`returns.csv`. Fails if anything was lost.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

from experiments.services import recsys, serving
from recsys_cli.files import read_json

ENV = ("env.num_topics=4", "env.time_budget=25")
POLICIES = {
    "slateq": ("algo=slateq", "algo.memory=none", "algo.learning_starts=500"),
    "slateq_raw": ("algo=slateq", "algo.memory=raw", "algo.learning_starts=500"),
    "slateq_documents": ("algo=slateq", "algo.memory=documents", "algo.learning_starts=500"),
    "thompson_per_user": ("algo=thompson", "algo.arms=topics", "algo.statistics=per_user"),
}
TRAINING = ("steps=6000", "resources=inline", "tracking=off", "evaluation.users=100", "progress=off")
PLAYED = ("requests=64", "active=512", "seed=7", "progress=off")
COLUMNS = ("policy", "sessions", "users", "over_http", "http_half_width", "evaluated", "half_width", "z")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(POLICIES), help=f"of {', '.join(POLICIES)}")
    parser.add_argument("--users", type=int, default=1024, help="over HTTP")
    parser.add_argument("--evaluated", type=int, default=4000, help="by recsys evaluate")
    parser.add_argument("--sessions", choices=("client", "server"), default="client", help="who keeps them")
    parser.add_argument("--folder", type=Path, default=Path("runs/served_returns"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "returns.csv")
    arguments = parser.parse_args()
    table = arguments.output
    rows = {(row["policy"], row["sessions"]): row for row in csv.DictReader(table.open())} if table.exists() else {}
    for name in arguments.names:
        row = compare(name, arguments.users, arguments.evaluated, arguments.sessions, arguments.folder)
        rows[name, arguments.sessions] = dict(zip(COLUMNS, row, strict=True))
        with table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows.values())
        print(", ".join(f"{column} {value}" for column, value in rows[name, arguments.sessions].items()))
    return 0


def compare(name: str, users: int, evaluated: int, sessions: str, folder: Path) -> tuple[str, ...]:
    """Return the row of a policy; z is the difference of the returns in its standard errors."""
    run, http, played = folder / name, folder / f"{name}_{sessions}.json", folder / f"{name}_evaluated.json"
    if not run.exists():
        recsys("train", *ENV, *POLICIES[name], *TRAINING, f"name={name}", f"output_dir={folder}")
    kept = (f"service_dir={folder / 'services'}", f"name={name}_{sessions}", f"serving.sessions={sessions}")
    with serving(f"checkpoint={run}/last", "tracking=off", *kept) as url:
        recsys("simulate", f"serve={url}", *ENV, f"users={users}", f"output={http}", *PLAYED)
    if not played.exists():
        words = ("baselines=[]", "log=false", "progress=off", "tracking=off")
        recsys("evaluate", f"checkpoint={run}/last", f"users={evaluated}", f"output={played}", *words)
    (one,) = (each["return"] for each in read_json(http)["policies"].values())
    other = next(iter(read_json(played)["policies"].values()))["return"]
    widths = [(each["high"] - each["low"]) / 2 for each in (one, other)]
    z = (one["mean"] - other["mean"]) / (math.hypot(*widths) / 1.96)
    numbers = (one["mean"], widths[0], other["mean"], widths[1])
    return (name, sessions, str(users), *(f"{number:.3f}" for number in numbers), f"{z:.2f}")


if __name__ == "__main__":
    raise SystemExit(main())
