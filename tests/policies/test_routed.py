"""Memories of groups that remember differently: each user is described by the own group's."""

from __future__ import annotations

import numpy as np

from recsys_cli.config.structured import load
from recsys_cli.policies import UniformPolicy
from recsys_cli.policies.memory import new_memory
from recsys_cli.policies.routed import RoutedMemory


def test_each_user_is_described_by_the_own_group_s_memory() -> None:
    env, users = load("env", "groups"), 10
    vec, rng = env.make_vec(users), np.random.default_rng(0)
    observation, _ = vec.reset(seed=1)
    memories = {name: new_memory("raw", env.parts[name].env.spec, users) for name in env.parts}
    routed, other = (
        RoutedMemory(memories),
        RoutedMemory({name: new_memory("raw", env.spec, users) for name in memories}),
    )
    memories["casual"].set_state({"totals": np.full((users, 4), 100.0)})
    slates = UniformPolicy(env.slate_size).distribution(observation).sample(rng)
    after, *_ = vec.step(slates)
    routed.step(observation, slates, after, np.zeros(users, bool))
    known = routed.extend(after)
    steps = known["memory"][:, 0] * 100
    np.testing.assert_allclose(steps, np.where(vec.group == "casual", 101, 1), rtol=1e-5)
    np.testing.assert_array_equal(known["user"], after["user"])
    other.set_state(routed.get_state())
    np.testing.assert_array_equal(other.extend(after)["memory"], known["memory"])
    routed.restart()
    assert not routed.extend(after)["memory"].any()
