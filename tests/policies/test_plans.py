"""The oracle's plans on disk: found once, and found again whatever happened to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys_cli.config.structured import load
from recsys_cli.policies.oracle import _plans, interest_evolution
from recsys_cli.policies.oracle._session_value import COEFFICIENTS
from recsys_cli.policies.oracle.interest_evolution import InterestEvolutionOracle, Price, best_value, value_of

SHORT = {"time_budget": 8.0, "num_candidates": 80}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(_plans.VARIABLE, str(tmp_path))
    return tmp_path / "plans"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was planned, instead of being read."""
    planned: list[Any] = []

    def planning(env: Any, seed: int) -> Any:
        planned.append((env, seed))
        return value_of(env, {"coefficients": np.random.default_rng(seed).random(COEFFICIENTS)})

    monkeypatch.setattr(interest_evolution, "best_value", planning)
    return planned


def solved(monkeypatch: pytest.MonkeyPatch, seed: int = 0, **changes: Any) -> np.ndarray:
    """Return the coefficients as another process would have them."""
    monkeypatch.setattr(interest_evolution, "_found", {})
    oracle = InterestEvolutionOracle(seed)
    oracle.solve(load("env", "interest_evolution", **{**SHORT, **changes}))
    return oracle.value.weights


def test_a_plan_is_found_once_for_each_problem_and_seed(cache: Path, found: list[Any], monkeypatch) -> None:
    first = solved(monkeypatch)
    assert (solved(monkeypatch) == first).all() and (solved(monkeypatch, backend="recsim") == first).all()
    assert len(found) == 1
    assert (solved(monkeypatch, seed=1) != first).any()
    solved(monkeypatch, slate_size=3)
    assert len(found) == 3 == len(list(cache.iterdir()))


@pytest.mark.parametrize("damage", ["empty", "half", "pickle", "of another problem", "not finite", "other numbers"])
def test_a_file_that_is_not_the_plan_is_made_again(damage: str, cache: Path, found: list[Any], monkeypatch) -> None:
    first = solved(monkeypatch)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    with np.load(file) as kept:
        arrays = dict(kept)
    match damage:
        case "empty":
            file.write_bytes(b"")
        case "half":
            file.write_bytes(whole[: len(whole) // 2])
        case "pickle":
            np.savez(file, **{**arrays, "coefficients": np.array([Price(1.0)], object)})
        case "of another problem":
            np.savez(file, **{**arrays, "key": np.array("mine")})
        case "not finite":
            np.savez(file, **{**arrays, "coefficients": arrays["coefficients"] * np.nan})
        case "other numbers":
            np.savez(file, **{**arrays, "coefficients": arrays["coefficients"][:5]})
    assert (solved(monkeypatch) == first).all()
    assert len(found) == 2 and file.read_bytes() == whole
    assert [path.name for path in cache.iterdir()] == [file.name], "nothing temporary is left"


def test_a_folder_that_cannot_be_written_to_is_no_error(found: list[Any], monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(_plans.VARIABLE, str(tmp_path / "file"))
    assert (solved(monkeypatch) == solved(monkeypatch)).all()
    assert len(found) == 2


def test_where_plans_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(_plans.VARIABLE, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert _plans.folder() == tmp_path / "mine" / "recsys-cli" / "plans"
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert _plans.folder() == tmp_path / ".cache" / "recsys-cli" / "plans"


def test_a_price_is_kept_too(cache: Path) -> None:
    env = load("env", "interest_evolution", **SHORT)
    _plans.keep("a key", Price(1.25).to_arrays())
    assert value_of(env, _plans.read("a key") or {}).price == 1.25
    assert _plans.read("another key") is None


def test_plans_of_this_format_are_these() -> None:
    """If they change, so must `_plans.FORMAT`: kept plans would else differ from new ones."""
    value = best_value(load("env", "interest_evolution", **SHORT), seed=0)
    assert (_plans.FORMAT, type(value).__name__) == (2, "SessionValue")
    assert value.weights.sum() == pytest.approx(145.413104, rel=1e-6)
    assert np.abs(value.weights).sum() == pytest.approx(319.700248, rel=1e-6)
