"""What LSPI keeps of play: the newest transitions, by session."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.algos.lspi.played import Played
from recsys_cli.config.structured import load
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.episodes import Episodes


class Player:
    """Random slates for a few users with short sessions, of which all ended ones are kept."""

    def __init__(self, stream: int = 0, users: int = 3) -> None:
        self.env = load("env", "interest_evolution", time_budget=20.0)
        self.collector = Collector(self.env, users, seed=stream, stream=stream)
        self.rng = np.random.Generator(np.random.SFC64(stream))
        self.rule = UniformPolicy(2).distribution

    def play(self, played: Played, chunks: int) -> list[Episodes]:
        for _ in range(chunks):
            played.add(self.collector.collect(8, self.rule, self.rng))
        return self.collector.finished


def columns(played: Played) -> dict[str, np.ndarray]:
    parts = list(played.transitions(1.0))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_a_sessions_steps_add_up_to_its_return() -> None:
    played = Played(10_000)
    finished = Player().play(played, 20)
    found = columns(played)
    sessions = {each: found["reward"][found["episode"] == each].sum() for each in np.unique(found["episode"])}
    ended = found["episode"][found["terminated"]]
    returns = np.concatenate([each.returns for each in finished])
    # In order of their ends; of the newest steps the next observation is not known yet.
    np.testing.assert_allclose([sessions[each] for each in ended], returns[: len(ended)], rtol=1e-5)
    for each in sessions:
        steps = found["step"][found["episode"] == each]
        np.testing.assert_array_equal(np.sort(steps), np.arange(len(steps)))
    assert len(set(ended)) == len(ended) >= len(returns) - 3 > 10


def test_only_the_newest_are_kept_and_first_steps_are_known() -> None:
    whole, short = Played(10_000), Played(150)
    Player().play(whole, 30), Player().play(short, 30)
    every, newest = columns(whole), columns(short)
    n = len(newest["reward"])
    assert 100 < n <= 150 < len(every["reward"])
    np.testing.assert_array_equal(newest["user"], every["user"][-n:])
    np.testing.assert_array_equal(newest["step"] == 0, every["step"][-n:] == 0)


@pytest.mark.parametrize("capacity", [10_000, 250])
def test_streams_follow_one_another(capacity: int) -> None:
    played = Played(capacity)
    for stream, users in enumerate((3, 6)):
        Player(stream, users).play(played, 15)
    assert list(played.rings) == ([0, 1] if capacity == 10_000 else [1])
    again = Played(capacity)
    again.set_state(played.get_state())
    found, restored = columns(played), columns(again)
    for name, values in found.items():
        np.testing.assert_array_equal(values, restored[name])
    assert len(found["reward"]) <= capacity
    if len(played.rings) == 2:
        assert len(np.unique(found["episode"])) == sum(
            len(np.unique(part["episode"])) for part in played.transitions(1.0)
        )
