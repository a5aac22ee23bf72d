"""The tutorial's several kinds of users: one policy for all of them, or one each.

    uv run python -m experiments.tutorial_2022.groups

Two groups of interest evolution's users want different things: what keeps one wears out the other (`env=groups`). One
policy that cannot see a user's group, one that sees it, and one for each group have the same env steps in all; SlateQ
and LSPI learn each, five seeds, by the commands in the csv. Writes `groups.md`, `groups.csv` (the table) and
`groups_seeds.csv` (every seed) beside this file. Run again, it continues where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.runs import Entry, train
from experiments.tutorial_2022.run import BASELINES, HERE, write
from recsys_cli.evaluation.statistics import mean_interval

PRESET = ("experiment=tutorial_2022/groups", "resources=inline", "tracking=off", "checkpoint.every=0")
ALGORITHMS = {"slateq": ("algo=slateq", "algo.memory=raw"), "lspi": ("algo=lspi", "steps=5_000", "report_every=5_000")}
POLICIES = {
    "one, group hidden": ("policies=shared", "env.group_observed=false"),
    "one, group seen": ("policies=shared",),
    "one each": ("policies=own",),
}
WITH_BASELINES = ("lspi", "one each")  # whose runs play the baselines, the same for all
GROUPS = ("serious", "casual")
BESIDE = ("random", "myopic", "oracle")


def entry_of(algorithm: str, policies: str) -> Entry:
    """Return what trains an algorithm's policies."""
    name = f"groups-{algorithm}-{policies.replace(', ', '-').replace(' ', '-')}"
    beside = BASELINES if (algorithm, policies) == WITH_BASELINES else "evaluation.baselines=[]"
    return Entry(name, (*PRESET, beside, *ALGORITHMS[algorithm], *POLICIES[policies]))


def returns(evaluation: dict[str, Any], policy: str) -> dict[str, float]:
    """Return a policy's mean return over all users, and in each group."""
    found = evaluation["policies"][policy]
    return {"all": found["return"]["mean"], **{name: found["groups"][name]["return"]["mean"] for name in GROUPS}}


def seeds_of(algorithm: str, policies: str, runs: Path) -> list[dict[str, Any]]:
    """Return a row for each finished seed."""
    entry, rows = entry_of(algorithm, policies), []
    for path in sorted((runs / entry.name).glob("seed_*/evaluation.json")):
        evaluation, seed = json.loads(path.read_text()), int(path.parent.name.removeprefix("seed_"))
        about = {"algorithm": algorithm, "policies": policies, "seed": seed}
        means = {name: round(mean, 3) for name, mean in returns(evaluation, algorithm).items()}
        rows.append(about | means | {"env_steps": evaluation["steps"], "command": entry.command(seed)})
    return rows


def table(rows: Sequence[dict[str, Any]], runs: Path) -> list[list[Any]]:
    """Return the lines: every algorithm's policies over seeds, and the baselines, each group's own."""
    lines = []
    for algorithm in ALGORITHMS:
        for policies in POLICIES:
            own = [row for row in rows if (row["algorithm"], row["policies"]) == (algorithm, policies)]
            if own:
                means = [mean_interval([row[name] for row in own]) for name in ("all", *GROUPS)]
                lines.append([algorithm, policies, *means, len(own)])
    path = next((runs / entry_of(*WITH_BASELINES).name).glob("seed_*/evaluation.json"))
    evaluation = json.loads(path.read_text())
    for name in BESIDE:
        lines.append([name, "one each", *(round(mean, 1) for mean in returns(evaluation, name).values()), ""])
    return lines


def main() -> None:
    """Run what is missing, and write what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--algorithms", nargs="+", choices=list(ALGORITHMS), default=list(ALGORITHMS))
    parser.add_argument("--runs", type=Path, default=Path("runs/tutorial_2022"), help="folder that gets the runs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for algorithm in args.algorithms:
        for policies in POLICIES:
            train(entry_of(algorithm, policies), range(args.seeds), args.runs)
    rows = [
        row for algorithm in ALGORITHMS for policies in POLICIES for row in seeds_of(algorithm, policies, args.runs)
    ]
    with (HERE / "groups_seeds.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    header = ("algorithm", "policies", "all users", *GROUPS, "seeds")
    write("groups", header, table(rows, args.runs))


if __name__ == "__main__":
    main()
