"""Fixtures of this folder; lets its tests import their helper modules, whatever pytest's import mode."""

import sys
from pathlib import Path

import pytest

from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.base import EnvConfig

sys.path.insert(0, str(Path(__file__).parent))

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))


@pytest.fixture(params=PROBLEMS)
def problem(request: pytest.FixtureRequest) -> str:
    """Every problem that has a yaml."""
    return request.param


def has_recsim(problem: str) -> bool:
    """Tell whether the problem is one of recsim's."""
    return type(load("env", problem)).recsim_problem is not EnvConfig.recsim_problem


@pytest.fixture(params=["native", "recsim"])
def backend(request: pytest.FixtureRequest) -> str:
    """Both back ends, where the problem has both."""
    asked = request.fixturenames
    if request.param == "recsim" and "problem" in asked and not has_recsim(request.getfixturevalue("problem")):
        pytest.skip("not one of recsim's problems")
    return request.param


@pytest.fixture(params=[name for name in PROBLEMS if has_recsim(name)])
def recsim_problem(request: pytest.FixtureRequest) -> str:
    """Every problem that recsim has, too."""
    return request.param
