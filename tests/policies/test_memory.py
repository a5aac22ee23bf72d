"""Memories: what they remember is what was observed in this session, wherever the policy is played."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.base import EnvConfig
from recsys_cli.policies import GreedyPolicy, UniformPolicy
from recsys_cli.policies.base import certain
from recsys_cli.policies.memory import FADING, Memory, memory_features, new_memory
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.episodes import play

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))
EVOLUTION = {"time_budget": 20.0}
SHORT = {
    "interest_evolution": EVOLUTION,
    "interest_exploration": {"horizon": 7},
    "groups": {"groups": {name: {"env": "interest_evolution", **EVOLUTION} for name in ("young", "old")}},
}
KINDS = ("raw", "documents")


def short(problem: str) -> EnvConfig:
    return load("env", problem, num_candidates=6, slate_size=3, **SHORT.get(problem, {}))


def totals_by_hand(responses: list[dict[str, np.ndarray]], user: int) -> list[float]:
    """Steps, clicks, quality and time of the responses since the session's beginning."""
    clicks = [r["click"][user] for r in responses]

    def total(*names: str) -> float:
        pairs = zip(responses, clicks, strict=True)
        return sum(float((r[name][user] * click).sum()) for r, click in pairs for name in names if name in r)

    time = total("watch_time", "engagement")
    return [len(clicks) / 100, sum(click.sum() for click in clicks) / 100, total("quality") / 100, time / 400]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_features_are_those_of_this_session(problem: str, kind: str) -> None:
    env, users = short(problem), 5
    vec, random, rng = env.make_vec(users), UniformPolicy(env.slate_size), np.random.default_rng(0)
    memory = new_memory(kind, env.spec, users)
    observation, _ = vec.reset(seed=3)
    sessions: list[list[dict[str, np.ndarray]]] = [[] for _ in range(users)]
    shown: list[list[np.ndarray]] = [[] for _ in range(users)]
    starting, seen_restart = np.zeros(users, bool), False
    for _ in range(70):
        known = memory.extend(observation)["memory"]
        assert known.dtype == np.float32
        assert known.shape == (users, memory_features(kind, env.spec))
        for user in range(users):
            own = known[user]
            np.testing.assert_allclose(own[:4], totals_by_hand(sessions[user], user), rtol=1e-4, atol=1e-5)
            if kind == "documents":
                documents = np.array(shown[user]).reshape(-1, 3, len(env.spec.documents))
                count = max(len(documents), 1)
                fading = sum(
                    (1 - FADING) * FADING**age * clicked for age, clicked in enumerate(documents[::-1, 1])
                ) + np.zeros(len(env.spec.documents))
                expected = [documents[:, 0].sum(0) / count, documents[:, 1].sum(0) / count, fading]
                np.testing.assert_allclose(own[4:].reshape(3, -1), expected, rtol=1e-4, atol=1e-5)
        slates, before = random.distribution(observation).sample(rng), observation
        observation, _, terminated, truncated, _ = vec.step(slates)
        memory.step(before, slates, observation, starting)
        for user in range(users):
            if starting[user]:
                sessions[user], shown[user], seen_restart = [], [], True
                continue
            response = {name: values.copy() for name, values in observation["response"].items()}
            sessions[user].append(response)
            of_slate = before["doc"][user, slates[user]]
            clicked = (of_slate * response["click"][user][:, None]).sum(0)
            shown[user].append(np.stack([of_slate.sum(0), clicked, clicked]))
        starting = terminated | truncated
    assert seen_restart


@pytest.mark.parametrize("kind", KINDS)
def test_topic_numbers_are_remembered_as_their_one_hot_rows(kind: str) -> None:
    env, remembered = short("interest_evolution"), []
    for doc_format in ("dense", "index"):
        vec, random = env.make_vec(4, doc_format=doc_format), UniformPolicy(env.slate_size)
        rng = np.random.default_rng(0)
        memory = new_memory(kind, env.spec, 4)
        observation, _ = vec.reset(seed=0)
        for _ in range(10):
            slates, before = random.distribution(observation).sample(rng), observation
            observation = vec.step(slates)[0]
            memory.step(before, slates, observation, np.zeros(4, bool))
        remembered.append(memory.extend(observation)["memory"])
    np.testing.assert_array_equal(*remembered)


class Noting(GreedyPolicy):
    """Shows the first documents; notes the step count in its memory."""

    def __init__(self, env: EnvConfig) -> None:
        self.env, self.steps = env, []

    def new_memory(self, users: int) -> Memory:
        return new_memory("raw", self.env.spec, users)

    def slates(self, observation):
        self.steps.append(np.round(observation["memory"][:, 0] * 100))
        return np.tile(np.arange(self.env.slate_size), (len(observation["doc"]), 1))


def test_played_episodes_count_from_zero() -> None:
    policy = Noting(short("interest_evolution"))
    episodes = play(policy, policy.env, 8, seed=0)
    for t, counts in enumerate(policy.steps):
        playing = episodes.lengths > t
        assert (counts[playing] == t).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_collector_hands_on_and_stores_what_the_policy_sees(kind: str) -> None:
    env = short("interest_evolution")
    seen: list[np.ndarray] = []
    rng = np.random.default_rng(0)

    def shown(observation):
        seen.append(observation["memory"].copy())
        return certain(np.tile(np.arange(env.slate_size), (len(observation["doc"]), 1)), observation)

    def collector(seed: int) -> Collector:
        made = Collector(env, 6, seed=seed)
        made.remember(new_memory(kind, env.spec, 6))
        return made

    one = collector(0)
    chunk = one.collect(30, shown, rng)
    np.testing.assert_array_equal(chunk.memory, np.array(seen))
    steps = chunk.memory[..., 0]
    first = np.argwhere(~chunk.valid)  # the step after these is a session's first
    assert len(first)
    assert all(steps[t + 1, user] == 0 for t, user in first if t + 1 < len(steps))
    two = collector(9)
    two.set_state(one.get_state())
    np.testing.assert_array_equal(one.collect(20, shown, rng).memory, two.collect(20, shown, rng).memory)


@pytest.mark.parametrize("kind", ["none", *KINDS])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_slateq_serves_with_its_memory_on_both_document_forms(problem: str, kind: str) -> None:
    env = short(problem)
    policy = load("algo", "slateq", memory=kind).make_policy(env.spec)
    episodes = play(policy, env, 6, seed=0)
    assert len(episodes) == 6
    if env.spec.documents.one_hot:
        dense = dataclasses.replace(env, resample_documents=True).make_vec(6)
        observation, _ = dense.reset(seed=0)
        assert policy.distribution(policy.new_memory(6).extend(observation)).mode().shape == (6, env.slate_size)
