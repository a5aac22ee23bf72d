"""How narrow a log is, in one line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from logs import played

from recsys_cli.config.explore import Explore
from recsys_cli.config.structured import load
from recsys_cli.offline.dataset import Dataset
from recsys_cli.offline.support import narrowness
from recsys_cli.offline.writer import Writer
from recsys_cli.policies import SlatePolicy
from recsys_cli.policies.exploration import ExploringPolicy

ENV = load("env", "interest_evolution", slate_size=3)


def log_by(policy: SlatePolicy, folder: Path) -> Dataset:
    writer = Writer(folder, ENV.spec, {})
    writer.write(played(ENV, 60, policy=policy))
    return writer.finish()


def test_a_log_of_one_slate_is_narrow_and_one_of_all_is_not(tmp_path: Path) -> None:
    myopic = load("algo", "myopic").make_policy(ENV.spec)
    assert narrowness(log_by(load("algo", "random").make_policy(ENV.spec), tmp_path / "random")) is None
    said = narrowness(log_by(myopic, tmp_path / "certain"))
    assert said is not None
    assert "data=certain is narrow: 100 % of its slates were certain" in said
    assert "as varied as 1.0 equally likely ones of 720" in said


def test_few_random_slates_make_it_hardly_wider(tmp_path: Path) -> None:
    myopic = load("algo", "myopic").make_policy(ENV.spec)
    said = narrowness(log_by(ExploringPolicy(myopic, Explore("epsilon", 0.05)), tmp_path / "narrow"))
    assert said is not None
    assert "0 % of its slates were certain" in said
    entropy = -0.95 * math.log(0.95) - 0.05 * math.log(0.05 / 720)
    varied = float(said.split("as varied as ")[1].split()[0])
    assert varied == pytest.approx(math.exp(entropy), abs=0.15)
