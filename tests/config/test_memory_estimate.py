"""What the machine's memory is, and what is said of a training that does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys_cli.config import catalog, memory
from recsys_cli.config.compose import compose
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "2000000\n"}, 2_000_000),
        ({"memory.max": "max\n"}, 1 << 60),
        ({"memory/memory.limit_in_bytes": "3000000\n"}, 3_000_000),
        ({}, 1 << 60),
    ],
)
def test_the_limit_of_a_container_counts(tmp_path: Path, files: dict[str, str], limit: int) -> None:
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert memory._group_limit(tmp_path) == limit


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (4_600_000_000, "4.6 GB"), (3e14, "300 TB"), (1e21, "1,000,000 PB")],
)
def test_sizes_are_spelled(size: float, words: str) -> None:
    assert memory._spell(size) == words


@pytest.mark.parametrize("env", catalog.option_names("env"))
@pytest.mark.parametrize("algo", catalog.option_names("algo"))
def test_every_default_fits_a_gigabyte(env: str, algo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 10**9)
    refusal = ""
    try:
        compose("train", [f"env={env}", f"algo={algo}"])
    except ConfigError as error:  # the algorithm does not fit the problem
        refusal = str(error)
    assert "this machine has" not in refusal


@pytest.mark.parametrize(
    ("changes", "users", "words"),
    [
        ({}, 10**9, "users=1,000,000,000 takes 160 GB"),
        ({"num_candidates": 10**9}, 2000, "env.num_candidates=1,000,000,000"),
    ],
)
def test_an_evaluation_is_checked_too(
    changes: dict[str, int], users: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 8 * 10**9)
    memory.check_evaluation(load("env", "interest_evolution").spec, 2000, 4)
    with pytest.raises(ConfigError, match=words):
        memory.check_evaluation(load("env", "interest_evolution", **changes).spec, users, 4)


def test_a_cluster_is_not_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 1)
    compose("train", ["resources.ray_address=auto"])
    with pytest.raises(ConfigError, match="this machine has 1 bytes"):
        compose("train", [])


def test_the_figure_is_below_what_a_training_takes() -> None:
    """An estimate too high would refuse what fits: the arrays of a real buffer hold at least as much."""
    import numpy as np

    from recsys_cli.policies import UniformPolicy
    from recsys_cli.rollouts.collector import Collector
    from recsys_cli.rollouts.replay import ReplayBuffer

    for env in catalog.option_names("env"):
        config = compose("train", [f"env={env}", "algo.replay_capacity=20_000"])
        collector = Collector(config.env, 100, seed=0)
        buffer = ReplayBuffer(20_000, 1, seed=0)
        buffer.add(collector.collect(1, UniformPolicy(2).distribution, np.random.Generator(np.random.SFC64(0))))
        (stated,) = (size for what, size in config.algo.memory_bytes(config.env.spec).items() if "replay" in what)
        assert 0.5 * buffer.nbytes() <= stated <= buffer.nbytes()
