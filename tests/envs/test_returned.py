"""What a person's own simulator may return, and the line that says what it may not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from players import same, trajectory

from recsys_cli.cli import main
from recsys_cli.config import folders
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.spec import ResponseField
from recsys_cli.envs.vector import SlateVectorEnv

EXAMPLE = conf_dir().parent / "experiments" / "custom_simulator"
N, K = 6, 3


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(folders.VARIABLE, str(EXAMPLE))
    yield
    folders.forget([EXAMPLE])


def simulator(**changes: Any) -> SlateVectorEnv:
    vec: SlateVectorEnv = load("env", "embedding_feed", **changes).make_vec(N)
    return vec


def changed(vec: SlateVectorEnv, method: str, change: Callable[[Any], Any]) -> SlateVectorEnv:
    """Let one method of this simulator return something else."""
    original = getattr(vec, method)
    setattr(vec, method, lambda *args: change(original(*args)))
    return vec


def played(vec: SlateVectorEnv, steps: int = 30) -> list[Any]:
    return [vec.reset(seed=1), *trajectory(vec, steps)]


def advance(**parts: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Change parts of what `_advance` returns: `reward`, `terminated`, or fields of the response."""

    def change(given: Any) -> Any:
        response, reward, terminated = given
        response = {name: parts.get(name, lambda value: value)(value) for name, value in response.items()}
        for name, make in parts.items():
            if name not in (*response, "reward", "terminated"):
                response[name] = make(None)
        return response, parts.get("reward", np.copy)(reward), parts.get("terminated", np.copy)(terminated)

    return change


CAST = {
    "float64 features": ("_user", lambda user: user.astype(np.float64)),
    "a list": ("_documents", lambda doc: doc.tolist()),
    "flags as bool": ("_advance", advance(click=lambda click: click.astype(bool))),
    "flags as float64": ("_advance", advance(click=lambda click: click.astype(np.float64))),
    "numbers as float64": ("_advance", advance(quality=lambda quality: quality.astype(np.float64))),
    "ends as int": ("_advance", advance(terminated=lambda ended: ended.astype(int))),
    "read-only arrays": ("_advance", advance(reward=lambda reward: np.broadcast_to(reward, reward.shape))),
}


@pytest.mark.parametrize("what", CAST)
def test_dtypes_are_cast_if_no_value_changes(what: str) -> None:
    assert same(played(changed(simulator(), *CAST[what])), played(simulator()))


def test_a_number_of_any_integer_type_is_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load("env", "embedding_feed", items_in_db=300)
    vec, plain = (config.make_vec(N, doc_format="index") for _ in range(2))
    assert same(played(changed(vec, "_documents", lambda doc: doc.astype(np.int64))), played(plain))
    with pytest.raises(ConfigError, match=r"returned int64 70000 and must return int16 \[N, C\]"):
        changed(vec, "_documents", lambda doc: doc.astype(np.int64) * 0 + 70_000).reset(seed=0)


REFUSED = {
    "_user returned float32 [6, 4] and must return float32 [N, U] = [6, 16], as spec.user declares": (
        "_user",
        lambda user: user[:, :4].copy(),
    ),
    "_user returned nan at [2, 0] of [N, U]; spec.user declares -1 to 1": (
        "_user",
        lambda user: np.where(np.arange(N)[:, None] == 2, np.nan, user),
    ),
    "_documents returned 1.5 at [0, 0, 0] of [N, C, F]; spec.documents declares -1 to 1": (
        "_documents",
        lambda doc: np.full_like(doc, 1.5),
    ),
    "_documents returned <U32 [6, 10, 16] and must return float32": ("_documents", lambda doc: doc.astype(str)),
    "_advance must return (response, reward, terminated)": ("_advance", lambda given: given[:2]),
    "_advance returned the response fields click, quality, liked; spec.response declares click, quality": (
        "_advance",
        advance(liked=lambda _: np.zeros((N, K))),
    ),
    "_advance (response 'click') returned float64 0.5 and must return int8 [N, k]": (
        "_advance",
        advance(click=lambda click: np.full(click.shape, 0.5)),
    ),
    "_advance (response 'quality') returned 2 at [0, 0] of [N, k]; spec.response (a number) declares 0 to 1": (
        "_advance",
        advance(quality=lambda quality: np.full_like(quality, 2)),
    ),
    "_advance (reward) returned float64 [6, 1] and must return float64 [N] = [6]": (
        "_advance",
        advance(reward=lambda reward: reward[:, None]),
    ),
    "_advance (terminated) returned float64 9.9 and must return bool [N] = [6]": (
        "_advance",
        advance(terminated=lambda ended: np.full(N, 9.9)),
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_the_spec_does_not_declare_is_refused_in_one_line(message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        played(changed(simulator(), *REFUSED[message]), 1)
    assert f"EmbeddingFeedVectorEnv.{message}" in str(refused.value)


def test_a_shape_that_changes_later_is_refused() -> None:
    vec = simulator()
    played(vec, 5)
    changed(vec, "_user", lambda user: user[:3])
    with pytest.raises(ConfigError, match="_user returned"):
        trajectory(vec, 1)


def test_an_array_of_the_simulators_own_is_refused() -> None:
    vec = simulator()
    vec._user = lambda: vec._users  # type: ignore[method-assign]
    with pytest.raises(
        ConfigError, match=r"returned its own array self\._users, which it changes later: return a copy"
    ):
        vec.reset(seed=0)


def test_the_zeros_of_a_start_lie_in_the_space_of_a_number() -> None:
    assert np.zeros(K, np.float32) in ResponseField("price", "number", 1.0, 9.0).space(K)


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_command_says_so_before_it_starts(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own"
    shutil.copytree(EXAMPLE, own, ignore=shutil.ignore_patterns("__pycache__"))
    for old, new in (("embedding_feed.py", "wrong_feed.py"), ("env/embedding_feed.yaml", "env/wrong_feed.yaml")):
        text = (own / old).read_text().replace("return self._users.copy()", "return self._users[:, :4].copy()")
        (own / old).unlink()
        (own / new).write_text(text.replace("embedding_feed", "wrong_feed"))
    runs = tmp_path / "runs"
    words = [command, "--config-dir", str(own), "env=wrong_feed", "algo=slateq", f"output_dir={runs}"]
    assert main([*words, *(["algo.lr=1e-3,1e-4"] if command == "sweep" else [])]) == 2
    error = capsys.readouterr().err
    assert "EmbeddingFeedVectorEnv._user returned float32 [2, 4] and must return float32 [N, U] = [2, 16]" in error
    assert error.count("\n") == 1 and not runs.exists()
    folders.forget([own])
