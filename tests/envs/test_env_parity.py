"""The vectorised problems are equal in distribution to recsim: episodes against recorded ones of recsim itself."""

from __future__ import annotations

import numpy as np
import pytest
from parity import compare
from parity_cases import CASES, REFERENCE, play

USERS = 4096


@pytest.mark.parametrize("name", CASES)
def test_episodes_have_the_law_of_recsim(name: str) -> None:
    with np.load(REFERENCE / f"{name}.npz") as reference:
        recsim = dict(reference)
    case = CASES[name]
    assert not compare(play(case, case.config(), USERS, seed=0), recsim)


def test_every_problem_of_recsim_has_a_case(recsim_problem: str) -> None:
    assert any(case.problem == recsim_problem for case in CASES.values())


def test_comparison_sees_a_difference() -> None:
    with np.load(REFERENCE / "evolution_random.npz") as reference:
        recsim = dict(reference)
    case = CASES["evolution_random"]
    found = compare(play(case, case.config(step_penalty=0.6), USERS, seed=0), recsim)
    assert any(line.startswith("length") for line in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_episodes_have_the_law_of_recsim_played_now(name: str) -> None:
    case = CASES[name]
    recsim = play(case, case.config(backend="recsim"), 300, seed=1)
    assert not compare(play(case, case.config(), USERS, seed=2), recsim)
