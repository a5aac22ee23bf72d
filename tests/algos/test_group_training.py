"""One policy for all groups of users, or one each: every algorithm learns both ways."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.algos.baselines import fitted_baseline, has_oracle
from recsys_cli.config import catalog
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.explore import NOT_EXPLORING
from recsys_cli.config.schema import TrainConfig
from recsys_cli.config.structured import load
from recsys_cli.envs.base import EnvConfig
from recsys_cli.policies.base import of_users
from recsys_cli.policies.routed import RoutedPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.episodes import play
from recsys_cli.serving.model import Model
from recsys_cli.tracking.bundle import write_bundle
from recsys_cli.tracking.loading import load_checkpoint

pytestmark = pytest.mark.usefixtures("no_ray")

NAMES = [name for name in catalog.option_names("algo") if "env" in load("algo", name).learns_from and name != "oracle"]
FAST = ("slateq", "lspi", "thompson", "ppo")
SMALL: dict[str, Any] = {"batch_size": 32, "learning_starts": 40, "replay_capacity": 2000, "renew_every": 30}
RUN = (
    "env=interest_exploration",
    "steps=400",
    "report_every=80",
    "resources.users_per_runner=16",
    "resources.inline=true",
)
USERS = 16


def groups(problem: str = "interest_evolution", **more: Any) -> EnvConfig:
    """Two groups with short sessions, three quarters of the users in the first."""
    evolution = problem == "interest_evolution"
    short: dict[str, Any] = {"num_topics": 4, "time_budget": 20.0} if evolution else {"horizon": 9}
    likes_second_topic = {"user_document_mean_affinity_matrix": [[0.1, 2.0], [0.1, 2.0]]}
    other: dict[str, Any] = {"document_quality_factor": -1.0} if evolution else likes_second_topic
    many, few = {"env": problem, "weight": 3, **short}, {"env": problem, "weight": 1, **short, **other}
    made: EnvConfig = load("env", "groups", num_candidates=6, groups={"many": many, "few": few}, **more)
    return made


def run_of(name: str, policies: str, env: EnvConfig | None = None) -> TrainConfig:
    algo = load("algo", name)
    words = [f"algo.{key}={value}" for key, value in SMALL.items() if hasattr(algo, key)]
    run: TrainConfig = compose("train", [*RUN, f"algo={name}", *words])
    problem = "interest_exploration" if name == "tabular_q" else "interest_evolution"
    return dataclasses.replace(run, policies=policies, env=env or groups(problem))


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_every_algorithm_learns_a_policy_for_each_group(
    name: str, tmp_path: Path, assert_same: Callable[[Any, Any], None]
) -> None:
    run = run_of(name, "own")
    run.learner.check(run.env.spec)
    training, other = (run.learner.make_training(run, 0) for _ in range(2))
    training.step()
    training.save(tmp_path / "state")
    other.restore(tmp_path / "state")
    report = training.step()
    assert report == other.step() and all(map(math.isfinite, report.values()))
    assert training._trainings["many"].steps / training.steps == pytest.approx(0.75, abs=0.2)
    policy = training.policy()
    assert_same(policy.tensors(), other.policy().tensors())
    check_checkpoint(tmp_path / "bundle", name, run, policy)
    for each in (training, other):
        each.stop()


def check_checkpoint(folder: Path, name: str, run: TrainConfig, policy: RoutedPolicy) -> None:
    """Each group gets its own policy's slates: from the checkpoint, and from a service."""
    write_bundle(folder, config=run.to_dict(), spec=run.env.spec, policy_state=policy.tensors(), info={"steps": 1})
    restored, collector = load_checkpoint(folder).policy, Collector(run.env, USERS, seed=5)
    collector.remember(policy.new_memory(USERS))
    collector.collect(2, policy.served, np.random.default_rng(0))
    seen, group = collector.newest(), collector.env.group
    assert (group == "many").sum() == 12
    slates = restored.served(seen).sample(np.random.default_rng(1))
    np.testing.assert_array_equal(slates, policy.served(seen).sample(np.random.default_rng(1)))
    dense = run.env.spec.documents.dense(np.asarray(seen["doc"]))
    request = {**seen, "doc": dense, "mask": np.ones(dense.shape[:2], bool)}
    served = Model.load(folder, name, "runs/x", NOT_EXPLORING).law(request).sample(np.random.default_rng(1))
    if policy.served_by_draws or name == "random":
        return
    for which, own in policy.policies.items():
        rows = np.flatnonzero(group == which)
        alone = of_users({**seen, "user": seen["user"][:, :-2]}, rows)
        np.testing.assert_array_equal(slates[rows], own.served(alone).mode())
    shown, played = (np.take_along_axis(dense, of[..., None], axis=1) for of in (served, slates))
    np.testing.assert_array_equal(shown, played)  # documents, for two of one topic are the same


def test_a_group_learns_as_it_would_alone(assert_same: Callable[[Any, Any], None]) -> None:
    run = run_of("slateq", "own")
    together = run.learner.make_training(run, 3)
    reports = [together.step() for _ in range(3)]
    users = dataclasses.replace(run.resources, users_per_runner=12)
    mine = run.env.parts["many"].env
    alone = dataclasses.replace(run, policies="shared", env=mine, steps=300, report_every=60, resources=users)
    training = alone.learner.make_training(alone, 3)
    while training.steps < together._trainings["many"].steps:
        report = training.step()
    assert_same(together._trainings["many"].policy().tensors(), training.policy().tensors())
    assert report["learner/loss"] == reports[-1]["learner/many/loss"]
    both = [reports[-1][f"train/{group}/return"] for group in ("many", "few")]
    assert reports[-1]["train/return"] == pytest.approx(np.average(both, weights=[3, 1]))
    means = together.evaluate(40, seed=1)
    assert means["return"] == pytest.approx(np.average([means["many/return"], means["few/return"]], weights=[3, 1]))
    for each in (together, training):
        each.stop()


def test_a_policy_for_all_sees_the_group_unless_it_is_hidden() -> None:
    for name, observed in (("slateq", True), ("slateq", False), ("lspi", True), ("linucb", True)):
        run = run_of(name, "shared", groups(group_observed=observed))
        run.learner.check(run.env.spec)
        training = run.learner.make_training(run, 0)
        training.step()
        means = training.evaluate(8, seed=1)
        assert {"many/return", "few/return"} <= set(means) and len(run.env.spec.user) == 4 + 2 * observed
        training.stop()


def test_every_group_has_its_own_baselines() -> None:
    env = groups("interest_exploration")
    assert has_oracle(env) and not has_oracle(groups("interest_exploration", group_observed=False))
    for name in ("myopic", "oracle"):
        together = play(fitted_baseline(name, env, 0), env, 400, seed=7).by_group()
        for group, part in env.parts.items():
            alone = play(fitted_baseline(name, part.env, 0), part.env, 400, seed=8)
            error = np.hypot(*(each.returns.std() / len(each) ** 0.5 for each in (alone, together[group])))
            assert abs(together[group].returns.mean() - alone.returns.mean()) < 4 * error
    # The groups like different topics: each one's slates would be wrong for the other.
    swapped = fitted_baseline("myopic", env.parts["many"].env, 0)
    own = play(fitted_baseline("myopic", env.parts["few"].env, 0), env.parts["few"].env, 200, seed=9).returns.mean()
    assert own > 1.05 * play(swapped, env.parts["few"].env, 200, seed=9).returns.mean()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("policies=own",), "policies=own needs groups of users that can be told apart, which env=interest_evolution"),
        (("env=groups", "policies=own", "env.group_observed=false"), "which env=groups has not"),
        (
            ("env=groups", "policies=own", "env.groups.casual.weight=0"),
            r"env\.groups\.casual\.weight=0: .* needs users",
        ),
        (("env=groups", "policies=own", "resources.env_runners=1"), r"resources\.env_runners=1: .* allowed: 0"),
        (("env=groups", "policies=own", "steps=10_000"), r"algo\.learning_starts"),
        (("env=groups", "policies=own", "algo=tabular_q"), r"env\.groups\.serious: algo=tabular_q"),
        (("env=groups", "policies=each"), "policies=each: one of shared, own is expected"),
    ],
)
def test_what_cannot_be_learned_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        compose("train", words)
    assert "\n" not in str(refusal.value)
