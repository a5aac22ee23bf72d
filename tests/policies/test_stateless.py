"""A policy as a function of arrays acts as the policy does, whatever it remembers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys_cli.config import structured
from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.base import EnvConfig
from recsys_cli.policies.stateless import StatelessPolicy

USERS = 5
ENVS: dict[str, dict[str, Any]] = {
    "interest_evolution": {},
    "interest_exploration": {},
    "long_term_satisfaction": {"time_budget": 4},
}


def policy_of(env: EnvConfig, algo: str, **changes: Any) -> Any:
    """Return a policy whose parameters are drawn, so that what is remembered changes its slates."""
    policy = structured.load("algo", algo, **changes).make_policy(env.spec, seed=1)
    rng = np.random.default_rng(0)
    policy.load_tensors(
        {n: rng.uniform(0.1, 1, np.shape(v)).astype(np.asarray(v).dtype) for n, v in policy.tensors().items()}
    )
    return policy


@pytest.mark.parametrize("env_name", list(ENVS))
@pytest.mark.parametrize(
    ("algo", "changes"),
    [
        ("slateq", {"memory": "none"}),
        ("slateq", {"memory": "documents"}),
        ("slateq", {"memory": "raw"}),
        ("slateq", {"memory": "belief"}),
        ("ucb1", {"statistics": "per_user"}),
    ],
)
def test_sessions_played_through_arrays_are_those_of_the_policy(
    env_name: str, algo: str, changes: dict[str, Any]
) -> None:
    env = structured.load("env", env_name, **ENVS[env_name])
    if algo == "ucb1" and not env.spec.documents.topics:
        pytest.skip("no topics to count")
    policy = policy_of(env, algo, **changes)
    function = StatelessPolicy(env.spec, lambda _: policy)
    vec, kept = env.make_vec(USERS), policy.new_memory(USERS)
    observation, _ = vec.reset(seed=3)
    memory, ended = np.zeros((USERS, function.memory_size), np.float32), np.zeros(USERS, bool)
    for _ in range(12):
        wanted = policy.distribution(kept.extend(observation)).mode()
        memory[ended] = 0  # a new session
        given = {"user": observation["user"], "doc": observation["doc"], **observation["response"], "memory": memory}
        answer = function({spec.name: given[spec.name] for spec in function.inputs})
        np.testing.assert_array_equal(answer["slate"], wanted)
        for spec in function.outputs:
            assert answer[spec.name].dtype == spec.dtype and answer[spec.name].shape == (USERS, *spec.shape[1:])
        before = observation
        observation, _, terminated, truncated, _ = vec.step(wanted)
        kept.step(before, wanted, observation, ended)
        memory, ended = answer.get("memory", memory), terminated | truncated
    assert (function.memory_size > 0) == (changes != {"memory": "none"})


def test_inputs_that_do_not_fit_are_reported_in_one_line() -> None:
    env = structured.load("env", "interest_evolution")
    policy = policy_of(env, "slateq", memory="raw")
    function = StatelessPolicy(env.spec, lambda _: policy)
    inputs = function.example(3)
    wrong = {
        "input 'doc' has shape [3, 10, 19] and must have [3, C, 20]": {"doc": inputs["doc"][..., :-1]},
        "input 'doc' has shape [2, 10, 20] and must have [3, C, 20]": {"doc": inputs["doc"][:2]},
        "input 'click' has shape [3] and must have [3, 2]": {"click": inputs["click"][:, 0]},
        "input 'user' is nan at [0, 0] and must be finite": {"user": np.full_like(inputs["user"], np.nan)},
        "input 'doc' is inf at [0, 0, 0] and must be finite": {"doc": np.full_like(inputs["doc"], np.inf)},
        "input 'user' has dtype object and must have float32": {"user": inputs["user"].astype(object)},
        "input 'memory' is neither zeros": {"memory": np.full_like(inputs["memory"], -2)},
        "input 'memory' is neither zeros nor an array": {"memory": np.full_like(inputs["memory"], np.nan)},
    }
    for message, changed in wrong.items():
        with pytest.raises(ConfigError) as caught:
            function({**inputs, **changed})
        assert message in str(caught.value)
    del inputs["memory"]
    with pytest.raises(ConfigError, match="input 'memory' is missing; needed: user, doc, click"):
        function(inputs)
