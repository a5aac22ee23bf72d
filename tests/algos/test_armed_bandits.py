"""N-armed bandits: statistics of all users and of each, the prior, and what the settings refuse."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.episodes import play

LIKES = {
    "user_type_distribution": [0.4, 0.6],
    "user_document_mean_affinity_matrix": [[1.2, 0.0], [0.0, 1.2]],
    "topic_distribution": [0.5, 0.5],
    "topic_quality_mean": [0.0, 0.0],
}
ARMED = ["epsilon_greedy", "kl_ucb", "thompson", "ucb1"]


def transitions(topics, clicked, **more):
    n = len(clicked)
    columns = {"slate_doc": np.array(topics, np.uint8), "slate": np.tile([0, 1], (n, 1)), "clicked": np.array(clicked)}
    user = np.zeros((n, 20), np.float32)
    return {**columns, **more, "user": user, "reward": 4.0 * (np.array(clicked) < 2)}


@pytest.mark.parametrize(("outcome", "worth"), [("clicks", 1), ("rewards", 4)])
def test_every_document_shown_is_a_pull_of_its_topic(outcome, worth):
    policy = load("algo", "ucb1", outcome=outcome).make_policy(load("env", "interest_evolution").spec)
    policy.learn(transitions([[3, 5], [3, 3], [5, 9]], [0, 1, 2]))
    assert policy.counts.pulls[[3, 5, 9, 0]].tolist() == [3, 2, 1, 0]
    assert policy.counts.sums[[3, 5, 9]].tolist() == [2 * worth, 0, 0]
    assert policy.counts.total.tolist() == [6, 2 * worth**2, worth]


def test_the_prior_counts_every_user_once():
    """A fan pulls an arm nine times with success, another user once without: the mean of users is 1/2, not 9/10."""
    env = load("env", "interest_evolution")
    policy = load("algo", "kl_ucb", statistics="per_user", prior_count=2.0).make_policy(env.spec)
    memory = np.zeros((10, 40), np.float32)
    memory[1:9, 3] = np.arange(1, 9)  # what the fan's session has been, at its second to ninth step
    policy.learn(transitions([[3, 5]] * 10, [0] * 9 + [2], memory=memory))
    assert policy.counts.first[:, 3].tolist() == [2, 1]
    pulls, sums = policy._statistics(memory[:1], 1)
    assert (pulls[0, 3], sums[0, 3]) == (2.0, 1.0)
    assert pulls[0, 7] == 0  # of an arm that nobody pulled nothing is known


@pytest.mark.parametrize("name", ARMED)
def test_own_statistics_find_out_what_a_user_likes(name):
    env = load("env", "interest_exploration", no_click_mass=4.0, horizon=60, **LIKES)
    oracle = play(load("algo", "oracle").make_policy(env.spec), env, 600, seed=5).returns.mean()
    more = {"alpha": 0.25} if name == "ucb1" else {}
    scores = {}
    for statistics in ("pooled", "per_user"):
        policy = load("algo", name, statistics=statistics, **more).make_policy(env.spec, seed=1)
        collector, rng = Collector(env, 128, seed=0), np.random.default_rng(1)
        collector.remember(policy.new_memory(128))
        for _ in range(20):
            policy.learn(collector.collect(1, policy.behaviour, rng).transitions())
        scores[statistics] = play(policy, env, 600, seed=5).returns.mean()
    assert scores["pooled"] < 0.75 * oracle
    assert scores["per_user"] > 0.85 * oracle


def test_slates_of_kept_candidates_are_found_out_too():
    env = load(
        "env",
        "interest_exploration",
        no_click_mass=4.0,
        horizon=200,
        num_candidates=5,
        resample_documents=False,
        **LIKES,
    )
    policy = load("algo", "thompson", arms="slates", statistics="per_user").make_policy(env.spec, seed=1)
    random = play(load("algo", "random").make_policy(env.spec), env, 300, seed=5).returns.mean()
    oracle = play(load("algo", "oracle").make_policy(env.spec), env, 300, seed=5).returns.mean()
    assert play(policy, env, 300, seed=5).returns.mean() > random + 0.4 * (oracle - random)


KEPT = "env.resample_documents=false"
REFUSED = {
    "algo.alpha": ["algo.alpha=-1"],
    "algo.c": ["algo=kl_ucb", "algo.c=-1"],
    "algo.epsilon": ["algo=epsilon_greedy", "algo.epsilon=1.5"],
    "algo.posterior": ["algo=thompson", "algo.posterior=student"],
    "algo.prior_count=-1": ["algo.prior_count=-1"],
    "algo.prior_count=2": ["algo.prior_count=2"],
    "algo.max_arms=0": ["algo.max_arms=0"],
    "algo.max_arms=30": ["algo.arms=slates", "algo.statistics=per_user", KEPT, "algo.max_arms=30"],
    "algo.statistics=pooled": ["algo.arms=slates", KEPT],
    "env.resample_documents=true": ["algo.arms=slates", "algo.statistics=per_user"],
    "algo.arms=topics": ["env=long_term_satisfaction"],
}


@pytest.mark.parametrize("key", REFUSED)
def test_refuses_in_one_line(key):
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")) as refusal:
        compose("train", ["algo=ucb1", *REFUSED[key]])
    assert "\n" not in str(refusal.value)
