"""The replay buffer against the steps that went in."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recsys_cli.rollouts.chunk import Chunk
from recsys_cli.rollouts.replay import ReplayBuffer

C, K, F = 4, 2, 3
EPISODE = 5  # steps; the step after the last one only begins the next episode


def chunk(start, length, users=3, stream=0, terminates=True):
    """Make a chunk whose every entry encodes its lock-step, user and candidate."""
    t = np.arange(start, start + length)[:, None] + np.zeros(users)
    u = np.arange(users) + 100.0 * stream
    phase = (t + np.arange(users)) % (EPISODE + 1)  # users end at different times
    where = np.stack([t, np.broadcast_to(u, t.shape)], axis=-1).astype(np.float32)
    doc = np.concatenate([np.repeat(where[:, :, None], C, 2), np.zeros((length, users, C, F - 2))], axis=-1)
    doc[..., -1] = np.arange(C)
    slate = np.stack([(t + 1) % C, (t + 3) % C], axis=-1).astype(np.uint8)
    return Chunk(
        user=where,
        doc=doc.astype(np.float32),
        slate=slate,
        clicked=(t % (K + 1)).astype(np.int8),
        reward=(t * 10 + np.arange(users)).astype(np.float32),
        terminated=(phase == EPISODE - 1) & terminates,
        truncated=(phase == EPISODE - 1) & (not terminates),
        valid=phase != EPISODE,
        stream=stream,
        start=start,
    )


def filled(capacity, lengths, streams=1, seed=0, make=ReplayBuffer, **kwargs):
    buffer = make(capacity, streams, seed, **kwargs)
    start = 0
    for length in lengths:
        for stream in range(streams):
            buffer.add(chunk(start, length, stream=stream))
        start += length
    return buffer


def check(rows, n_step=1, discount=1.0, terminates=True):
    """Compare sampled columns with what a walk along the user's steps gives."""
    t, user = rows["user"][:, 0], rows["user"][:, 1] % 100
    assert ((t + user) % (EPISODE + 1) != EPISODE).all(), "a step that only begins an episode was drawn"
    np.testing.assert_array_equal(rows["clicked"], t % (K + 1))
    np.testing.assert_array_equal(rows["slate_doc"][..., -1], np.stack([(t + 1) % C, (t + 3) % C], axis=-1))
    np.testing.assert_array_equal(rows["slate_doc"][:, 0, :2], rows["user"])
    for i in range(len(t)):
        reward, factor, at = 0.0, 1.0, t[i]
        for _ in range(n_step):
            reward, factor = reward + factor * (at * 10 + user[i]), factor * discount
            at += 1
            ended = (at + user[i]) % (EPISODE + 1) == EPISODE
            if ended:
                break
        assert rows["reward"][i] == pytest.approx(reward, rel=1e-5)
        assert rows["bootstrap"][i] == pytest.approx(0.0 if ended and terminates else factor)
        assert rows["next_user"][i].tolist() == [at, rows["user"][i, 1]]
        assert (rows["next_doc"][i, :, 0] == at).all() and rows["next_doc"].shape[1:] == (C, F)


@pytest.mark.parametrize(("n_step", "discount"), [(1, 1.0), (1, 0.9), (3, 0.9)])
@pytest.mark.parametrize("lengths", [[20], [3, 4, 5, 6, 7], [4] * 20, [70]])
def test_the_next_observation_is_the_next_step_s(n_step, discount, lengths):
    buffer = filled(90, lengths, n_step=n_step, discount=discount)
    rows = buffer.sample(400)
    check(rows, n_step, discount)
    total = sum(lengths)
    assert rows["user"][:, 0].min() >= max(total - 30, 0)  # 90 transitions of 3 users
    assert rows["user"][:, 0].max() == total - 1 - n_step or not buffer.rings[0].arrays["valid"].all()
    assert rows["user"][:, 0].max() <= total - 1 - n_step


def test_a_truncated_episode_is_bootstrapped():
    buffer = ReplayBuffer(300, 1, 0)
    buffer.add(chunk(0, 30, terminates=False))
    rows = buffer.sample(300)
    check(rows, terminates=False)
    assert (rows["bootstrap"] == 1).all()


def test_draws_are_uniform_over_valid_transitions():
    buffer = filled(60, [11, 11, 11])
    rows = buffer.sample(40_000)
    counts = Counter(map(tuple, rows["user"].tolist()))
    valid = {(t, u) for t in range(13, 32) for u in range(3) if (t + u) % (EPISODE + 1) != EPISODE}
    assert set(counts) == valid
    expected = 40_000 / len(valid)
    chi_square = sum((n - expected) ** 2 / expected for n in counts.values())
    assert chi_square < len(valid) + 5 * (2 * len(valid)) ** 0.5


def test_a_gap_makes_the_step_before_it_unusable():
    buffer = ReplayBuffer(300, 1, 0)
    buffer.add(chunk(0, 10))
    buffer.add(chunk(12, 10))
    rows = buffer.sample(2000)
    assert 9 not in rows["user"][:, 0] and 8 in rows["user"][:, 0]
    check(rows)


def test_streams_share_the_capacity_and_the_draws():
    buffer = filled(180, [8, 8, 8], streams=2)
    rows = buffer.sample(3000)
    check(rows)
    share = (rows["user"][:, 1] >= 100).mean()
    assert share == pytest.approx(0.5, abs=0.05)
    first_half = (rows["user"][:1500, 1] >= 100).mean()
    assert first_half == pytest.approx(0.5, abs=0.06), "rows of the two rings must be mixed"
    assert len(buffer) == 2 * 3 * 23


@pytest.mark.parametrize("chunks", [2, 9])
def test_state_gives_the_same_samples(chunks: int):
    buffer = filled(90, [4] * chunks, streams=2)
    buffer.sample(10)
    state = buffer.get_state()
    used = min(4 * chunks, buffer.rings[0].rows)  # of a buffer that is not full yet, only what it holds is saved
    assert {len(array) for ring in state["rings"].values() for array in ring["arrays"].values()} == {used}
    copied = {"rng": state["rng"], "rings": {}}
    for key, ring in state["rings"].items():
        copied["rings"][key] = ring | {"arrays": {name: array.copy() for name, array in ring["arrays"].items()}}
    other = ReplayBuffer(90, 2, seed=5)
    other.set_state(copied)
    for step in range(2):
        for (name, left), right in zip(buffer.sample(64).items(), other.sample(64).values(), strict=True):
            np.testing.assert_array_equal(left, right, err_msg=name)
        for each in (buffer, other):
            each.add(chunk(4 * (chunks + step), 4))


def test_the_smallest_buffer_can_always_be_drawn_from():
    buffer = ReplayBuffer(1, 1, 0)
    for start in range(40):
        part = chunk(start + (start > 20), 1)
        part.valid[:] = start % 2 == 0  # every other step all users begin anew
        buffer.add(part)
        if start:
            assert len(buffer.sample(8)["reward"]) == 8


def test_chunks_flat():
    part = chunk(0, 12)
    flat = part.transitions()
    assert len(flat["reward"]) == len(part) == part.valid.sum()
    t = flat["user"][:, 0]
    np.testing.assert_array_equal(flat["slate_doc"][..., -1], np.stack([(t + 1) % C, (t + 3) % C], axis=-1))
    np.testing.assert_array_equal(flat["reward"], t * 10 + flat["user"][:, 1])
