"""Sessions carried from request to request remember what a session played in one piece remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_cli.config import structured
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.policies.memory import Memory
from recsys_cli.serving.sessions.memories import Memories
from recsys_cli.serving.sessions.tokens import SessionState

ENV = structured.load("env", "interest_evolution", num_candidates=[1, 9], slate_size=3, num_topics=4)
RAW, DOCUMENTS, NONE = ({"memory": kind} for kind in ("raw", "documents", "none"))


@dataclass
class Live:
    """A live policy, as far as memories know it."""

    name: str
    policy: Any
    spec: ProblemSpec = ENV.spec

    def new_memory(self, users: int) -> Memory:
        memory: Memory = self.policy.new_memory(users)
        return memory


def live(algo: str, **changes: Any) -> Live:
    return Live(f"{algo}_{len(changes)}", structured.load("algo", algo, **changes).make_policy(ENV.spec, seed=1))


def session(number: int, memories: Memories, memory: bytes, response: Any) -> SessionState:
    own = {name: values[number].tolist() for name, values in response.items()}
    fields: dict[str, Any] = {"event_id": "e", "step": 1, "time_ms": 0, "policy": "p", "version": "v", "epoch": 0}
    return SessionState(session=str(number), weights={}, memory=memory, layout=memories.layout, response=own, **fields)


LIVE = {
    "raw": live("slateq", **RAW),
    "raw again": live("lspi", **RAW),
    "documents": live("slateq", **DOCUMENTS),
    "belief": live("slateq", memory="belief"),
    "none": live("slateq", **NONE),
    "arms": live("ucb1", arms="topics", statistics="per_user"),
    "other arms": live("thompson", arms="topics", statistics="per_user", outcome="rewards"),
}


torch.nn.init.normal_(LIVE["belief"].policy.network.filter.out.weight)  # as if trained


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.sampled_from(list(LIVE)), min_size=1, max_size=5, unique=True),
    users=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_every_policy_sees_the_memory_it_would_have_kept(names: list[str], users: int, seed: int) -> None:
    policies = [LIVE[name] for name in names]
    memories, kept = Memories(policies), [policy.new_memory(users) for policy in policies]
    vec, rng = ENV.make_vec(users), np.random.default_rng(seed)
    observation, _ = vec.reset(seed=seed)
    sessions: list[SessionState | None] = [None] * users
    never = np.zeros(users, bool)
    for _ in range(5):
        recalled = memories.recall(sessions)
        request = {name: observation[name] for name in ("user", "doc", "mask")}
        wanted = [memory.extend(observation).get("memory") for memory in kept]
        for again in (recalled, *([] if recalled.remembered is None else [memories.restored(recalled.remembered)])):
            for seen, expected in zip(again.observations(request), wanted, strict=True):
                np.testing.assert_array_equal(seen.get("memory"), expected)
                assert seen["doc"] is request["doc"]
        slates = LIVE["none"].policy.distribution(observation).mode()
        slates = np.where(slates >= 0, rng.permuted(slates, axis=1), -1) if observation["mask"].all() else slates
        before = observation
        observation, *_ = vec.step(slates)
        for memory in kept:
            memory.step(before, slates, observation, never)
        carried = recalled.after(slates, before["doc"])
        assert {len(each) for each in carried} == {4 * memories.size}
        sessions = [session(i, memories, each, observation["response"]) for i, each in enumerate(carried)]


def test_memories_of_one_kind_are_carried_once() -> None:
    def size(*names: str) -> int:
        return Memories([LIVE[name] for name in names]).size

    assert size("none") == 0
    assert size("raw", "raw again", "none") == size("raw") < size("raw", "documents")
    assert size("arms", "other arms") > size("arms")


def test_a_session_goes_on_with_what_its_new_policies_share_and_begins_the_rest_anew() -> None:
    rng, users = np.random.default_rng(0), 4
    old, new = Memories([LIVE["raw"], LIVE["arms"]]), Memories([LIVE["documents"], LIVE["arms"], LIVE["none"]])
    doc = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (users, 6))]
    slates = np.array([[0, 1, 2], [5, 4, 3], [2, 0, -1], [1, -1, -1]])
    response = {"click": np.eye(4)[[0, 1, 3, 3]][:, :3]}
    first = old.recall([None] * users)
    sessions = [session(i, old, each, response) for i, each in enumerate(first.after(slates, doc))]
    seen = {name: np.zeros((users, 4, 4), np.float32) for name in ("user", "doc")}
    _, arms = old.recall(sessions).observations(seen)
    documents, arms_then, none = new.recall(sessions).observations(seen)
    np.testing.assert_array_equal(arms["memory"], arms_then["memory"])
    assert arms["memory"].any() and "memory" not in none
    begun = Memories([LIVE["documents"]])
    anew = begun.recall(
        [session(i, begun, each, response) for i, each in enumerate(begun.recall([None] * users).after(slates, doc))]
    )
    np.testing.assert_array_equal(documents["memory"], anew.observations(seen)[0]["memory"])

    def resized() -> Memories:
        spec = structured.load("env", "interest_evolution", num_candidates=[1, 9], slate_size=2, num_topics=4).spec
        other = structured.load("algo", "ucb1", arms="topics", statistics="per_user").make_policy(spec, seed=1)
        return Memories([Live("ucb1", other, spec)])

    assert not resized().states(sessions).any()


def test_what_a_response_does_not_say_is_zero() -> None:
    memories, doc = Memories([LIVE["documents"]]), np.eye(4, dtype=np.float32)[None]
    before = memories.recall([None]).after(np.array([[2, 0, -1]]), doc)[0]
    seen = {"user": doc[:, 0], "doc": doc}

    def remembered(response: dict[str, list[float]]) -> Any:
        state = session(0, memories, before, {})
        state.response = response
        return memories.recall([state]).observations(seen)[0]["memory"]

    none = {each.name: [0.0] * 3 for each in ENV.spec.response}
    np.testing.assert_array_equal(remembered({"click": [0.0, 1.0]}), remembered({**none, "click": [0.0, 1.0, 0.0]}))
    np.testing.assert_array_equal(remembered({}), remembered(none))
    assert not np.array_equal(remembered({}), remembered({"click": [0.0, 1.0]}))
