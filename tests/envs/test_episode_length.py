"""How long an episode lasts: the problem's own keys, a spec's truncation and horizon, gymnasium's max_episode_steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
from players import trajectory

from recsys_cli.cli import main
from recsys_cli.config import folders
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load

EXAMPLE = conf_dir().parent / "experiments" / "custom_simulator"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(folders.VARIABLE, str(EXAMPLE))
    yield
    folders.forget([EXAMPLE])


@pytest.mark.parametrize("env", ["interest_evolution", "embedding_feed"])
@pytest.mark.parametrize("key", ["max_episode_steps", "truncation", "horizon"])
def test_a_key_that_is_not_there_is_explained(env: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", f"env={env}", f"env.{key}=50", "--cfg", "job"]) == 2
    error = capsys.readouterr().err
    assert f"env.{key} is unknown with env={env}. The length of an episode is up to the problem" in error
    assert "truncation=<steps> in its spec" in error and error.count("\n") == 1
    with pytest.raises(ConfigError, match="The length of an episode is up to the problem"):
        load("env", env, **{key: 50})


def test_a_field_that_specs_do_not_have_is_named() -> None:
    env = load("env", "embedding_feed")
    with pytest.raises(
        ConfigError, match=r"a spec has no field max_episode_steps; it has .*, horizon, groups\. The length of"
    ):
        env.problem_spec(max_episode_steps=50)
    with pytest.raises(ConfigError, match=r"a spec has no field documnts; .* Did you mean 'documents'\?"):
        env.problem_spec(documnts=())


def test_an_own_problem_is_truncated_by_its_spec() -> None:
    env = load("env", "embedding_feed", no_click_time=0.001, click_time=0.001)
    env.spec = dataclasses.replace(env.spec, truncation=3, horizon=3)
    vec = env.make_vec(4)
    vec.reset(seed=0)
    ends = [(terminated.any(), truncated.all()) for _, _, terminated, truncated, _ in trajectory(vec, 3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_a_horizon_that_does_not_hold_is_refused() -> None:
    env = load("env", "embedding_feed", no_click_time=0.001, click_time=0.001)
    env.spec = dataclasses.replace(env.spec, horizon=3)
    vec = env.make_vec(4)
    vec.reset(seed=0)
    with pytest.raises(ConfigError, match=r"lasted 7 steps, and spec\.horizon declares 3 at most: let truncation=3"):
        trajectory(vec, 20)


def test_gymnasiums_own_limit_holds_for_one_and_for_many() -> None:
    one = gymnasium.make("recsys/InterestEvolution-v0", max_episode_steps=2)
    one.reset(seed=0)
    one.action_space.seed(0)
    assert [one.step(one.action_space.sample())[3] for _ in range(2)] == [False, True]
    vec = gymnasium.make_vec("recsys/InterestEvolution-v0", num_envs=3, max_episode_steps=2)
    vec.reset(seed=0)
    np.testing.assert_array_equal([step[3] for step in trajectory(vec, 5)], np.array([[0, 1, 0, 0, 1]] * 3).T)
    earlier = gymnasium.make_vec("recsys/InterestExploration-v0", num_envs=3, horizon=2, max_episode_steps=9)
    earlier.reset(seed=0)
    assert trajectory(earlier, 2)[-1][3].all()
    with pytest.raises(ConfigError, match="max_episode_steps=0 must be at least 1"):
        gymnasium.make_vec("recsys/InterestEvolution-v0", max_episode_steps=0)
