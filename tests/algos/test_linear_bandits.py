"""Linear bandits: what they learn, what they rank by, and what their settings refuse."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.policies.item_index import UpperBound
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.episodes import play

RNG = np.random.default_rng(0)


def transitions(n, clicked, topics=((0, 1),), reward=4.0):
    slate = np.resize(np.array(topics, np.uint8), (n, 2))
    user = RNG.uniform(-1, 1, (n, 20)).astype(np.float32)
    position = np.resize(clicked, n)
    return {"user": user, "slate_doc": slate, "clicked": position, "reward": reward * (position < 2).astype(np.float32)}


def test_a_topic_s_model_learns_from_the_clicks_on_it():
    env = load("env", "interest_evolution")
    policy = load("algo", "linucb", features="doc").make_policy(env.spec)
    policy.learn(transitions(90, [0, 1, 2]))
    belief = policy.items.regressions
    assert belief.moment.shape == (20, 1) and belief.totals[0] == 60
    np.testing.assert_allclose(belief.weights[:3, 0], [4 * 30 / 31, 4 * 30 / 31, 0])


def test_shown_and_not_clicked_counts_as_nothing():
    env = load("env", "interest_evolution")
    policy = load("algo", "linucb", features="doc", observe="shown", slate="top_k").make_policy(env.spec)
    policy.learn(transitions(90, [0, 2, 2]))
    belief = policy.items.regressions
    assert belief.totals[0] == 180
    np.testing.assert_allclose(belief.weights[:3, 0], [4 * 30 / 91, 0, 0])


def test_positions_that_nobody_looks_at_teach_nothing():
    env = load("env", "long_term_satisfaction")
    policy = load("algo", "linucb", observe="shown", slate="top_k", ridge=1e-3).make_policy(env.spec)
    shown = RNG.random((50, 2, 1)).astype(np.float32)
    columns = {"user": np.zeros((50, 0), np.float32), "slate_doc": shown, "clicked": np.zeros(50, np.int8)}
    policy.learn({**columns, "reward": 10 * shown[:, 0, 0]})
    assert policy.items.regressions.totals[0] == 50
    np.testing.assert_allclose(policy.items.regressions.weights[0], [0, 10], atol=0.05)


@pytest.mark.parametrize("parameters", ["shared", "disjoint"])
def test_the_bound_is_wider_where_less_is_known(parameters):
    env = load("env", "interest_evolution", num_candidates=3)
    algo = load("algo", "linucb", parameters=parameters, features="user_doc", alpha=3.0)
    policy = algo.make_policy(env.spec)
    policy.learn(transitions(400, [0]))
    user, doc = np.zeros((1, 20), np.float32), np.array([[0, 5, 5]], np.uint8)
    rng = np.random.default_rng(0)
    known, unknown, twin = policy.items.index(user, doc, UpperBound(0.0), rng)[0]
    bound, wide, twins = policy.items.index(user, doc, UpperBound(3.0), rng)[0]
    assert bound - known < (wide - unknown) / 3 and unknown == twin and wide == twins


def test_topic_numbers_and_one_hot_rows_are_the_same():
    env = load("env", "interest_evolution")
    policy = load("algo", "linucb").make_policy(env.spec)
    policy.learn(transitions(300, [0, 1, 2], topics=[(t, (t * 7 + 1) % 20) for t in range(20)]))
    dense, index = (env.make_vec(9, doc_format=kind).reset(seed=1)[0] for kind in ("dense", "index"))
    np.testing.assert_array_equal(policy.behaviour(dense).mode(), policy.behaviour(index).mode())


def test_forgetting_is_by_env_steps_not_by_clicks():
    env = load("env", "interest_evolution")
    policy = load("algo", "linucb", features="doc", forgetting=0.9).make_policy(env.spec)
    policy.learn(transitions(3, [0]))
    assert policy.items.regressions.totals[0] == pytest.approx(1 + 0.9 + 0.81)
    policy.learn(transitions(10, [2]))
    assert policy.items.regressions.totals[0] == pytest.approx((1 + 0.9 + 0.81) * 0.9**10)


def learned(env, **settings):
    policy = load("algo", "linucb", **settings).make_policy(env.spec)
    collector, rng = Collector(env, 256, seed=0), np.random.default_rng(0)
    collector.remember(policy.new_memory(256))
    for _ in range(120):
        policy.learn(collector.collect(1, policy.behaviour, rng).transitions())
    return play(policy, env, 400, seed=5).returns.mean()


def test_history_finds_out_what_a_user_likes():
    """Two types of users, each wanting its own topic: without memory the better topic of most is all one can show."""
    likes = {
        "user_type_distribution": [0.4, 0.6],
        "user_document_mean_affinity_matrix": [[1.2, 0.0], [0.0, 1.2]],
        "topic_distribution": [0.5, 0.5],
        "topic_quality_mean": [0.0, 0.0],
    }
    env = load("env", "interest_exploration", no_click_mass=4.0, horizon=50, **likes)
    without, with_memory = learned(env), learned(env, memory="documents")
    oracle = play(load("algo", "oracle").make_policy(env.spec), env, 400, seed=5).returns.mean()
    assert without < 0.75 * oracle
    assert with_memory > 0.92 * oracle


def test_clickbait_wins_where_the_reward_is_immediate():
    env = load("env", "long_term_satisfaction", num_candidates=20)
    assert learned(env) == pytest.approx(1137, rel=0.05)


REFUSED = {
    "algo.ridge": ["algo.ridge=0"],
    "algo.forgetting": ["algo.forgetting=1.1"],
    "algo.alpha": ["algo.alpha=-1"],
    "algo.posterior_scale": ["algo=lints", "algo.posterior_scale=-1"],
    "algo.epsilon": ["algo=linear_greedy", "algo.epsilon=2"],
    "algo.rollout_length": ["algo.rollout_length=0"],
    "algo.observe=shown": ["algo.observe=shown"],
    "algo.parameters=disjoint": ["env=interest_exploration", "algo.parameters=disjoint"],
    "resources.gpus_per_learner": ["resources.gpus_per_learner=0.5"],
    "resources.learners": ["resources.learners=2"],
}


@pytest.mark.parametrize("key", REFUSED)
def test_refuses_in_one_line(key, monkeypatch):
    monkeypatch.setattr("recsys_cli.config.resources.machine_cpus", lambda: 8)
    monkeypatch.setattr("recsys_cli.config.resources.machine_gpus", lambda: 1)
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")) as refusal:
        compose("train", ["algo=linucb", *REFUSED[key]])
    assert "\n" not in str(refusal.value)
