"""Fixtures of this folder; lets its tests import their helper modules, whatever pytest's import mode."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_cli.config import folders
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.registration import register_envs

sys.path.insert(0, str(Path(__file__).parent))

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))


EXAMPLE = conf_dir().parent / "experiments" / "custom_simulator"
OWN = sorted(path.stem for path in (EXAMPLE / "env").glob("*.yaml"))  # found as a user's own simulator is


@pytest.fixture(params=[*PROBLEMS, *OWN])
def problem(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every problem that has a yaml, in this package or in the example of a simulator of one's own."""
    if request.param in OWN:
        monkeypatch.setenv(folders.VARIABLE, str(EXAMPLE))
        register_envs()
    yield request.param
    folders.forget([EXAMPLE])


def has_recsim(problem: str) -> bool:
    """Return whether the problem is one of recsim's."""
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
