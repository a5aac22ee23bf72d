"""Compiled gradient steps learn what eager ones do, one learner beside another, after a restore too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import ray
import torch
from learners import KINDS, SIZE, assert_learned_the_same, learn, learner_of, transitions

from recsys_cli.algos.compiled import CompiledStep


@pytest.mark.parametrize("kind", KINDS)
def test_one_graph_holds_loss_and_gradient(kind: str) -> None:
    """Traced in full by the compiler's front end, but run as it is: quick, and the same to the last bits."""
    eager, traced = learner_of(*KINDS[kind]), learner_of(*KINDS[kind])
    traced.step = CompiledStep(traced.gradients, backend="eager")
    batch = transitions(eager, SIZE)
    (_, one, gradients), (_, other, same) = eager.step(batch), traced.step(batch)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(list(gradients), list(same))


def test_a_learner_process_compiles_its_steps_too() -> None:
    """Ray wraps every method of a class whose objects live in processes of their own."""
    plain, learner = learner_of(), learner_of()
    learner.__class__ = ray.remote(type(learner)).__ray_metadata__.modified_class
    assert inspect.unwrap(type(learner).gradients) is not type(learner).gradients
    batch = transitions(plain, SIZE)
    torch.testing.assert_close(CompiledStep(learner.gradients, backend="eager")(batch)[1], plain.step(batch)[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_steps_learn_what_eager_ones_do(kind: str, assert_same: Callable[[Any, Any], None]) -> None:
    eager, compiled, restored = (
        learner_of(*KINDS[kind]),
        *(learner_of(*KINDS[kind], "framework=torch_compile") for _ in range(2)),
    )
    first = [parameter.detach().clone() for parameter in eager.trained]
    batch = transitions(eager, 5 * SIZE)
    assert learn(compiled, batch) == pytest.approx(learn(eager, batch), rel=1e-3)
    assert_learned_the_same(eager, compiled, first)
    learn(restored, batch)  # compiled before it takes the state: the step must see the new numbers
    restored.set_state(compiled.get_state())
    for learner in (compiled, restored):
        learn(learner, batch)
    assert_same(compiled.get_state()["rl_module"], restored.get_state()["rl_module"])
    assert_same(compiled.get_state()["optimizer"], restored.get_state()["optimizer"])
