"""The return of five policies from 300 random sessions, by FQE: error, coverage and regret over data sets drawn anew.

    uv run python -m experiments.ope.returns --sets 100

Interest evolution, 3 of 10 documents, uniformly random slates: a trained SlateQ, the same with slates drawn softly from
its scores, one stopped at an eighth of its steps, the myopic policy softened, and random slates. One line of
`returns.csv` for each data set and policy; a data set that is there already is not judged again. Writes `returns.md`
and the figure `returns.svg` beside this file.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from experiments.ope.comparison import HERE, PROBLEM, SESSIONS, TRUTH_USERS, problem, trained
from recsys_cli.config.compose import compose
from recsys_cli.config.explore import Explore
from recsys_cli.envs.base import EnvConfig
from recsys_cli.offline.choice import known_choice
from recsys_cli.offline.estimators.fqe import LinearFQE, ValueModel
from recsys_cli.offline.judging import Logged
from recsys_cli.offline.recording import play_round
from recsys_cli.policies import SlatePolicy, UniformPolicy
from recsys_cli.policies.exploration import ExploringPolicy
from recsys_cli.rollouts.episodes import play

FIELDS = ("set", "policy", "truth", "value", "low", "high", "refused", "cpu_seconds", "logged")
NAMES = ("SlateQ", "SlateQ, soft", "SlateQ, an eighth", "myopic, soft", "random")


def policies(env: EnvConfig, slateq: Path) -> dict[str, SlatePolicy]:
    """Return the five policies."""
    full, early = trained(slateq), trained(slateq.with_name("early"), "steps=40000", "report_every=20000")
    myopic = compose("train", [*PROBLEM, "algo=myopic"]).algo.make_policy(env.spec)
    soft = ExploringPolicy(full, Explore("plackett_luce", 4.5))
    random = UniformPolicy(env.spec.slate_size)
    found = (full, soft, early, ExploringPolicy(myopic, Explore("plackett_luce", 0.7)), random)
    return dict(zip(NAMES, found, strict=True))


def judge_set(
    number: int, env: EnvConfig, targets: dict[str, SlatePolicy], truth: dict[str, float]
) -> list[list[object]]:
    """Return the rows of one data set."""
    behaviour, choice = UniformPolicy(env.spec.slate_size), known_choice(env.spec)
    assert choice is not None
    steps = play_round(behaviour, env, SESSIONS, 10_000 + number, 0)
    model = ValueModel.of(env.spec, steps)
    logged = Logged.of(model.remembering(steps), choice)
    rows: list[list[object]] = []
    for name, policy in targets.items():
        began, estimator = time.process_time(), LinearFQE(model)
        estimator.add(logged.judge(policy))
        found = estimator.estimate()
        took = time.process_time() - began
        mean = float(steps.returns().mean())
        numbers = [round(x, 4) for x in (truth[name], found.value, found.low, found.high)]
        rows.append([number, name, *numbers, int(found.refusal is not None), round(took, 2), round(mean, 4)])
    return rows


def summary(rows: list[dict[str, str]]) -> list[str]:
    """Return the table, and how often the best was picked."""
    sets = sorted({int(row["set"]) for row in rows})
    lines = [
        f"| FQE from {SESSIONS} random sessions, {len(sets)} data sets | true return | mean estimate | RMSE % | bias % "
        "| half-width % | coverage of 95 % | refused | CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in NAMES:
        own = [row for row in rows if row["policy"] == name]
        truth = float(own[0]["truth"])
        value, low, high = (np.array([float(row[key]) for row in own]) for key in ("value", "low", "high"))
        off = 100 * (value / truth - 1)
        numbers = [
            f"{truth:.1f}",
            f"{value.mean():.1f}",
            f"{np.sqrt((off**2).mean()):.1f}",
            f"{off.mean():+.1f}",
            f"{100 * np.nanmean((high - low) / 2) / truth:.1f}",
            f"{np.mean((low <= truth) & (truth <= high)):.2f}",
            f"{np.mean([int(row['refused']) for row in own]):.0%}",
            f"{np.median([float(row['cpu_seconds']) for row in own]):.1f}",
        ]
        lines.append(f"| {name} | {' | '.join(numbers)} |")
    regrets, orders = [], []
    for number in sets:
        own = [row for row in rows if int(row["set"]) == number]
        truths = np.array([float(row["truth"]) for row in own])
        values = np.array([float(row["value"]) for row in own])
        regrets.append(truths.max() - truths[values.argmax()])
        orders.append(np.corrcoef(truths.argsort().argsort(), values.argsort().argsort())[0, 1])
    lines += [
        "",
        f"Regret of picking the best by estimate: {np.mean(regrets):.2f} on average, {np.max(regrets):.2f} at worst;",
    ]
    lines.append(
        f"rank correlation with the true order: {np.mean(orders):.3f} on average, {np.min(orders):.2f} at worst."
    )
    return lines


def draw(rows: list[dict[str, str]]) -> None:
    """Draw every estimate beside the truth."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "recsys"
    import matplotlib.pyplot as plt

    figure, plot = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    logged = float(np.mean([float(row["logged"]) for row in rows]))
    plot.axvline(logged, color="0.6", lw=1, label=f"what was logged: {logged:.0f}")
    for place, name in enumerate(reversed(NAMES)):
        own = [row for row in rows if row["policy"] == name]
        spread = np.linspace(-0.25, 0.25, len(own))
        value, low, high = (np.array([float(row[key]) for row in own]) for key in ("value", "low", "high"))
        plot.hlines(place + spread, low, high, color="tab:blue", lw=0.4, alpha=0.6)
        plot.plot(
            value, place + spread, ".", color="tab:blue", ms=3, label="estimates, 95 % intervals" if not place else None
        )
        truth = float(own[0]["truth"])
        label = "true return" if not place else None
        plot.plot([truth, truth], [place - 0.36, place + 0.36], color="tab:red", lw=1.6, label=label)
    plot.set_yticks(range(len(NAMES)), list(reversed(NAMES)))
    plot.set_xlabel(f"return of a session, estimated from {SESSIONS} sessions of random slates")
    plot.legend(fontsize=8, frameon=False, loc="lower right")
    figure.savefig(HERE / "returns.svg")
    plt.close(figure)


def main() -> None:
    """Judge the data sets that are missing, then sum up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--slateq", type=Path, default=Path("runs/ope/slateq"), help="folder of its run, trained if missing"
    )
    parser.add_argument("--sets", type=int, default=100, help="data sets")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="stop after so many; the next call continues"
    )
    parser.add_argument("--truth-users", type=int, default=TRUTH_USERS, help="episodes of a policy's true return")
    arguments = parser.parse_args()
    env, path, began = problem(), HERE / "returns.csv", time.monotonic()
    targets = policies(env, arguments.slateq)
    rows = list(csv.DictReader(path.open())) if path.is_file() else []
    truth = {row["policy"]: float(row["truth"]) for row in rows}
    if not truth:
        truth = {
            name: float(play(each, env, arguments.truth_users, 10**6).returns.mean()) for name, each in targets.items()
        }
    done = {int(row["set"]) for row in rows}
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not rows:
            writer.writerow(FIELDS)
        for number in sorted(set(range(arguments.sets)) - done):
            if not done or time.monotonic() - began < arguments.seconds:
                done.add(number)
                writer.writerows(judge_set(number, env, targets, truth))
                file.flush()
    rows = list(csv.DictReader(path.open()))
    lines = summary(rows)
    (HERE / "returns.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    draw(rows)


if __name__ == "__main__":
    main()
