"""Prioritised replay: what is drawn, how it is weighted, and that nothing else differs from the uniform buffer."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.rollouts.prioritized import SMALLEST, PrioritizedReplay
from tests.rollouts.test_replay import check, chunk, filled


def prioritized(lengths, streams=1, **kwargs):
    return filled(90 * streams, lengths, streams, make=PrioritizedReplay, **kwargs)


@pytest.mark.parametrize(("n_step", "discount"), [(1, 1.0), (3, 0.9)])
@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("lengths", [[20], [3, 4, 5, 6, 7], [4] * 20, [70]])
def test_transitions_are_those_of_the_uniform_buffer(n_step, discount, streams, lengths):
    rows = prioritized(lengths, streams, n_step=n_step, discount=discount).sample(400)
    check(rows, n_step, discount)
    newest = sum(lengths) - 1
    assert max(newest - 29, 0) <= rows["user"][:, 0].min() and rows["user"][:, 0].max() <= newest - n_step
    assert len(set(rows["user"][:, 1] // 100)) == streams


@pytest.mark.parametrize("streams", [1, 2])
def test_a_transition_is_drawn_in_proportion_to_its_error_to_the_alpha(streams):
    buffer = prioritized([25], streams, alpha=0.5)
    index = np.unique(buffer.sample(20_000)["replay_index"])
    error = np.linspace(-4, 9, len(index)).astype(np.float32)
    buffer.update(index, error)
    expected = (np.abs(error) + SMALLEST) ** 0.5
    counts = np.array([(buffer.sample(40_000)["replay_index"][:, None] == index).sum(0) for _ in range(5)]).sum(0)
    share = counts / 200_000
    # Five standard deviations of a share.
    assert np.abs(share - expected / expected.sum()).max() < 5 * np.sqrt(share.max() / 200_000)


def test_importance_weights_undo_the_priorities_at_the_end_of_training():
    buffer = prioritized([25], alpha=1.0, beta=0.4)
    index = np.unique(buffer.sample(20_000)["replay_index"])
    buffer.update(index, np.where(np.arange(len(index)) % 2, 1.0, 4.0).astype(np.float32))
    rows = buffer.sample(100_000, progress=1.0)
    assert rows["weight"].max() == 1
    mean = np.average(rows["reward"], weights=rows["weight"])
    everything = np.mean([rows["reward"][rows["replay_index"] == i][0] for i in index])
    assert mean == pytest.approx(everything, rel=0.02)
    ratio = {p: buffer.sample(5_000, progress=p)["weight"].min() for p in (0.0, 1.0)}
    assert ratio[0.0] == pytest.approx(4**-0.4, rel=1e-2)
    assert ratio[1.0] == pytest.approx(0.25, rel=1e-2)


def test_new_transitions_get_the_highest_priority():
    buffer = prioritized([25], alpha=1.0)
    index = np.unique(buffer.sample(20_000)["replay_index"])
    buffer.update(index, np.full(len(index), 99.0, np.float32))
    buffer.add(chunk(25, 4))
    rows = buffer.sample(2_000)
    new = rows["user"][:, 0] >= 25
    known = rows["user"][:, 0] < 24  # row 24 could not be drawn before its next one came: its priority is older
    assert new.any()
    np.testing.assert_allclose(rows["weight"][new], rows["weight"][known].mean(), rtol=1e-3)


def test_a_restored_buffer_draws_the_same():
    buffer = prioritized([40], streams=2)
    rows = buffer.sample(50)
    buffer.update(rows["replay_index"], rows["reward"])
    other = PrioritizedReplay(180, 2, 5)
    other.set_state(buffer.get_state())
    again = other.sample(300)
    for name, column in buffer.sample(300).items():
        np.testing.assert_array_equal(column, again[name])
