"""Estimators side by side: a step's reward from 1,000 random steps, and a session's return from 300 random sessions.

    uv run python -m experiments.ope.comparison steps --sets 100
    uv run python -m experiments.ope.comparison sessions --sets 20

Interest evolution, 3 of 10 documents, uniformly random slates. Targets: the policy of a trained SlateQ, its slates
drawn sharply and softly from its scores, and those of the myopic one. Every data set is drawn anew. A line is an
estimator: relative error, bias, coverage of the 95 % interval among the data sets where there is one, and how often it
refuses. What is finished is kept in the work folder and not computed again. Writes `steps.md` or `sessions.md`, and
csv files of the same, beside this file.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from recsys_cli.config.compose import compose
from recsys_cli.config.explore import Explore
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.interest_evolution import InterestEvolutionConfig, quality_means
from recsys_cli.files import replacing
from recsys_cli.offline.choice import known_choice
from recsys_cli.offline.estimators.base import Estimate
from recsys_cli.offline.estimators.clicks import StepClicks
from recsys_cli.offline.estimators.fqe import ValueModel
from recsys_cli.offline.estimators.session_comparison import SessionComparison
from recsys_cli.offline.estimators.step_comparison import StepComparison
from recsys_cli.offline.judging import Logged
from recsys_cli.offline.recording import play_round
from recsys_cli.offline.steps import Steps
from recsys_cli.offline.support import SupportCheck
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.exploration import ExploringPolicy
from recsys_cli.policies.uniform import UniformPolicy
from recsys_cli.policies.value_features import ValueFeatures
from recsys_cli.rollouts.episodes import play
from recsys_cli.tracking.loading import load_checkpoint
from recsys_cli.tracking.references import resolve

HERE = Path(__file__).parent
PROBLEM = ("env=interest_evolution", "env.slate_size=3")
STEPS, SESSIONS = 1_000, 300  # of a data set
TARGETS = {"sharp": ("slateq", 0.6), "soft": ("slateq", 4.5), "myopic-soft": ("myopic", 0.7)}
USERS, TRUTH_USERS = 2_000, 400  # whose steps are drawn from, and on whom the truth is played for each data set


@dataclass(frozen=True)
class Found:
    """One estimate from one data set."""

    number: int
    target: str
    truth: float
    estimator: str
    value: float
    low: float
    high: float
    refused: bool

    @classmethod
    def of(cls, number: int, target: str, truth: float, estimate: Estimate) -> Found:
        """Take an estimate."""
        refused = estimate.refusal is not None
        return cls(number, target, truth, estimate.name, estimate.value, estimate.low, estimate.high, refused)

    @classmethod
    def read(cls, row: dict[str, str]) -> Found:
        """Read a line of a csv file."""
        truth, value, low, high = (float(row[name]) for name in ("truth", "value", "low", "high"))
        return cls(
            int(row["number"]), row["target"], truth, row["estimator"], value, low, high, row["refused"] == "True"
        )


@dataclass(frozen=True)
class Row:
    """One estimator and target: shares of the truth, and of data sets."""

    estimator: str
    target: str
    truth: float
    error: float
    bias: float
    coverage: float
    refused: float
    sets: int

    @property
    def cell(self) -> str:
        """Error, bias, coverage and refusals in a table."""
        coverage = "-" if np.isnan(self.coverage) else f"{self.coverage:.2f}"
        off = "no value" if np.isnan(self.error) else f"{100 * self.error:.1f} / {100 * self.bias:+.1f}"
        return f"{off} / {coverage} / {self.refused:.0%}"


def problem() -> EnvConfig:
    """Return the problem."""
    config = compose("train", [*PROBLEM, "algo=random"])
    assert config.env is not None
    return config.env


def trained(folder: Path, *more: str) -> SlatePolicy:
    """Return the policy of a trained SlateQ; train it, with `more` settings, if it is not there yet."""
    if not list(folder.glob("*/seed_0")):
        words = (
            "algo=slateq",
            "resources=inline",
            "tracking=off",
            "evaluation.baselines=[]",
            f"output_dir={folder}",
            *more,
        )
        subprocess.run([sys.executable, "-m", "recsys_cli", "train", *PROBLEM, *words], check=True)
    (seed,) = folder.glob("*/seed_0")
    return load_checkpoint(resolve(f"{seed}/last", folder, None)).policy


def targets(env: EnvConfig, slateq: SlatePolicy) -> dict[str, SlatePolicy]:
    """Return the policies to be judged."""
    myopic = compose("train", [*PROBLEM, "algo=myopic"]).algo.make_policy(env.spec)
    sources = {"slateq": slateq, "myopic": myopic}
    return {
        name: ExploringPolicy(sources[source], Explore("plackett_luce", temperature))
        for name, (source, temperature) in TARGETS.items()
    }


def of_steps(env: EnvConfig, policies: dict[str, SlatePolicy], todo: Sequence[int]) -> Iterator[Found]:
    """Judge sets of single steps; the reward of a click is the document's quality plus 3."""
    behaviour, choice, features = UniformPolicy(env.spec.slate_size), known_choice(env.spec), ValueFeatures(env.spec, 0)
    assert choice is not None and isinstance(env, InterestEvolutionConfig)
    pool, means = play_round(behaviour, env, USERS, 1, 0), quality_means(env) + 3
    rows = np.random.default_rng(0).permutation(np.flatnonzero(pool.valid))
    for number in todo:
        chosen = np.sort(rows[number * STEPS : (number + 1) * STEPS])
        logged = Logged.of(_single(pool.take(chosen)), choice, behaviour)
        for name, policy in policies.items():
            judged, comparison, clicks = (
                logged.judge(policy),
                StepComparison(env.spec, SupportCheck(3)),
                StepClicks(features),
            )
            comparison.add(judged)
            clicks.add(judged)
            # In these states; the mean over all sets is the truth.
            truth = float((judged.target_clicks[:, :-1] * means[judged.steps.doc]).sum(1).mean())
            for each in (*comparison.estimates(), *clicks.estimates()):
                yield Found.of(number, name, truth, each)


def of_sessions(env: EnvConfig, policies: dict[str, SlatePolicy], todo: Sequence[int]) -> Iterator[Found]:
    """Judge sets of whole sessions."""
    behaviour, choice = UniformPolicy(env.spec.slate_size), known_choice(env.spec)
    assert choice is not None
    for number in todo:
        steps = play_round(behaviour, env, SESSIONS, 2 + number, 0)
        model = ValueModel.of(env.spec, steps)
        logged = Logged.of(model.remembering(steps), choice, behaviour)
        for name, policy in policies.items():
            comparison = SessionComparison(model, SupportCheck(3))
            comparison.add(logged.judge(policy))
            truth = float(play(policy, env, TRUTH_USERS, 10**6 + number).returns.mean())
            for each in (*comparison.estimates(), comparison.fqe.estimate()):
                yield Found.of(number, name, truth, each)


PARTS = {"steps": of_steps, "sessions": of_sessions}


def found_in(part: str, sets: int, work: Path) -> list[Found]:
    """Return the estimates from so many data sets, computing those that are missing."""
    path = work / f"{part}.csv"
    kept = [Found.read(row) for row in csv.DictReader(path.open())] if path.is_file() else []
    todo = sorted(set(range(sets)) - {each.number for each in kept})
    if todo:
        env = problem()
        policies = targets(env, trained(work / "slateq"))
        for number, group in groupby(PARTS[part](env, policies, todo), key=lambda each: each.number):
            kept += group
            with replacing(path) as temporary, temporary.open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([field.name for field in dataclasses.fields(Found)])
                writer.writerows(dataclasses.astuple(each) for each in kept)
            print(f"{part}: {number + 1} of {sets}", flush=True)
    return [each for each in kept if each.number < sets]


def summed_up(found: Sequence[Found]) -> Iterator[Row]:
    """Yield a row for each estimator and target."""
    names = dict.fromkeys((each.estimator, each.target) for each in found)
    for estimator, target in names:
        truth = float(np.mean([each.truth for each in found if each.target == target]))
        same = [each for each in found if (each.estimator, each.target) == (estimator, target)]
        off = np.array([each.value for each in same if not np.isnan(each.value)] or [np.nan]) / truth - 1
        inside = [each.low <= truth <= each.high for each in same if not np.isnan(each.low)]
        coverage = float(np.mean(inside)) if inside else float("nan")
        error, bias = float(np.sqrt(np.mean(off**2))), float(off.mean())
        refused = float(np.mean([each.refused for each in same]))
        yield Row(estimator, target, truth, error, bias, coverage, refused, len(same))


def _single(steps: Steps) -> Steps:
    """Return steps as episodes of one step each, rewarded by quality."""
    k, n = steps.slate_size, len(steps)
    at = np.minimum(steps.clicked, k - 1)[:, None].astype(np.int64)
    quality = np.take_along_axis(steps.response["quality"], at, axis=1)[:, 0] + 3
    reward = np.where(steps.clicked < k, quality, 0.0).astype(np.float32)
    ended, whole = np.ones(n, bool), np.zeros(n, bool)
    numbers, first = np.arange(n), np.zeros(n, np.int32)
    return dataclasses.replace(steps, episode=numbers, step=first, reward=reward, terminated=ended, truncated=whole)


def write(rows: list[Row], name: str, title: str) -> None:
    """Write the rows as csv and markdown, and print them."""
    with (HERE / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in dataclasses.fields(Row)])
        writer.writerows(dataclasses.astuple(row) for row in rows)
    by_place = {(row.estimator, row.target): row for row in rows}
    columns = list(dict.fromkeys(row.target for row in rows))
    truths = [f"{target} ({by_place[rows[0].estimator, target].truth:.3g})" for target in columns]
    lines = [f"| {title} | {' | '.join(truths)} |", "|---|" + "---|" * len(columns)]
    for estimator in dict.fromkeys(row.estimator for row in rows):
        lines.append(f"| {estimator} | {' | '.join(by_place[estimator, target].cell for target in columns)} |")
    (HERE / f"{name}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines), flush=True)


def main() -> None:
    """Judge and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--sets", type=int, default=20, help="data sets, of steps at most 100")
    parser.add_argument("--work", type=Path, default=Path("runs/ope"), help="folder of the trained SlateQ and results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = {"steps": f"{STEPS:,} steps", "sessions": f"{SESSIONS} sessions"}[arguments.part]
    found = found_in(arguments.part, arguments.sets, arguments.work)
    write(list(summed_up(found)), arguments.part, f"from {size}, {arguments.sets} data sets")


if __name__ == "__main__":
    main()
