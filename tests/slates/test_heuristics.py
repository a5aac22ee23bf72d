"""Top-k and greedy slates by their definitions, and the exact ones against the paper's linear program."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from recsys_cli.slates.heuristics import greedy_slates, top_k_slates
from recsys_cli.slates.optimal import optimal_slates
from recsys_cli.slates.optimisers import OPTIMISERS

MASS = st.floats(0.01, 5)
VALUE = st.floats(-200, 200)


@st.composite
def problems(draw, largest=8):
    c = draw(st.integers(1, largest))
    v, q = (np.array(draw(st.lists(each, min_size=c, max_size=c))) for each in (MASS, VALUE))
    return v, q, draw(MASS | st.just(0.0)), draw(VALUE), draw(st.integers(1, c))


def rows(v, q, v_null, q_null):
    return [torch.as_tensor(np.asarray(x, float)[None]) for x in (v, q, v_null, q_null)]


def value_of(slate, v, q, v_null, q_null):
    slate = list(slate)
    return (v_null * q_null + (v[slate] * q[slate]).sum()) / (v_null + v[slate].sum())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(problems())
@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_slates_hold_different_candidates_and_their_value_is_told(name, problem):
    *parts, k = problem
    slates, values = OPTIMISERS[name](*rows(*parts), k)
    slate = slates[0].tolist()
    assert len(slate) == k == len(set(slate)) and set(slate) <= set(range(len(parts[0])))
    assert values.item() == pytest.approx(value_of(slate, *parts), rel=1e-9, abs=1e-9)
    assert values.item() <= optimal_slates(*rows(*parts), k)[1].item() + 1e-4


@settings(max_examples=200, deadline=None, derandomize=True)
@given(problems())
def test_top_k_ranks_by_what_a_click_gains_over_none(problem):
    v, q, v_null, q_null, k = problem
    slate = top_k_slates(*rows(v, q, v_null, q_null), k)[0][0].numpy()
    rank = v * (q - q_null)
    np.testing.assert_allclose(rank[slate], np.sort(rank)[::-1][:k])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(problems())
def test_greedy_adds_what_makes_the_slate_so_far_worth_most(problem):
    *parts, k = problem
    slate = greedy_slates(*rows(*parts), k)[0][0].tolist()
    for size in range(1, k + 1):
        others = [[*slate[: size - 1], i] for i in range(len(parts[0])) if i not in slate[: size - 1]]
        best = max(value_of(other, *parts) for other in others)
        assert value_of(slate[:size], *parts) == pytest.approx(best, rel=1e-6, abs=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems(largest=12))
def test_optimal_is_the_papers_linear_program(problem):
    # Charnes-Cooper: maximise sum_i v_i q_i y_i + v_null q_null t with v_null t + sum v_i y_i = 1, sum y = k t, y <= t.
    v, q, v_null, q_null, k = problem
    c = len(v)
    result = linprog(
        -np.append(v * q, v_null * q_null),
        A_ub=np.hstack([np.eye(c), -np.ones((c, 1))]),
        b_ub=np.zeros(c),
        A_eq=np.vstack([np.append(v, v_null), np.append(np.ones(c), -float(k))]),
        b_eq=[1.0, 0.0],
    )
    assert result.success
    assert optimal_slates(*rows(v, q, v_null, q_null), k)[1].item() == pytest.approx(-result.fun, rel=1e-5, abs=1e-4)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problems(), VALUE)
@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_a_constant_added_to_all_values_changes_the_value_by_it(name, problem, constant):
    v, q, v_null, q_null, k = problem
    first = OPTIMISERS[name](*rows(v, q, v_null, q_null), k)[1]
    second = OPTIMISERS[name](*rows(v, q + constant, v_null, q_null + constant), k)[1]
    assert second.item() == pytest.approx(first.item() + constant, rel=1e-5, abs=1e-3)


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_a_batch_is_its_rows(name):
    generator = torch.Generator().manual_seed(0)
    v, q = torch.rand(50, 12, generator=generator), torch.randn(50, 12, generator=generator)
    v_null, q_null = torch.rand(50, generator=generator), torch.randn(50, generator=generator)
    slates, values = OPTIMISERS[name](v, q, v_null, q_null, 4)
    for i in range(50):
        slate, value = OPTIMISERS[name](*(x[i : i + 1] for x in (v, q, v_null, q_null)), 4)
        assert slate[0].tolist() == slates[i].tolist()
        assert value.item() == pytest.approx(values[i].item(), rel=1e-5)


def test_greedy_is_worse_where_its_first_pick_crowds_out_the_best_pair():
    parts = rows(np.array([4.0, 1, 1]), np.array([1.0, 2, 2]), 2.0, 0.0)
    slate, value = greedy_slates(*parts, 2)
    assert slate[0, 0] == 0 and value.item() == pytest.approx(6 / 7)
    best, best_value = optimal_slates(*parts, 2)
    assert sorted(best[0].tolist()) == [1, 2] and best_value.item() == 1
