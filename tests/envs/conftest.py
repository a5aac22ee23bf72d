"""Fixtures of this folder; lets its tests import their helper modules, whatever pytest's import mode."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys_cli.config import folders
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.registration import register_envs

sys.path.insert(0, str(Path(__file__).parent))

import learned_users

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))


EXAMPLE = conf_dir().parent / "experiments" / "custom_simulator"
OWN: dict[str, Callable[[], Path]] = {  # found as a user's own simulator is
    **{path.stem: lambda: EXAMPLE for path in sorted((EXAMPLE / "env").glob("*.yaml"))},
    learned_users.NAME: learned_users.folder,
}


@pytest.fixture(params=[*PROBLEMS, *OWN])
def problem(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every problem that has a yaml: in this package, the example of one's own, and one learned from a log."""
    own = OWN.get(request.param)
    if own is not None:
        monkeypatch.setenv(folders.VARIABLE, str(own()))
        register_envs()
    yield request.param
    if own is not None:
        folders.forget([own()])


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
