"""gymnasium's `ansi` rendering, and the render modes that are refused."""

from __future__ import annotations

import warnings

import gymnasium
import pytest
from gymnasium import error
from gymnasium.utils.env_checker import check_env

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.registration import env_ids


def test_every_problem_can_be_rendered(problem: str, backend: str) -> None:
    env_id, keys = dict(env_ids())[problem], {"backend": backend, "render_mode": "ansi", "slate_size": 2}
    env = gymnasium.make(env_id, num_candidates=[1, 4] if backend == "native" else 4, **keys)
    observation, _ = env.reset(seed=0)
    before = env.render()
    assert before.startswith(f"{problem}: step 0") and "on offer" in before and "shown" not in before
    slate = env.action_space.sample(observation.get("mask"))
    _, reward, *_ = env.step(slate)
    after = env.render()
    assert f"step 1, reward {reward:.4g}, return {reward:.4g}" in after and "shown" in after
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(gymnasium.make(env_id, **keys).unwrapped)


def test_a_click_and_its_document() -> None:
    env = gymnasium.make("recsys/LongTermSatisfaction-v0", num_candidates=3, render_mode="ansi")
    doc = env.reset(seed=0)[0]["doc"][:, 0]
    observation, reward, *_ = env.step([2, 0])
    assert env.render().splitlines() == [
        f"long_term_satisfaction: step 1, reward {reward:.4g}, return {reward:.4g}",
        f"shown       2  {doc[2]:.2f}  clicked  engagement {reward:.4g}",
        f"            0  {doc[0]:.2f}  -------  engagement 0",
        *(f"{'on offer' if i == 0 else '':<9}{i:>4}  {each:.2f}" for i, each in enumerate(observation["doc"][:, 0])),
    ]


@pytest.mark.parametrize("doc_format", ["dense", "index"])
def test_many_candidates_are_cut(doc_format: str) -> None:
    env = gymnasium.make("recsys/InterestEvolution-v0", num_candidates=500, render_mode="ansi", doc_format=doc_format)
    env.reset(seed=0)
    lines = env.render().splitlines()
    assert len(lines) == 13 and lines[-1].endswith("... and 490 more") and "topic" in lines[2]
    assert lines[1].endswith("... (20 in all)") and max(map(len, lines)) < 100


def test_the_end_is_shown() -> None:
    env = gymnasium.make("recsys/LongTermSatisfaction-v0", time_budget=1, render_mode="ansi").unwrapped
    with pytest.raises(error.ResetNeeded):
        env.render()
    env.reset(seed=0)
    env.step([0, 1])
    assert ", ended\n" in env.render()


@pytest.mark.parametrize("mode", ["human", "rgb_array"])
@pytest.mark.parametrize("keys", [{}, {"flat": True}])
def test_other_modes_are_refused(mode: str, keys: dict) -> None:
    with pytest.raises(ConfigError, match=rf"render_mode='{mode}' is not available for env=.*; allowed: None, 'ansi'"):
        gymnasium.make("recsys/InterestEvolution-v0", render_mode=mode, **keys)


def test_without_a_mode_nothing_is_rendered() -> None:
    env = gymnasium.make("recsys/InterestEvolution-v0").unwrapped
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render needs render_mode='ansi'"):
        assert env.render() is None
