"""SlateQ's policy: valid slates on every problem, tensors that come and go, any number of candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys_cli.algos.slateq.config import SlateQConfig
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.base import EnvConfig
from recsys_cli.networks.choice import FirstPositionChoice, KnownChoice, LearnedChoice, choice_model
from recsys_cli.networks.features import observation_tensors
from recsys_cli.policies.network import NetworkPolicy

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))
USERS = 7


def network(kind: str) -> dict[str, object]:
    return {"kind": kind, "hidden": [16], "doc_hidden": 8, "scale": 10.0}


def observe(env: EnvConfig, doc_format: str = "dense") -> dict[str, np.ndarray]:
    vec = env.make_vec(USERS, doc_format=doc_format)
    observation, _ = vec.reset(seed=3)
    return observation


@pytest.mark.parametrize("kind", ["two_tower", "concat", "documents"])
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("changes", [{}, {"num_candidates": 4, "slate_size": 4}, {"slate_size": 3}])
def test_acts_with_valid_slates(problem: str, kind: str, changes: dict[str, int]) -> None:
    env = load("env", problem, **changes)
    policy = load("algo", "slateq", network=network(kind)).make_policy(env.spec, seed=1)
    vec = env.make_vec(USERS)
    law = policy.distribution(vec.reset(seed=3)[0])
    slates = law.mode()
    assert slates.shape == (USERS, env.slate_size)
    assert slates.dtype == np.int64
    assert all(vec.single_action_space.contains(slate) for slate in slates)
    assert not law.log_prob(slates).any()


@pytest.mark.parametrize("kind", ["two_tower", "concat", "documents"])
@pytest.mark.parametrize("problem", [name for name in PROBLEMS if load("env", name).spec.documents.one_hot])
def test_topic_numbers_and_one_hot_rows_are_the_same(problem: str, kind: str) -> None:
    env = load("env", problem)
    policy = load("algo", "slateq", network=network(kind)).make_policy(env.spec, seed=1)
    dense, index = (policy.distribution(observe(env, doc_format)).mode() for doc_format in ("dense", "index"))
    np.testing.assert_array_equal(dense, index)


@pytest.mark.parametrize("kind", ["two_tower", "concat", "documents"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_tensors_come_and_go(problem: str, kind: str) -> None:
    env, algo = load("env", problem), load("algo", "slateq", network=network(kind))
    learned, fresh = algo.make_policy(env.spec, seed=1), algo.make_policy(env.spec, seed=2)
    fresh.load_tensors(learned.tensors())
    for name, value in learned.tensors().items():
        np.testing.assert_array_equal(fresh.tensors()[name], value)
    np.testing.assert_array_equal(fresh.distribution(observe(env)).mode(), learned.distribution(observe(env)).mode())


@pytest.mark.parametrize("problem", PROBLEMS)
def test_any_number_of_candidates_fits_the_learned_tensors(problem: str) -> None:
    algo = load("algo", "slateq")
    learned = algo.make_policy(load("env", problem).spec, seed=1)
    wider = load("env", problem, num_candidates=50, slate_size=3)
    policy = algo.make_policy(wider.spec)
    policy.load_tensors(learned.tensors())
    slates = policy.distribution(observe(wider)).mode()
    assert slates.max() > 10
    assert all(len(set(slate)) == 3 for slate in slates.tolist())


@pytest.mark.parametrize("kind", ["two_tower", "concat", "documents"])
def test_other_features_are_refused_in_one_line(kind: str) -> None:
    algo = load("algo", "slateq", network=network(kind))
    learned = algo.make_policy(load("env", "interest_evolution").spec)
    other = algo.make_policy(load("env", "interest_evolution", num_topics=8).spec)
    with pytest.raises(ConfigError, match="do not fit") as refusal:
        other.load_tensors(learned.tensors())
    assert "\n" not in str(refusal.value)


def test_building_leaves_the_callers_random_stream_alone() -> None:
    env, algo = load("env", "interest_evolution"), load("algo", "slateq")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (algo.make_policy(env.spec, seed=1).tensors() for _ in range(2))
    torch.testing.assert_close(torch.rand(3), expected)
    assert all((first[name] == second[name]).all() for name in first)


def test_a_user_who_takes_the_first_item_gets_the_best_first() -> None:
    env = load("env", "long_term_satisfaction", slate_size=3)
    policy: NetworkPolicy = load("algo", "slateq").make_policy(env.spec, seed=1)
    observation = observe(env)
    q, _ = policy.network.item_values(observation_tensors(observation, policy.device))
    slates = policy.distribution(observation).mode()
    np.testing.assert_array_equal(slates, q.argsort(-1, descending=True)[:, :3])
    assert policy.network.attended == 1


@pytest.mark.parametrize(
    ("problem", "mode", "kind"),
    [
        ("interest_evolution", "auto", KnownChoice),
        ("interest_evolution", "true", KnownChoice),
        ("interest_evolution", "learned", LearnedChoice),
        ("interest_exploration", "auto", LearnedChoice),
        ("long_term_satisfaction", "auto", FirstPositionChoice),
        ("long_term_satisfaction", "learned", FirstPositionChoice),
    ],
)
def test_picks_the_choice_model(problem: str, mode: str, kind: type) -> None:
    env = load("env", problem)
    assert type(choice_model(mode, env.spec.choice, len(env.spec.user), env.spec.documents)) is kind


def test_the_true_choice_model_needs_an_observable_affinity() -> None:
    algo: SlateQConfig = load("algo", "slateq", choice_model="true")
    algo.check(load("env", "interest_evolution").spec)
    with pytest.raises(ConfigError, match=r"algo\.choice_model=true"):
        algo.check(load("env", "interest_exploration").spec)
