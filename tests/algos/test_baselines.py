"""Each baseline's return on each problem, against reference values; what is learned, saved and restored."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.algos.baselines import fitted_baseline, has_oracle, too_large_for_oracle
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.policies import GreedyPolicy, SlatePolicy
from recsys_cli.rollouts.episodes import play

USERS = 800
NAMES = ("random", "myopic", "oracle")
PROBLEMS = ("interest_evolution", "interest_exploration", "long_term_satisfaction")


class ByClickbait(GreedyPolicy):
    """Always the most (+1) or the least (-1) clickbait first."""

    def __init__(self, sign):
        self.sign = sign

    def slates(self, observation):
        return np.argsort(-self.sign * observation["doc"][..., 0], axis=1)[:, :2]


def returns(name, env):
    policy = name if isinstance(name, SlatePolicy) else fitted_baseline(name, env, 0)
    played = play(policy, env, USERS, seed=77).returns
    return played.mean(), played.std() / USERS**0.5


# Problem, changes, and the returns measured on recsim or with policies worked out by hand; None: no such figure.
REFERENCES = [
    ("interest_evolution", {}, (154.34, 166.04, 296.0)),
    pytest.param("interest_evolution", {"slate_size": 3}, (160.49, 167.8, 280.5), marks=pytest.mark.slow),
    ("interest_exploration", {}, (22.9, 38.9, 39.5)),
    ("long_term_satisfaction", {}, (950.2, 1118.6, 1118.6)),
    ("long_term_satisfaction", {"num_candidates": 20, "sensitivity": 0.2}, (965.0, 600.0, None)),
    ("long_term_satisfaction", {"num_candidates": 20}, (948.0, 1137.0, 1137.0)),
]


@pytest.mark.parametrize(("problem", "changes", "references"), REFERENCES)
def test_returns_are_those_of_the_references(problem, changes, references):
    env = load("env", problem, **changes)
    for name, reference in zip(NAMES, references, strict=True):
        if reference is not None:
            mean, error = returns(name, env)
            # A little room for the references' own error and for what the myopic baseline learned imperfectly.
            assert mean == pytest.approx(reference, abs=4 * error + 0.005 * reference), name


@pytest.mark.parametrize("sensitivity", [0.01, 0.058, 0.1, 0.2, -0.1])
def test_the_satisfaction_oracle_beats_both_simple_rules(sensitivity):
    env = load("env", "long_term_satisfaction", num_candidates=20, sensitivity=sensitivity)
    oracle, error = returns("oracle", env)
    rules = {sign: returns(ByClickbait(sign), env)[0] for sign in (-1, 1)}
    assert oracle > max(rules.values()) - error
    if sensitivity == 0.2:
        assert oracle > max(rules.values()) and rules[-1] == pytest.approx(1319, rel=0.02)


@pytest.mark.parametrize("kind", ["multinomial_logit", "exponential_cascade", "proportional_cascade"])
def test_order_under_the_other_choice_models(kind):
    changes = {"score_scaling": 0.3, "attention_prob": 0.9} if kind != "multinomial_logit" else {}
    env = load("env", "interest_evolution", choice_model=kind, time_budget=60.0, **changes)
    random, myopic, oracle = (returns(name, env)[0] for name in NAMES)
    assert oracle > 1.1 * myopic and myopic > random


def test_the_evolution_oracle_with_other_parameters():
    """Utility from the score too, dear steps without a click, no quality: still no worse than myopic."""
    env = load("env", "interest_evolution", user_quality_factor=1.0, step_penalty=3.0, time_budget=80.0)
    assert returns("oracle", env)[0] > returns("myopic", env)[0]
    plain = load("env", "interest_evolution", document_quality_factor=0.0, time_budget=60.0)
    (oracle, error), (myopic, _) = returns("oracle", plain), returns("myopic", plain)
    assert oracle > myopic - 2 * error


@pytest.mark.parametrize("resample", [True, False])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_baseline_plays_any_number_of_candidates(problem, resample):
    short = {"horizon": 3} if problem == "interest_exploration" else {"time_budget": 12}
    env = load("env", problem, num_candidates=37, slate_size=5, resample_documents=resample, **short)
    for name in NAMES:
        assert len(play(fitted_baseline(name, env, 1), env, 20, 0)) == 20


def test_baselines_play_recsim_s_own_users():
    env = load("env", "interest_evolution", backend="recsim", time_budget=12.0)
    for name in NAMES:
        assert (play(fitted_baseline(name, env, 1), env, 3, 0).returns > 0).any()


def test_a_problem_without_an_oracle():
    env = load("env", "interest_exploration", name="mine")
    assert not has_oracle(env) and all(has_oracle(load("env", name)) for name in PROBLEMS)
    assert fitted_baseline("myopic", env, 0).learns
    with pytest.raises(ConfigError, match="env=mine"):
        load("algo", "oracle").check(env.spec)


def test_too_many_candidates_are_played_without_an_oracle():
    few, many = (load("env", "interest_evolution", num_candidates=size) for size in (2_000, 2_001))
    assert has_oracle(few) and not too_large_for_oracle(few)
    assert not has_oracle(many) and "env.num_candidates=2,000" in too_large_for_oracle(many)


def test_what_trains_and_what_does_not():
    trains = {name: [load("algo", name).trains_on(load("env", problem).spec) for problem in PROBLEMS] for name in NAMES}
    assert trains == {"random": [False] * 3, "myopic": [False, True, True], "oracle": [False] * 3}


def test_myopic_ranks_by_the_true_logit():
    """Exploration with one user type: the score of a document is a fixed number a topic plus its quality."""
    env = load(
        "env",
        "interest_exploration",
        user_type_distribution=[1.0],
        user_document_mean_affinity_matrix=[[0.1, 1.3]],
        user_document_stddev_affinity_matrix=[[0.0, 0.0]],
    )
    policy = fitted_baseline("myopic", env, 0)
    doc = env.make_vec(200).reset(seed=1)[0]["doc"]
    score = np.exp([0.1, 1.3])[doc[..., :2].argmax(-1)] + doc[..., 2]
    slates = policy.distribution({"user": np.zeros((200, 0), np.float32), "doc": doc}).mode()
    best = -np.sort(-score, axis=1)[:, :2]
    np.testing.assert_allclose(np.take_along_axis(score, slates, 1).sum(1), best.sum(1), atol=0.1)
    # 1, topic 0, topic 1, quality; the null's score is 5.
    weights = policy.logit.weights
    assert weights[3] == pytest.approx(1.0, abs=0.15)
    assert weights[2] - weights[1] == pytest.approx(np.exp(1.3) - np.exp(0.1), abs=0.15)
    assert weights[0] + weights[1] == pytest.approx(np.exp(0.1) - 5, abs=0.3)


def test_myopic_comes_back_from_its_tensors():
    env = load("env", "interest_exploration")
    fitted, fresh = fitted_baseline("myopic", env, 0), load("algo", "myopic").make_policy(env.spec)
    fresh.load_tensors(fitted.tensors())
    observation = env.make_vec(50).reset(seed=1)[0]
    np.testing.assert_array_equal(fitted.distribution(observation).mode(), fresh.distribution(observation).mode())
    with pytest.raises(ConfigError, match="do not fit"):
        load("algo", "myopic").make_policy(load("env", "long_term_satisfaction").spec).load_tensors(fitted.tensors())
    assert load("algo", "myopic").make_policy(load("env", "interest_evolution").spec).tensors() == {}


@pytest.mark.parametrize("ridge", [0.0, -1.0, float("inf"), float("nan")])
def test_ridge_out_of_range(ridge):
    with pytest.raises(ConfigError, match=r"algo\.ridge"):
        load("algo", "myopic", ridge=ridge)


@pytest.mark.parametrize("problem", ["interest_evolution", "interest_exploration"])
def test_where_every_click_brings_the_same_greedy_pctr_is_myopic(problem):
    env = load("env", problem)
    vec = env.make_vec(200)
    observation, _ = vec.reset(seed=3)
    clicks, rewards = (fitted_baseline(name, env, 0).slates(observation) for name in ("greedy_pctr", "myopic"))
    # Of documents that are alike either may be shown.
    shown = [observation["doc"][np.arange(200)[:, None], slates].sum(1) for slates in (clicks, rewards)]
    agree = np.isclose(*shown).all(1)
    assert agree.mean() > 0.97  # the myopic policy also learns the reward of a click, which takes an error


def test_greedy_pctr_ranks_by_the_chance_of_a_click():
    env = load("env", "interest_evolution", slate_size=4)
    observation, _ = env.make_vec(50).reset(seed=3)
    slates = fitted_baseline("greedy_pctr", env, 0).distribution(observation).mode()
    affinity = np.einsum("nf,ncf->nc", observation["user"], observation["doc"])
    shown = np.take_along_axis(affinity, slates, axis=1)
    np.testing.assert_allclose(shown, -np.sort(-affinity, axis=1)[:, :4])
