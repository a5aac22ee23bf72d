"""What is served is what `recsys evaluate` plays: every algorithm, trained a little, from its bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.config import catalog
from recsys_cli.config.compose import compose
from recsys_cli.config.explore import NOT_EXPLORING
from recsys_cli.config.structured import load
from recsys_cli.rollouts.collector import Collector
from recsys_cli.serving.model import Model
from recsys_cli.tracking.bundle import write_bundle
from recsys_cli.tracking.loading import load_checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "offline"))

from logs import log_of

pytestmark = pytest.mark.usefixtures("no_ray")

NAMES = [name for name in catalog.option_names("algo") if name != "oracle"]
SIZES = {"num_candidates": 6, "slate_size": 3}
PROBLEM: dict[str, Any] = {"num_topics": 4, "time_budget": 20.0, **SIZES}
SMALL: dict[str, Any] = {"batch_size": 32, "learning_starts": 30, "replay_capacity": 2000, "renew_every": 30}
USERS = 16


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return log_of(load("env", "interest_evolution", **PROBLEM), tmp_path_factory.mktemp("logs") / "random", users=12)


def problem_of(name: str) -> tuple[str, dict[str, Any]]:
    return ("interest_exploration", SIZES) if name == "tabular_q" else ("interest_evolution", PROBLEM)


def trained(name: str, folder: Path, log: Path) -> Path:
    """Write the bundle of a training of one report."""
    algo = load("algo", name)
    words = [f"algo={name}", "steps=80", "report_every=60", "resources.users_per_runner=8", "evaluation.every=0"]
    words += [f"algo.{key}={value}" for key, value in SMALL.items() if hasattr(algo, key)]
    env, settings = problem_of(name)
    plays = [f"env={env}", *(f"env.{key}={value}" for key, value in settings.items())]
    run = compose("train", [*words, *(plays if "env" in algo.learns_from else [f"data={log}"])])
    training = run.algo.make_training(run, 0)
    training.step()
    policy = training.policy().tensors()
    write_bundle(folder, config=run.to_dict(), spec=run.env.spec, policy_state=policy, info={"steps": training.steps})
    training.stop()
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_served_slates_are_those_of_evaluation(name: str, tmp_path: Path, log: Path) -> None:
    folder = trained(name, tmp_path / "bundle", log)
    checkpoint, model = load_checkpoint(folder), Model.load(folder, name, "runs/x", NOT_EXPLORING)
    spec, policy = checkpoint.spec, checkpoint.policy
    env, settings = problem_of(name)
    collector, rng = Collector(load("env", env, **settings), USERS, seed=5), np.random.default_rng(0)
    collector.remember(policy.new_memory(USERS))
    for _ in range(3):
        collector.collect(2, policy.served, rng)
        seen = collector.newest()
        dense = spec.documents.dense(np.asarray(seen["doc"]))
        request = {"user": seen["user"], "doc": dense, "mask": np.ones(dense.shape[:2], bool)}
        law = model.law(request | {key: seen[key] for key in ("memory",) if key in seen})
        evaluated, served = policy.served(seen), law.sample(rng)
        if policy.served_by_draws:
            np.testing.assert_allclose(law.log_prob(served), evaluated.log_prob(served), atol=1e-5)
        else:  # documents, for two of one topic are the same
            shown, played = (np.take_along_axis(dense, of[..., None], axis=1) for of in (served, evaluated.mode()))
            np.testing.assert_array_equal(shown, played)
