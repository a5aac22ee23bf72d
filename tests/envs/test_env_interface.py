"""What every problem promises on either back end: spaces, autoreset, candidates, refusal of bad slates."""

from __future__ import annotations

import warnings
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from gymnasium import error
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_cases import CASES
from players import SHORT, reset_and_play, same, trajectory, users

from recsys_cli.config.structured import load
from recsys_cli.envs.registration import env_ids


def test_gymnasium_accepts_the_single_user(problem: str, backend: str) -> None:
    env = gymnasium.make(dict(env_ids())[problem], backend=backend).unwrapped
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=True)
    assert all("maximum value is infinity" in str(warning.message) for warning in caught), caught


@pytest.mark.parametrize("sizes", [(10, 2, True), (4, 4, False), (37, 8, True), (1, 1, False)])
def test_observations_lie_in_their_space(problem: str, backend: str, sizes: tuple) -> None:
    candidates, slate, resample = sizes
    env = users(problem, backend=backend, num_candidates=candidates, slate_size=slate, resample_documents=resample)
    observation, info = env.reset(seed=1)
    assert observation in env.observation_space
    assert info == {}
    assert not any(values.any() for values in observation["response"].values())
    for observation, reward, terminated, truncated, info in trajectory(env, 12):
        assert observation in env.observation_space
        assert env.single_observation_space["doc"].shape == (candidates, len(env.config.spec.documents))
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
        assert reward.shape == terminated.shape == truncated.shape == (6,)
        assert info == {}


def test_rewards_are_the_responses(problem: str, backend: str) -> None:
    fields = {
        "interest_evolution": "watch_time",
        "interest_exploration": "click",
        "long_term_satisfaction": "engagement",
    }
    if problem not in fields:
        pytest.skip("which part of this problem's response is its reward is not known here")
    field = fields[problem]
    for observation, reward, *_ in [*reset_and_play(users(problem, 50, backend=backend), 12)]:
        response = observation["response"]
        assert (response["click"].sum(axis=1) <= 1).all()
        assert response[field].sum(axis=1) == pytest.approx(np.minimum(reward, 100), rel=1e-6)
        assert not response[field][response["click"] == 0].any()


def test_autoreset_is_next_step(problem: str, backend: str) -> None:
    env = users(problem, 30, backend=backend)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env.reset(seed=1)
    env.action_space.seed(1)
    ended, age, ends = np.zeros(30, bool), np.zeros(30, int), 0
    for _ in range(60):
        actions = env.action_space.sample()
        actions[ended] = -7  # ignored
        observation, reward, terminated, truncated, _ = env.step(actions)
        assert (reward[ended] == 0).all()
        assert not (terminated | truncated)[ended].any()
        assert not any(values[ended].any() for values in observation["response"].values())
        hidden = env.hidden_state()
        fresh = hidden.get("budget", hidden.get("time_budget"))
        if fresh is not None:
            assert (fresh[ended] == SHORT.get(problem, {}).get("time_budget", 6.0)).all()
            assert (terminated == (fresh <= 0)).all()
        age = np.where(ended, 0, age + 1)
        ended = terminated | truncated
        ends += ended.sum()
        if env.config.spec.horizon is not None:
            assert (ended == (age == env.config.spec.horizon)).all()
    assert ends > 30 or problem not in SHORT
    assert truncated.any() == (env.config.spec.truncation is not None and ended.any())


def test_new_users_come_with_autoreset(problem: str, backend: str) -> None:
    env = users(problem, 3, backend=backend)
    env.reset(seed=1)
    key = {"interest_exploration": "affinity", "long_term_satisfaction": "satisfaction"}.get(problem)
    if key is None and not len(env.config.spec.user):
        pytest.skip("how to distinguish this problem's users is not known here")
    before = env.hidden_state()[key] if key else env.observe()["user"]
    trajectory(env, 40)
    after = env.hidden_state()[key] if key else env.observe()["user"]
    assert not np.isclose(before, after).all(axis=-1).any()


def test_candidates(problem: str, backend: str) -> None:
    kept = users(problem, backend=backend, resample_documents=False)
    first = kept.reset(seed=1)[0]["doc"]
    assert all((step[0]["doc"] == first).all() for step in trajectory(kept, 12))
    assert (kept.reset()[0]["doc"] == first).all()
    assert (kept.reset(seed=2)[0]["doc"] != first).any()
    resampled = users(problem, backend=backend)
    documents = [resampled.reset(seed=1)[0]["doc"], *(step[0]["doc"] for step in trajectory(resampled, 3))]
    assert all((left != right).any(axis=(1, 2)).all() for left, right in pairwise(documents))


def test_responses_are_about_the_documents_shown(backend: str) -> None:
    for problem in ("interest_evolution", "interest_exploration"):
        env = users(problem, 20, backend=backend, slate_size=3)
        documents = env.reset(seed=1)[0]["doc"]
        slates = np.tile([7, 0, 3], (20, 1))
        response = env.step(slates)[0]["response"]
        topics = documents[..., : 20 if problem == "interest_evolution" else 2].argmax(axis=-1)
        assert (response["cluster_id"] == topics[:, [7, 0, 3]]).all()
        if problem == "interest_exploration":
            assert (response["quality"] == documents[:, [7, 0, 3], -1]).all()


def test_index_format_says_the_same(problem: str, backend: str) -> None:
    if not load("env", problem).spec.documents.one_hot:
        with pytest.raises(ValueError, match="doc_format=index is not allowed"):
            users(problem, doc_format="index")
        return
    dense, index = (users(problem, backend=backend, doc_format=kind) for kind in ("dense", "index"))
    pairs = zip(reset_and_play(dense, 8), reset_and_play(index, 8), strict=True)
    for (left, *rest), (right, *others) in pairs:
        assert right in index.observation_space
        assert (left["doc"].argmax(axis=-1) == right["doc"]).all()
        assert (left["doc"].sum(axis=-1) == 1).all()
        assert same((left["user"], left["response"], rest), (right["user"], right["response"], others))


BAD = {
    "a candidate twice": [3, 1, 3],
    "must hold candidates 0..9": [0, 1, 10],
    "must hold candidates": [0, -1, 2],
    "have shape": [0, 1],
    "must be integers": [0.0, 1.0, 2.0],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_slates_are_refused(problem: str, backend: str, message: str) -> None:
    env = users(problem, 4, backend=backend, slate_size=3)
    env.reset(seed=1)
    actions = np.tile(np.asarray(BAD[message], float), (4, 1))
    if message != "must be integers":
        actions = actions.astype(int)
        if message != "have shape":
            actions[:3] = [0, 1, 2]
    with pytest.raises(ValueError, match=message):
        env.step(actions)


def test_step_needs_reset(problem: str, backend: str) -> None:
    with pytest.raises(error.ResetNeeded):
        users(problem, 2, backend=backend).step(np.tile([0, 1], (2, 1)))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_sizes_and_parameters(data: st.DataObject) -> None:
    case = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    candidates = data.draw(st.integers(1, 30))
    sizes = {
        "num_candidates": candidates,
        "slate_size": data.draw(st.integers(1, candidates)),
        "resample_documents": data.draw(st.booleans()),
    }
    if case.problem == "interest_evolution":
        sizes["num_topics"] = data.draw(st.sampled_from([2, 3, 7, 20, 33, 300]))
    config = load("env", case.problem, **{**case.overrides, **sizes})
    doc_format = data.draw(st.sampled_from(["dense", "index"] if config.spec.documents.one_hot else ["dense"]))
    num_envs = data.draw(st.integers(1, 9))
    env = config.make_vec(num_envs, doc_format=doc_format)
    env.action_space.seed(0)
    assert env.reset(seed=data.draw(st.integers(0, 2**31)))[0] in env.observation_space
    for _ in range(3):
        slates = env.action_space.sample()
        assert slates in env.action_space
        assert env.step(slates)[0] in env.observation_space
