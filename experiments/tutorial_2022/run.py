"""The tutorial "Reinforcement learning for recommender systems" of 2022, reproduced and corrected.

    uv run python -m experiments.tutorial_2022.run

Three tables, each a csv and a markdown file beside this one: the tutorial's trainings as presets, several seeds each
(`trainings`); what its wrapper's fault costs, by which the second slot was always item 0 (`first_item_only`); and, in
its long-term satisfaction, what always clickbait, always kale, SlateQ and the oracle return over the sensitivity, with
a figure (`sensitivity`). Run again, it continues where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.runs import Entry, Score, results, train
from recsys_cli.algos.baselines import fitted_baseline
from recsys_cli.config.compose import compose
from recsys_cli.envs.base import EnvConfig
from recsys_cli.evaluation.statistics import mean_interval
from recsys_cli.policies import GreedyPolicy, SlatePolicy
from recsys_cli.policies.base import Observation
from recsys_cli.rollouts.episodes import play
from recsys_cli.tracking.loading import load_checkpoint
from recsys_cli.tracking.references import resolve

HERE = Path(__file__).parent
USERS, SEED = 2000, 1_000_000  # as `recsys evaluate` has them
BASELINES = "evaluation.baselines=[random,myopic,oracle]"
TRAININGS = [
    Entry(name, (f"experiment=tutorial_2022/{name}", BASELINES))
    for name in ("linucb_evolution", "linucb_satisfaction", "slateq_satisfaction")
]
SENSITIVITIES = (0.01, 0.03, 0.058, 0.07, 0.08, 0.09, 0.1, 0.15, 0.2)


class ByClickbait(GreedyPolicy):
    """Shows the documents of greatest, or least, clickbait."""

    def __init__(self, slate_size: int, sign: int) -> None:
        """Take 1 for clickbait, -1 for kale."""
        self.slate_size, self.sign = slate_size, sign

    def slates(self, observation: Observation) -> np.ndarray:
        """See `GreedyPolicy.slates`."""
        clickbait = self.sign * np.asarray(observation["doc"])[..., 0]
        return np.argsort(-clickbait, axis=1)[:, : self.slate_size]


class FirstItemOnly(GreedyPolicy):
    """Another policy's first item; behind it the item that the tutorial's wrapper put there: number 0.

    RLlib 2.8's wrapper counted slates, the first slot being the least significant digit, and the bandit chose among the
    first C numbers. A slate of item 0 twice, which RecSim accepts and our users do not, becomes one of items 0 and 1.
    """

    def __init__(self, policy: SlatePolicy) -> None:
        """Take the policy."""
        self.policy, self.slate_size = policy, 2

    def slates(self, observation: Observation) -> np.ndarray:
        """See `GreedyPolicy.slates`."""
        first = self.policy.distribution(observation).mode()[:, 0]
        return np.stack([first, (first == 0).astype(first.dtype)], axis=1)


def mean_return(policy: SlatePolicy, env: EnvConfig) -> float:
    """Play fresh users greedily."""
    return float(play(policy, env, USERS, SEED).returns.mean())


def write(name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table as csv and as markdown, and print it."""
    with (HERE / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    lines += [f"| {' | '.join(str(value) for value in row)} |" for row in rows]
    (HERE / f"{name}.md").write_text("\n".join(lines) + "\n")
    print(f"{name}\n" + "\n".join(lines) + "\n", flush=True)


def trainings(seeds: int, runs: Path) -> None:
    """Train the presets."""
    rows = results(TRAININGS, seeds, runs, HERE / "seeds.csv", training=True)
    header = ("preset", "return", "random", "myopic", "oracle", "seeds")
    write("trainings", header, [line(entry.name, [r for r in rows if r.name == entry.name]) for entry in TRAININGS])


def line(name: str, rows: Sequence[Score]) -> list[Any]:
    """Return a preset's line."""
    first = rows[0]
    return [name, mean_interval([row.score for row in rows]), first.random, first.myopic, first.oracle, len(rows)]


def first_item_only(seeds: int, runs: Path) -> None:
    """Play the trained LinUCB with whole slates, and with the wrapper's."""
    rows = []
    train(TRAININGS[0], range(seeds), runs)  # the table may know its scores from elsewhere, and there is the policy
    for trial in sorted((runs / "linucb_evolution").glob("seed_*")):
        loaded = load_checkpoint(resolve(f"{trial}/last", runs, None))
        whole, crippled = loaded.policy, FirstItemOnly(loaded.policy)
        rows.append([trial.name, *(round(mean_return(policy, loaded.env), 1) for policy in (whole, crippled))])
    write("first_item_only", ("seed", "whole slates", "first item only"), rows)


def sensitivity(seeds: int, runs: Path) -> None:
    """Play and train at every sensitivity, and draw the curves."""
    preset = "experiment=tutorial_2022/slateq_satisfaction"
    entries = [Entry(f"sensitivity-{s}", (preset, f"env.sensitivity={s}", BASELINES)) for s in SENSITIVITIES]
    scores = results(entries, seeds, runs, HERE / "sensitivity_seeds.csv", training=True)
    base, rows = compose("train", [preset]).env, []
    for value, entry in zip(SENSITIVITIES, entries, strict=True):
        env = dataclasses.replace(base, sensitivity=value)
        fixed = (ByClickbait(env.slate_size, sign) for sign in (1, -1))
        policies = (*fixed, fitted_baseline("random", env, SEED), fitted_baseline("oracle", env, SEED))
        own = mean_interval([score.score for score in scores if score.name == entry.name])
        rows.append([value, *(round(mean_return(policy, env), 1) for policy in policies), own])
    write("sensitivity", ("sensitivity", "always clickbait", "always kale", "random", "oracle", "slateq"), rows)
    figure(rows)


def figure(rows: Sequence[Sequence[Any]]) -> None:
    """Draw the curves."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "tutorial_2022"  # the same rows draw the same file
    fig, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    x = [row[0] for row in rows]
    for column, (label, style) in enumerate(
        (("always clickbait", "C3-"), ("always kale", "C2-"), ("random", "C7:"), ("oracle", "k--")), start=1
    ):
        axes.plot(x, [row[column] for row in rows], style, label=label)
    axes.errorbar(x, [row[5].mean for row in rows], [row[5].half_width for row in rows], fmt="C0o", label="SlateQ")
    axes.axvline(0.058, color="C7", linewidth=0.8)
    axes.annotate("tutorial", (0.058, axes.get_ylim()[0]), rotation=90, va="bottom", ha="right")
    axes.set_xlabel("sensitivity of the satisfaction")
    axes.set_ylabel("return (engagement in 120 steps)")
    axes.legend()
    fig.savefig(HERE / "sensitivity.svg", metadata={"Date": None})
    plt.close(fig)


PARTS = {"trainings": trainings, "first_item_only": first_item_only, "sensitivity": sensitivity}


def main() -> None:
    """Run what is missing, and write what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("runs/tutorial_2022"), help="folder that gets the runs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for part in args.parts:
        PARTS[part](args.seeds, args.runs)


if __name__ == "__main__":
    main()
