"""Policy gradients on slates: rollouts, advantages, RLlib's losses on them, training and resuming, for every yaml."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.impala.torch.vtrace_torch_v2 import vtrace_torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from trainings import trainings, whole_state

from recsys_cli.algos.policy_gradient.advantages import generalised_advantages
from recsys_cli.algos.policy_gradient.config import PolicyGradientConfig
from recsys_cli.algos.policy_gradient.connector import TrajectoryConnector
from recsys_cli.algos.reinforce_topk.learner import off_policy_weight, top_k_factor
from recsys_cli.algos.rllib_training import RLlibTraining
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.networks.features import Observed
from recsys_cli.rollouts.on_policy import OnPolicyRunner, Rollout
from recsys_cli.slates.plackett_luce import PlackettLuce

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml") if path.stem != "groups")
ALGOS = sorted(
    path.stem
    for path in (conf_dir() / "algo").glob("[!_]*.yaml")
    if isinstance(load("algo", path.stem), PolicyGradientConfig)
)
SMALL = ("report_every=300", "resources.users_per_runner=32", "algo.rollout_length=6", "algo.network.hidden=[8]")
MakeTraining = Callable[..., RLlibTraining]


def make_runner(*words: str, **changes: Any) -> OnPolicyRunner:
    run = compose("train", ["algo=ppo", *SMALL, *words])
    config = run.algo.algorithm().config_of(run.algo, run, seed=3)
    for name, value in changes.items():
        setattr(config, name, value)
    return OnPolicyRunner(config=config)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_propensities_are_those_of_the_policy_that_drew(problem: str) -> None:
    runner = make_runner(f"env={problem}", "algo.memory=documents")
    (rollout,) = runner.sample()
    arrays = (rollout.user, rollout.doc, rollout.memory)
    observed = Observed(*(torch.as_tensor(array).flatten(0, 1) for array in arrays))
    with torch.no_grad():
        slates = PlackettLuce(runner.module.net.scores(observed), runner.config.problem.slate_size)
        expected = slates.log_prob(torch.as_tensor(rollout.slate).long().flatten(0, 1))
    np.testing.assert_allclose(rollout.log_propensity.ravel(), expected, atol=1e-5)
    assert not (rollout.slate.reshape(-1, rollout.slate.shape[-1]) == slates.mode().numpy()).all()
    (following,) = runner.sample()
    np.testing.assert_array_equal(rollout.last_user, following.user[0])
    np.testing.assert_array_equal(rollout.last_doc, following.doc[0])


def test_acting_without_exploring_shows_the_mode() -> None:
    runner = make_runner()
    (rollout,) = runner.sample(explore=False)
    observed = Observed(*(torch.as_tensor(array[2]) for array in (rollout.user, rollout.doc, rollout.memory)))
    np.testing.assert_array_equal(rollout.slate[2], runner.module.net.slates(observed))
    assert (rollout.log_propensity == 0).all()
    (random,) = runner.sample(random_actions=True)
    np.testing.assert_allclose(random.log_propensity, -math.log(90), rtol=1e-5)


def test_rollouts_are_shared_out_by_users() -> None:
    runner = make_runner(num_learners=2)
    one, other = runner.sample()
    assert len(one) == len(other) == 6 * 16 and one.last_user.shape[0] == 16
    runner_of_all = make_runner()
    (whole,) = runner_of_all.sample()
    for name, array in whole.arrays():
        axis = 0 if name.startswith("last") else 1
        np.testing.assert_array_equal(np.concatenate([getattr(one, name), getattr(other, name)], axis), array)
    assert one.env_steps() + other.env_steps() == whole.env_steps()


def advantages_by_hand(values: Any, reward: Any, terminated: Any, valid: Any, discount: float, lam: float) -> Any:
    """The definition, one user and one step at a time."""
    steps, users = reward.shape
    result = np.zeros((steps, users))
    for u in range(users):
        for t in range(steps):
            factor, s = 1.0, t
            while s < steps and valid[s, u]:
                following = 0.0 if terminated[s, u] else values[s + 1, u]
                result[t, u] += factor * (reward[s, u] + discount * following - values[s, u])
                factor, s = factor * discount * lam, s + 1
    return result


@pytest.mark.parametrize(("discount", "lam"), [(1.0, 0.95), (0.9, 1.0), (0.7, 0.0)])
def test_advantages_are_the_definition(discount: float, lam: float) -> None:
    rng = np.random.default_rng(0)
    reward, values = rng.normal(size=(12, 9)), rng.normal(size=(13, 9))
    ends = rng.random((12, 9)) < 0.3
    valid = np.vstack([np.ones((1, 9), bool), ~ends[:-1]])
    ends &= valid
    valid = np.vstack([np.ones((1, 9), bool), ~ends[:-1]])
    terminated = ends & (rng.random((12, 9)) < 0.5)  # the others are truncated
    computed = generalised_advantages(
        *(torch.as_tensor(array) for array in (values, reward, terminated, valid)), discount, lam
    )
    np.testing.assert_allclose(
        computed, advantages_by_hand(values, reward, terminated, valid, discount, lam), atol=1e-12
    )


def test_a_batch_holds_the_valid_transitions() -> None:
    run = compose("train", ["algo=ppo", *SMALL, "env.time_budget=6", "algo.gae_lambda=0.8"])
    config = run.algo.algorithm().config_of(run.algo, run, seed=0)
    rollout: Rollout
    (rollout,) = OnPolicyRunner(config=config).sample(num_timesteps=32 * 20)
    assert 0 < rollout.env_steps() < len(rollout)
    vec = run.env.make_vec(1)
    spaces = {DEFAULT_MODULE_ID: (vec.single_observation_space, vec.single_action_space)}
    learner = config.build_learner(spaces=spaces)
    batch = learner._learner_connector(rl_module=learner.module, batch={}, episodes=[rollout])[DEFAULT_MODULE_ID]
    assert {len(column) for column in batch.values()} == {rollout.env_steps()}
    np.testing.assert_array_equal(batch["user"], rollout.user[rollout.valid])
    np.testing.assert_array_equal(batch[Columns.ACTIONS], rollout.slate[rollout.valid])
    assert batch["advantages"].mean().item() == pytest.approx(0, abs=1e-5)
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    every = [
        np.concatenate([getattr(rollout, name), getattr(rollout, f"last_{name}")[None]])
        for name in ("user", "doc", "memory")
    ]
    with torch.no_grad():
        rows = [Observed(*map(torch.as_tensor, row)) for row in zip(*every, strict=True)]
        values = np.stack([module.critic(row).numpy() for row in rows])
    computed = advantages_by_hand(values, rollout.reward, rollout.terminated, rollout.valid, 1.0, 0.8)
    np.testing.assert_allclose(batch["value_targets"], (computed + values[:-1])[rollout.valid], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("changes", [("env.time_budget=6",), ("env=interest_exploration", "env.horizon=9")])
def test_v_trace_on_policy_gives_whole_returns_also_where_episodes_are_cut(changes: tuple[str, ...]) -> None:
    """RLlib's V-trace on our trajectories equals generalised advantages with lambda 1, ends and cuts included."""
    run = compose("train", ["algo=impala", *SMALL, *changes, "algo.rollout_length=20"])
    config = run.algo.algorithm().config_of(run.algo, run, seed=0)
    runner = OnPolicyRunner(config=config)
    (rollout,) = runner.sample()
    vec = run.env.make_vec(1)
    spec = config.get_rl_module_spec(
        spaces={DEFAULT_MODULE_ID: (vec.single_observation_space, vec.single_action_space)}
    )
    module = spec.build()
    module.net.load_state_dict(runner.module.net.state_dict())
    batch = TrajectoryConnector()(rl_module=Modules(module), batch={}, episodes=[rollout])[DEFAULT_MODULE_ID]
    rows = {name: column.unflatten(0, (32, 21)).transpose(0, 1) for name, column in batch.items()}
    with torch.no_grad():
        values = module.critic(module.net.observed_in(batch)).unflatten(0, (32, 21)).T
        slates = module.get_train_action_dist_cls().from_logits(module._forward(batch)[Columns.ACTION_DIST_INPUTS])
        target = slates.logp(batch[Columns.ACTIONS]).unflatten(0, (32, 21)).T
    mask = rows[Columns.LOSS_MASK]
    computed, _ = vtrace_torch(
        target_action_log_probs=target,
        behaviour_action_log_probs=rows[Columns.ACTION_LOGP],
        discounts=config.gamma * mask * ~rows[Columns.TERMINATEDS],
        rewards=rows[Columns.REWARDS],
        values=values,
        bootstrap_values=values[0],
    )
    expected = advantages_by_hand(
        values.numpy(), rollout.reward, rollout.terminated, rollout.valid, config.gamma, lam=1.0
    )
    assert rollout.env_steps() == mask.sum() < 32 * 20
    np.testing.assert_allclose((computed - values)[:-1][rollout.valid], expected[rollout.valid], rtol=1e-3, atol=2e-2)


def test_what_is_bootstrapped_from_stays_as_it_was_at_the_update_s_beginning() -> None:
    runner = make_runner("algo=impala")
    module = runner.config.get_rl_module_spec(env=None, spaces=runner.get_spaces()).build()
    (rollout,) = runner.sample()
    batch = TrajectoryConnector()(rl_module=Modules(module), batch={}, episodes=[rollout])[DEFAULT_MODULE_ID]
    with torch.no_grad():
        before = module.compute_values(batch)
        for parameter in module.critic.parameters():
            parameter += 0.5
        after = module.compute_values(batch)
    learned = batch[Columns.LOSS_MASK]
    assert (~learned).sum() >= 32
    torch.testing.assert_close(after[~learned], before[~learned], rtol=0, atol=0)
    assert (after[learned] != before[learned]).all()


class Modules(dict[str, Any]):
    """A module as a learner's connector finds it."""

    def __init__(self, module: Any) -> None:
        super().__init__({DEFAULT_MODULE_ID: module})


@pytest.mark.parametrize(("pi", "k", "expected"), [(0.2, 1, 1.0), (0.2, 3, 3 * 0.64), (1.0, 2, 0.0)])
def test_top_k_factor_is_the_paper_s(pi: float, k: int, expected: float) -> None:
    assert top_k_factor(torch.tensor([pi]).log(), k).item() == pytest.approx(expected)
    weight = off_policy_weight(torch.tensor([0.6, 0.1]).log(), torch.tensor([0.1, 0.2]).log(), cap=5.0)
    torch.testing.assert_close(weight, torch.tensor([5.0, 0.5]))


@pytest.fixture
def make_training() -> Iterator[MakeTraining]:
    """A function that builds a small training from overrides; ended after the test."""
    with trainings(*SMALL) as make:
        yield make


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("algo", ALGOS)
def test_it_trains_and_a_restored_training_is_the_uninterrupted_one(
    make_training: MakeTraining, assert_same: Callable[[Any, Any], None], tmp_path: Path, algo: str, problem: str
) -> None:
    words = (f"algo={algo}", f"env={problem}", "steps=3000")
    one = make_training(*words)
    fresh = one.policy().tensors()
    one.step()
    one.save(tmp_path / "state")
    two = make_training(*words)
    two.restore(tmp_path / "state")
    for _ in range(2):
        report, other = one.step(), two.step()
        assert report == other
        assert {"learner/loss", "learner/lr"} <= set(report) and all(map(math.isfinite, report.values()))
    assert_same(whole_state(one), whole_state(two))
    assert any((value != fresh[name]).any() for name, value in one.policy().tensors().items())
    assert math.isfinite(two.evaluate(8, seed=1)["return"])


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize(
    "algo", [pytest.param(algo, marks=[] if algo == "reinforce_topk" else pytest.mark.slow) for algo in ALGOS]
)
def test_it_learns_what_no_myopic_policy_does(make_training: MakeTraining, algo: str) -> None:
    """Random 154, myopic 166; 60,000 steps go well beyond."""
    training = make_training(
        f"algo={algo}",
        "steps=60000",
        "report_every=60000",
        "evaluation.every=0",
        "checkpoint.every=0",
        "resources.users_per_runner=128",
        "algo.rollout_length=16",
        "algo.minibatch_size=256",
        "algo.network.hidden=[32]",
    )
    training.step()
    assert training.evaluate(1000, seed=1)["return"] > 185


@pytest.mark.parametrize("algo", ALGOS)
def test_settings_out_of_range(algo: str) -> None:
    for key, value in (
        ("lr", 0),
        ("rollout_length", 0),
        ("grad_clip", -1.0),
        ("entropy_coeff", -1),
        ("discount", 2),
        ("epochs", 0),
    ):
        with pytest.raises(ConfigError, match=rf"algo\.{key}="):
            load("algo", algo, **{key: value})
    with pytest.raises(ConfigError, match="never terminate"):
        compose("train", [f"algo={algo}", "env=interest_exploration", "algo.discount=1"])
