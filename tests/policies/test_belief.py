"""Beliefs: a user's own responses of this session, the same wherever and whenever they are computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load
from recsys_cli.networks.belief import BELIEF
from recsys_cli.policies.network import ScoringPolicy
from recsys_cli.policies.uniform import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.replay import RECALLED, ReplayBuffer

ENV = load("env", "interest_exploration", num_candidates=6, slate_size=3, horizon=13)


def believer(seed: int = 0) -> ScoringPolicy:
    policy = load("algo", "slateq", memory="belief").make_policy(ENV.spec, seed=seed)
    torch.manual_seed(seed)
    torch.nn.init.normal_(policy.network.filter.out.weight)  # as if trained
    return policy


def collector(policy: ScoringPolicy, users: int) -> Collector:
    made = Collector(ENV, users, seed=0)
    made.remember(policy.new_memory(users))
    return made


def test_a_belief_begins_at_zero_and_holds_what_its_own_user_did() -> None:
    policy = believer()
    users, rng = collector(policy, 5), np.random.default_rng(0)
    chunk = users.collect(40, UniformPolicy(3).distribution, rng)
    kept = torch.sigmoid(policy.network.filter.span)
    first, last = policy.network.filter.into, policy.network.filter.out
    for user in range(5):
        belief = torch.zeros(BELIEF)
        for t in range(40):
            np.testing.assert_allclose(chunk.memory[t, user, -BELIEF:], belief.detach(), rtol=1e-4, atol=1e-5)
            shown, position = chunk.doc[t, user][chunk.slate[t, user]], chunk.clicked[t, user]
            clicked, click = (shown[position], 1.0) if position < 3 else (0 * shown[0], 0.0)
            numbers = np.log1p([click, clicked[-1]])  # the quality is a document's last feature
            x = torch.tensor(np.concatenate([shown.mean(0), clicked, numbers]), dtype=torch.float32)
            belief = kept * belief + (1 - kept**2).sqrt() * last(torch.relu(first(x)))
            belief = belief * float(chunk.valid[t, user])
    assert not chunk.valid.all()


def test_a_user_s_belief_is_the_same_to_the_bit_alone_and_among_others() -> None:
    policy, rng = believer(), np.random.default_rng(0)
    belief = rng.normal(size=(50, BELIEF)).astype(np.float32)
    evidence = rng.normal(size=(50, policy.new_memory(1).evidence.shape[1])).astype(np.float32)
    step = policy.network.filter.stepped
    alone = np.concatenate([step(belief[i : i + 1], evidence[i : i + 1]) for i in range(50)])
    np.testing.assert_array_equal(step(belief, evidence), alone)


def test_filters_that_differ_share_no_session() -> None:
    one, other = believer(), believer(1)
    assert one.new_memory(2).kind == one.new_memory(3).kind != other.new_memory(2).kind


@pytest.mark.parametrize("n_step", [1, 3])
def test_replay_recalls_what_the_filter_of_now_believes(n_step: int) -> None:
    """Rows wrap around, sessions end inside of what is recalled, and the filter has changed since they were played."""
    policy, now, rng = believer(), believer(1), np.random.default_rng(0)
    users, replay = collector(policy, 4), ReplayBuffer(4 * 30, 1, 0, n_step=n_step)
    chunks = [users.collect(10, UniformPolicy(3).distribution, rng) for _ in range(5)]
    for chunk in chunks:
        replay.add(chunk)
    ring = replay.rings[0]
    ring.arrays["memory"][ring.head, :, -BELIEF:] = 0.5  # the oldest row's is what it was
    replay.refresh(now.network.filter)
    at = ring.usable()
    columns = {name: torch.from_numpy(column) for name, column in ring.gather(at, 1.0).items()}
    recalled = now.network.recalled(columns, n_step)

    belief = np.full((4, BELIEF), 0.5, np.float32)
    beliefs, evidence = np.zeros((31, 4, BELIEF), np.float32), np.concatenate([c.evidence for c in chunks])[-30:]
    valid = np.concatenate([c.valid for c in chunks])[-30:]
    for t in range(30):
        beliefs[t] = belief
        belief = now.network.filter.stepped(belief, evidence[t]) * valid[t, :, None]
    row, user = (at // 4 - ring.head) % 30, at % 4
    np.testing.assert_allclose(recalled["memory"][:, -BELIEF:].detach(), beliefs[row, user], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(recalled["memory"][:, :-BELIEF].detach(), columns["memory"][:, :-BELIEF])
    for i, (t, u) in enumerate(zip(row, user, strict=True)):
        after = t + 1
        while after < t + n_step and valid[after, u]:
            after += 1
        expected = beliefs[after, u]
        np.testing.assert_allclose(recalled["next_memory"][i, -BELIEF:].detach(), expected, rtol=1e-4, atol=1e-4)
    assert RECALLED < 30 and (~valid).any()


def test_a_belief_is_learned_by_playing_and_from_choices() -> None:
    with pytest.raises(ConfigError, match=r"algo\.memory=belief is learned by playing and not available with data="):
        load("algo", "slateq", memory="belief").learning_from("monday", ENV)
    with pytest.raises(ConfigError, match=r"algo\.memory"):
        compose("train", ["algo=sac", "algo.memory=belief"])
    for known in ([], ["algo.choice_model=true"], ["env=long_term_satisfaction", "algo.choice_model=learned"]):
        with pytest.raises(ConfigError, match=r"algo\.memory=belief is learned with the choice model"):
            compose("train", ["algo=slateq", "algo.memory=belief", *known])
    compose("train", ["algo=slateq", "algo.memory=belief", "algo.choice_model=learned"])
