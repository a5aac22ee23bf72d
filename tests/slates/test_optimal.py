"""The exact slate against enumeration."""

from __future__ import annotations

from itertools import combinations
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys_cli.slates import optimal
from recsys_cli.slates.optimal import optimal_slates, optimal_values, slate_values
from recsys_cli.slates.optimisers import whole_slates


def best_by_enumeration(v, q, v_null, q_null, k):
    values = []
    for slate in combinations(range(len(v)), k):
        at = list(slate)
        mass = v_null + v[at].sum()
        values.append((v_null * q_null + (v[at] * q[at]).sum()) / mass if mass > 0 else q_null)
    return max(values)


def solve(v, q, v_null, q_null, k, dtype):
    rows = [torch.as_tensor(np.asarray(x)[None], dtype=dtype) for x in (v, q, v_null, q_null)]
    slates, values = optimal_slates(*rows, k)
    torch.testing.assert_close(optimal_values(*rows, k), values)
    return rows, slates, values


# Few distinct numbers: ties and zero masses are common.
MASSES = st.sampled_from([0.0, 0.25, 1.0, 1.5, 4.0])
VALUES = st.sampled_from([-30.0, -1.0, 0.0, 0.5, 2.0, 170.0])


@st.composite
def problems(draw):
    c = draw(st.integers(1, 7))
    mass = st.floats(0, 5) | MASSES
    value = st.floats(-200, 200) | VALUES
    v, q = (np.array(draw(st.lists(each, min_size=c, max_size=c))) for each in (mass, value))
    return v, q, draw(mass), draw(value), draw(st.integers(1, c))


NOBODY_REACTS = (np.array([1.0, 0.0, 0.0]), np.zeros(3), 0.0, 1.0, 1)  # to the second or third candidate


@pytest.mark.parametrize("few", [0, optimal.FEW])  # in rounds, and by valuing all
@settings(max_examples=200, deadline=None, derandomize=True)
@example(NOBODY_REACTS, torch.float32)
@given(problems(), st.sampled_from([torch.float32, torch.float64]))
def test_no_slate_is_better(few, problem, dtype):
    v, q, v_null, q_null, k = problem
    v, v_null = np.where(v < 1e-3, 0, v), v_null if v_null >= 1e-3 else 0.0
    with mock.patch.object(optimal, "FEW", few):
        rows, slates, values = solve(v, q, v_null, q_null, k, dtype)
    slate = slates[0].tolist()
    assert len(set(slate)) == k and min(slate) >= 0 and max(slate) < len(v)
    gathered = slate_values(rows[0].gather(-1, slates), rows[1].gather(-1, slates), *rows[2:])
    assert gathered.item() == pytest.approx(values.item(), rel=1e-4, abs=1e-3)
    # Rounding is relative to the values summed, not to their sum; the method itself stops at a relative 1e-6.
    tolerance = 1e-5 * max(np.abs(q).max(), abs(q_null), 1e-3) * (10 if dtype is torch.float32 else 1)
    assert values.item() == pytest.approx(best_by_enumeration(v, q, v_null, q_null, k), abs=tolerance)


@pytest.mark.parametrize("few", [0, optimal.FEW])
def test_slates_fall_by_what_a_click_gains(few):
    generator = torch.Generator().manual_seed(4)
    v, q = torch.rand(32, 8, generator=generator), torch.randn(32, 9, generator=generator)
    with mock.patch.object(optimal, "FEW", few):
        slates, values = optimal_slates(v, q[:, :-1], torch.ones(32), q[:, -1], 3)
    gain = (v * (q[:, :-1] - values[:, None])).gather(-1, slates)
    assert (gain.diff(dim=-1) <= 0).all()


@pytest.mark.parametrize("k", [1, 3, 10, 50])
def test_rows_do_not_influence_each_other(k):
    generator = torch.Generator().manual_seed(3)
    v, q = torch.rand(64, 50, generator=generator) * 2, torch.randn(64, 50, generator=generator) * 10 + 100
    v_null, q_null = torch.rand(64, generator=generator) * 2, torch.randn(64, generator=generator) * 10 + 95
    slates, values = optimal_slates(v, q, v_null, q_null, k)
    for i in range(64):
        alone, value = optimal_slates(v[i : i + 1], q[i : i + 1], v_null[i : i + 1], q_null[i : i + 1], k)
        assert value.item() == pytest.approx(values[i].item(), rel=2e-6)
        assert set(alone[0].tolist()) == set(slates[i].tolist())


def test_a_high_null_value_is_what_makes_the_slate_avoid_bad_items():
    v, q = torch.tensor([[1.0, 1.0, 1.0]]), torch.tensor([[5.0, 1.0, 0.9]])
    slate, value = optimal_slates(v, q, torch.ones(1), torch.tensor([4.0]), 1)
    assert slate.tolist() == [[0]] and value.item() == 4.5


def test_constant_values_rank_by_score():
    v = torch.tensor([[0.3, 2.0, 0.1, 1.0]])
    slates, _ = optimal_slates(v, torch.ones_like(v), torch.ones(1), torch.zeros(1), 3)
    assert slates.tolist() == [[1, 3, 0]]


def test_nobody_can_react():
    zero = torch.zeros(2, 4)
    slates, values = optimal_slates(zero, torch.ones(2, 4), torch.zeros(2), torch.tensor([7.0, -7.0]), 2)
    assert values.tolist() == [7.0, -7.0] and all(len(set(row)) == 2 for row in slates.tolist())


def test_unattended_positions_are_filled_by_value():
    q = torch.tensor([[1.0, 4.0, 3.0, -2.0]])
    slates = whole_slates(torch.ones_like(q), q, torch.zeros(1), torch.zeros(1), 3, 1)
    assert slates.tolist() == [[1, 2, 0]]


@pytest.mark.parametrize(("candidates", "k"), [(30, 3), (9, 3), (4, 4)])
def test_in_a_graph_it_is_the_same(candidates: int, k: int) -> None:
    """`framework=torch_compile` makes the rounds a loop of the graph; traced here, compiled to nothing."""
    generator = torch.Generator().manual_seed(0)
    v, q = torch.rand(64, candidates, generator=generator), torch.randn(64, candidates + 1, generator=generator)
    v_null = torch.rand(64, generator=generator) * (torch.arange(64) % 3 > 0)
    arguments = (v, q[:, :-1], v_null, q[:, -1], k)  # values and the null's are of one memory, as networks return them
    traced = torch.compile(optimal_slates, backend="eager", fullgraph=True, dynamic=False)(*arguments)
    torch.testing.assert_close(traced, optimal_slates(*arguments), rtol=0, atol=0)
