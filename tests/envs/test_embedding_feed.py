"""The example of a simulator of one's own does what its docstring says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from recsys_cli.config import folders
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load

EXAMPLE = conf_dir().parent / "experiments" / "custom_simulator"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(folders.VARIABLE, str(EXAMPLE))
    yield
    folders.forget([EXAMPLE])


def vectors(env: Any) -> tuple[np.ndarray, np.ndarray]:
    observation = env.observe()
    return observation["user"], observation["doc"]


def test_choice_reward_and_time_are_those_of_the_docstring() -> None:
    env = load("env", "embedding_feed", num_features=4).make_vec(20_000)
    env.reset(seed=0)
    user, doc = vectors(env)
    scores = np.einsum("ne,nce->nc", user.astype(float), doc.astype(float))
    slates = np.tile([4, 0, 7], (len(user), 1))
    observation, reward, *_ = env.step(slates)
    click, quality = observation["response"]["click"], observation["response"]["quality"]

    weights = np.exp(scores[:, [4, 0, 7]])
    expected = weights / (weights.sum(axis=1, keepdims=True) + np.e)
    noise = np.sqrt((expected * (1 - expected)).sum(axis=0))
    assert (np.abs(click.sum(axis=0) - expected.sum(axis=0)) < 4.5 * noise).all()

    regret = 1 - np.exp(scores[:, [4, 0, 7]] - scores.max(axis=1, keepdims=True))
    assert quality == pytest.approx(1 - regret, abs=1e-5)
    assert reward == pytest.approx(((1 - regret) * click).sum(axis=1), abs=1e-5)
    assert env.hidden_state()["budget"] == pytest.approx(np.where(click.any(axis=1), 9.0, 9.9))


def test_databases_are_those_of_their_seed() -> None:
    def seen(seed: int, **keys: Any) -> tuple[np.ndarray, np.ndarray]:
        env = load("env", "embedding_feed", items_in_db=30, users_in_db=7, **keys).make_vec(500)
        env.reset(seed=seed)
        user, doc = vectors(env)
        assert all(len(np.unique(items, axis=0)) == 10 for items in doc[:50]), "an item is offered twice"
        return np.unique(user, axis=0), np.unique(doc.reshape(-1, doc.shape[-1]), axis=0)

    users, items = seen(0)
    assert (len(users), len(items)) == (7, 30)
    assert all((again == first).all() for again, first in zip(seen(1), (users, items), strict=True))
    assert (seen(0, db_seed=1)[1] != items).any()
