"""gymnasium finds every problem."""

from __future__ import annotations

import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from recsys_cli.config.errors import ConfigError
from recsys_cli.envs.registration import env_ids, register_envs
from recsys_cli.envs.single import SlateEnv


def env_id(problem: str) -> str:
    return dict(env_ids())[problem]


def test_names() -> None:
    assert dict(env_ids())["interest_evolution"] == "recsys/InterestEvolution-v0"


def test_make(problem: str, backend: str) -> None:
    env = gymnasium.make(env_id(problem), num_candidates=7, slate_size=3, backend=backend, resample_documents=False)
    observation, _ = env.reset(seed=1)
    assert observation["doc"].shape[0] == 7
    assert env.spec.max_episode_steps is None
    assert isinstance(env.unwrapped, SlateEnv)
    env.step(env.action_space.sample())


def test_make_vec(problem: str, backend: str) -> None:
    env = gymnasium.make_vec(
        env_id(problem), num_envs=5, vectorization_mode="vector_entry_point", num_candidates=7, backend=backend
    )
    assert env.reset(seed=1)[0]["doc"].shape[:2] == (5, 7)
    assert gymnasium.make_vec(env_id(problem)).num_envs == 1


def test_gymnasiums_own_vectorisation_works(problem: str) -> None:
    env = gymnasium.make_vec(env_id(problem), num_envs=3, vectorization_mode="sync")
    env.reset(seed=1)
    env.action_space.seed(0)
    for _ in range(3):
        observation, *_ = env.step(env.action_space.sample())
    assert observation in env.observation_space


def test_index_documents() -> None:
    env = gymnasium.make_vec("recsys/InterestEvolution-v0", num_envs=3, doc_format="index")
    assert env.reset(seed=1)[0]["doc"].dtype == np.uint8


def test_wrong_keys_are_told() -> None:
    with pytest.raises(ConfigError, match=r"env\.slate_sise is unknown. Did you mean 'env\.slate_size'"):
        gymnasium.make("recsys/InterestEvolution-v0", slate_sise=3)


def test_registering_twice_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    register_envs()
    assert gymnasium.registry == before


def test_registering_is_light() -> None:
    code = (
        "import sys, gymnasium\n"
        "import recsys_cli.envs\n"
        "print([name for name in ('torch', 'ray', 'yaml', 'omegaconf', 'recsim', 'gym') if name in sys.modules])\n"
    )
    assert output_of(code) == "[]"


@pytest.mark.parametrize(
    ("imports", "prefix"),
    [
        ("import recsys_cli, gymnasium", ""),
        ("import gymnasium, recsys_cli", ""),
        ("import recsys_cli.config.schema; from gymnasium import spaces; import gymnasium", ""),
        ("import gymnasium", "recsys_cli:"),
        ("import gymnasium", "recsys_cli.envs:"),
    ],
)
def test_any_order_of_imports_registers(imports: str, prefix: str) -> None:
    code = f"""{imports}
env = gymnasium.make('{prefix}recsys/LongTermSatisfaction-v0', num_candidates=4)
print(env.reset(seed=0)[0]['doc'].shape)
"""
    assert output_of(code) == "(4, 1)"


def output_of(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
