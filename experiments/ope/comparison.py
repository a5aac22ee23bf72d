"""Estimators side by side: a step's reward from 1,000 random steps, and a session's return from 300 random sessions.

    uv run python -m experiments.ope.comparison steps sessions

Interest evolution, 3 of 10 documents, uniformly random slates. Targets: the policy of a trained SlateQ, its slates
drawn sharply and softly from its scores, and those of the myopic one. Every data set is drawn anew. A line is an
estimator: relative error, bias, coverage of the 95 % interval among the data sets where there is one, and how often it
refuses. Writes `steps.csv`, `steps.md`, `sessions.csv` and `sessions.md` beside this file.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recsys_cli.config.compose import compose
from recsys_cli.config.explore import Explore
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.interest_evolution import InterestEvolutionConfig, quality_means
from recsys_cli.offline.choice import known_choice
from recsys_cli.offline.estimators.base import Estimate
from recsys_cli.offline.estimators.session_comparison import SessionComparison
from recsys_cli.offline.estimators.step_comparison import StepComparison
from recsys_cli.offline.judging import Judged, Logged
from recsys_cli.offline.recording import play_round
from recsys_cli.offline.steps import Steps
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.exploration import ExploringPolicy
from recsys_cli.policies.uniform import UniformPolicy
from recsys_cli.rollouts.episodes import play
from recsys_cli.tracking.loading import load_checkpoint
from recsys_cli.tracking.references import resolve

HERE = Path(__file__).parent
PROBLEM = ("env=interest_evolution", "env.slate_size=3")
SETS, STEPS, SESSIONS = 100, 1_000, 300
TARGETS = {"sharp": ("slateq", 0.6), "soft": ("slateq", 4.5), "myopic-soft": ("myopic", 0.7)}
TRUTH_USERS = 20_000


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
        return f"{100 * self.error:.1f} / {100 * self.bias:+.1f} / {coverage} / {self.refused:.0%}"


def problem() -> EnvConfig:
    """Return the problem."""
    config = compose("train", [*PROBLEM, "algo=random"])
    assert config.env is not None
    return config.env


def trained(folder: Path) -> SlatePolicy:
    """Return the policy of a trained SlateQ; train it if it is not there yet."""
    if not list(folder.glob("*/seed_0")):
        words = ("algo=slateq", "resources=inline", "tracking=off", "evaluation.baselines=[]", f"output_dir={folder}")
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


def of_steps(env: EnvConfig, policies: dict[str, SlatePolicy]) -> Iterator[Row]:
    """Judge sets of single steps; the reward of a click is the document's quality plus 3."""
    behaviour, rng = UniformPolicy(env.spec.slate_size), np.random.default_rng(0)
    pool = play_round(behaviour, env, 2_000, 1, 0)
    rows = rng.permutation(np.flatnonzero(pool.valid))[: SETS * STEPS].reshape(SETS, STEPS)
    means = _mean_reward(env)
    choice = known_choice(env.spec)
    assert choice is not None
    found: dict[str, list[list[Estimate]]] = {name: [] for name in policies}
    truths: dict[str, list[float]] = {name: [] for name in policies}
    for each in rows:
        logged = Logged.of(_single(pool.take(np.sort(each))), choice, behaviour)
        for name, policy in policies.items():
            judged = logged.judge(policy)
            comparison = StepComparison(env.spec.documents)
            comparison.add(judged)
            found[name].append(comparison.estimates())
            truths[name].append(_true_reward(judged, means))
    for name, estimates in found.items():
        yield from summed_up(estimates, name, float(np.mean(truths[name])))


def of_sessions(env: EnvConfig, policies: dict[str, SlatePolicy], sets: int) -> Iterator[Row]:
    """Judge sets of whole sessions."""
    behaviour, choice = UniformPolicy(env.spec.slate_size), known_choice(env.spec)
    assert choice is not None
    truth = {name: float(play(policy, env, TRUTH_USERS, 10**6).returns.mean()) for name, policy in policies.items()}
    found: dict[str, list[list[Estimate]]] = {name: [] for name in policies}
    for number in range(sets):
        logged = Logged.of(play_round(behaviour, env, SESSIONS, 2 + number, 0), choice, behaviour)
        for name, policy in policies.items():
            comparison = SessionComparison()
            comparison.add(logged.judge(policy))
            found[name].append(comparison.estimates())
    for name, estimates in found.items():
        yield from summed_up(estimates, name, truth[name])


def summed_up(sets: Sequence[Sequence[Estimate]], target: str, truth: float) -> Iterator[Row]:
    """Yield a row for each estimator."""
    for same in zip(*sets, strict=True):
        value = np.array([each.value for each in same]) / truth - 1
        inside = [each.low <= truth <= each.high for each in same if not np.isnan(each.low)]
        coverage = float(np.mean(inside)) if inside else float("nan")
        refused = float(np.mean([each.refusal is not None for each in same]))
        error, bias = float(np.sqrt(np.mean(value**2))), float(value.mean())
        yield Row(same[0].name, target, truth, error, bias, coverage, refused, len(same))


def _single(steps: Steps) -> Steps:
    """Return steps as episodes of one step each, rewarded by quality."""
    k, n = steps.slate_size, len(steps)
    at = np.minimum(steps.clicked, k - 1)[:, None].astype(np.int64)
    quality = np.take_along_axis(steps.response["quality"], at, axis=1)[:, 0] + 3
    reward = np.where(steps.clicked < k, quality, 0.0).astype(np.float32)
    ended, whole = np.ones(n, bool), np.zeros(n, bool)
    numbers, first = np.arange(n), np.zeros(n, np.int32)
    return dataclasses.replace(steps, episode=numbers, step=first, reward=reward, terminated=ended, truncated=whole)


def _mean_reward(env: EnvConfig) -> np.ndarray:
    assert isinstance(env, InterestEvolutionConfig)
    return quality_means(env) + 3


def _true_reward(judged: Judged, means: np.ndarray) -> float:
    """Return the target's mean reward in the states of a data set."""
    return float((judged.target_clicks[:, :-1] * means[judged.steps.doc]).sum(1).mean())


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
    parser.add_argument("parts", nargs="+", choices=("steps", "sessions"))
    parser.add_argument(
        "--slateq", type=Path, default=Path("runs/ope/slateq"), help="folder of its run, trained if missing"
    )
    parser.add_argument("--sets", type=int, default=20, help="data sets of sessions")
    arguments = parser.parse_args()
    env = problem()
    policies = targets(env, trained(arguments.slateq))
    if "steps" in arguments.parts:
        write(list(of_steps(env, policies)), "steps", f"from {STEPS:,} steps, {SETS} data sets")
    if "sessions" in arguments.parts:
        rows = list(of_sessions(env, policies, arguments.sets))
        write(rows, "sessions", f"from {SESSIONS} sessions, {arguments.sets} data sets")


if __name__ == "__main__":
    main()
