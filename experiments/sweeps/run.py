"""What early stopping saves, and that kill -9 changes nothing.

    uv run python -m experiments.sweeps.run savings     # HyperBand against the same points trained in full
    uv run python -m experiments.sweeps.run kills       # grid, HyperBand and PBT, killed twice and resumed

Writes `savings.md` and `kills.md` beside this file, and HyperBand's figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
RECSYS = (sys.executable, "-m", "recsys_cli", "sweep")
SPACE = ("env=interest_evolution", "algo=slateq", "algo.lr=tag(log,interval(1e-5,1e-2))", "algo.discount=0.9,0.99,1.0")
TINY = ("debug=smoke", "steps=9000", "algo.learning_starts=500", "algo.batch_size=64", "tracking=off")
KILLED = {
    "grid": (*TINY, "algo.lr=1e-2,1e-3,1e-4", "algo.discount=0.9,1.0"),
    "hyperband": (
        *TINY,
        "search=hyperband",
        "search.trials=8",
        "search.min_steps=1000",
        "algo.lr=tag(log,interval(1e-4,1e-2))",
        "algo.discount=0.9,1.0",
    ),
    "pbt": (
        *TINY,
        "search=pbt",
        "search.trials=5",
        "search.perturb_every=2000",
        "algo.lr=tag(log,interval(1e-4,1e-2))",
        "algo.discount=0.9,0.99,1.0",
    ),
}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["savings", "kills"])
    parser.add_argument("--runs", type=Path, default=Path("runs/sweeps"), help="folder that gets the sweeps")
    arguments = parser.parse_args()
    {"savings": savings, "kills": kills}[arguments.part](arguments.runs)


def sweep(words: Sequence[str], runs: Path, name: str) -> None:
    """Run a sweep, or go on with it."""
    made = [f"resume={name}"] if (runs / name / "sweep.json").exists() else [*words, f"name={name}"]
    subprocess.run([*RECSYS, *made, f"output_dir={runs}", "progress=plain"], check=True)


def savings(runs: Path) -> None:
    """Compare HyperBand with the same points trained in full."""
    rows = ["| search | points | env steps | best by `eval/return` | on 2,000 fresh users |", "|---|---|---|---|---|"]
    for name in ("hyperband", "random"):
        sweep([*SPACE, f"search={name}"], runs, name)
        points = read_points(runs / name)
        best = json.loads((runs / name / "best.json").read_text())["best"]["all"]
        fresh = json.loads((runs / name / f"{best['point']}-seed_0" / "evaluation.json").read_text())
        score = fresh["policies"]["slateq"]["return"]
        half = (score["high"] - score["low"]) / 2
        values = " ".join(f"{key}={value}" for key, value in best["values"].items())
        steps = sum(int(row["steps"]) for row in points)
        rows.append(
            f"| {name} | {len(points)} | {steps:,} | {best['score']:.1f} ({best['point']}: {values}) | "
            f"{score['mean']:.1f} ± {half:.1f} |"
        )
    (HERE / "savings.md").write_text("\n".join(rows) + "\n")
    for figure in ("parallel.svg", "slices.svg"):
        shutil.copy(runs / "hyperband" / figure, HERE / figure)


def kills(runs: Path) -> None:
    """Kill each sweep when a third and when two thirds of its reports are there; compare it with an undisturbed one."""
    rows = ["| sweep | points | reports | killed at | the same `points.csv` |", "|---|---|---|---|---|"]
    for name, words in KILLED.items():
        whole, killed = runs / f"{name}-whole", runs / f"{name}-killed"
        sweep(words, runs, whole.name)
        total = reports(whole)
        at = [kill_at(words, runs, killed.name, total * part // 3) for part in (1, 2)]
        sweep(words, runs, killed.name)
        same = read_points(whole) == read_points(killed)
        points = len({row["point"] for row in read_points(whole)})
        rows.append(f"| {name} | {points} | {total} | {at[0]}, {at[1]} reports | {'yes' if same else 'NO'} |")
    (HERE / "kills.md").write_text("\n".join(rows) + "\n")


def kill_at(words: Sequence[str], runs: Path, name: str, count: int) -> int:
    """Start or resume a sweep, and kill -9 it and its Ray once there are so many reports; return how many there are."""
    made = [f"resume={name}"] if (runs / name / "sweep.json").exists() else [*words, f"name={name}"]
    process = subprocess.Popen([*RECSYS, *made, f"output_dir={runs}", "progress=plain"], start_new_session=True)
    while process.poll() is None and reports(runs / name) < count:
        time.sleep(0.05)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kill_ray_of(process.pid)
    return reports(runs / name)


def kill_ray_of(pid: int) -> None:
    """Kill the processes of the Ray session that a killed driver leaves behind for a while."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"_{pid}/" in path.read_bytes().decode(errors="replace"):
                os.kill(int(path.parent.name), signal.SIGKILL)
        except OSError:  # ended meanwhile
            continue


def reports(sweep_dir: Path) -> int:
    """Return how many reports the journals of a sweep hold."""
    return sum(path.read_text().count("\n") for path in sweep_dir.glob("p*/metrics.jsonl"))


def read_points(sweep_dir: Path) -> list[dict[str, str]]:
    """Return the rows of `points.csv`."""
    with (sweep_dir / "points.csv").open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
