"""The last part of the tutorial of 2022, rebuilt: trained policies are served, and a bandit finds the best of them.

    uv run python -m experiments.tutorial_2022.serving

Random slates (the control), the tutorial's LinUCB and a SlateQ of interest evolution (20 candidates, slates of 2) are
live in one service. Users come to it over HTTP, once with a Thompson router that compares rewards of decisions, once
with one that compares returns of sessions. Writes `serving.md` beside this file.
"""

from __future__ import annotations

import argparse
import json
from contextlib import chdir
from pathlib import Path
from typing import Any

from experiments.services import live, recsys, serving
from experiments.tutorial_2022.run import write

ENV = ("env=interest_evolution", "env.num_candidates=20", "env.slate_size=2")
COMMON = (*ENV, "resources=inline", "progress=off", "evaluation.every=0", "evaluation.baselines=[]")
POLICIES = {"random": (), "linucb": ("steps=10_000",), "slateq": ("steps=150_000",)}
SERVE = ("router=thompson", "router.epoch_seconds=2", "explore=epsilon:0.05")


def served(unit: str, users: int) -> list[list[Any]]:
    """Let users come to a service that compares decisions or sessions; return a row for each policy, and one of all."""
    named = ",".join(f"{name}/last" for name in POLICIES)
    with serving(f"checkpoint=[{named}]", *SERVE, f"router.unit={unit}", f"name={unit}") as url:
        words = (*ENV, f"users={users}", "active=32", "requests=16", "progress=off", f"output={unit}.json")
        recsys("simulate", f"serve={url}", *words)
        shares = {policy.name: policy.share for policy in live(url)}
    found = json.loads(Path(f"{unit}.json").read_text())
    rows, everyone = [], [value for values in found["returns"].values() for value in values]
    for name, seen in found["policies"].items():
        a_decision = sum(found["returns"][name]) / seen["decisions"]
        a_session = f"{seen['return']['mean']:.1f} ± {(seen['return']['high'] - seen['return']['low']) / 2:.1f}"
        rows.append([unit, name, seen["sessions"], f"{a_decision:.2f}", a_session, f"{shares[name]:.0%}"])
    mean, steps = sum(everyone) / len(everyone), found["decisions"]
    return [*rows, [unit, "all", len(everyone), f"{sum(everyone) / steps:.2f}", f"{mean:.1f}", ""]]


def main() -> None:
    """Train what is missing, serve it twice, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=400, help="of each service")
    parser.add_argument("--folder", type=Path, default=Path("runs/tutorial_2022_serving"), help="must not exist yet")
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    with chdir(args.folder):
        for name, words in POLICIES.items():
            recsys("train", f"algo={name}", *words, *COMMON, f"name={name}")
        rows = [row for unit in ("decision", "session") for row in served(unit, args.users)]
    header = ("router.unit", "policy", "sessions", "reward of a decision", "return of a session", "share at the end")
    write("serving", header, rows)


if __name__ == "__main__":
    main()
