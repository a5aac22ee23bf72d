"""Learning on a GPU: where things lie, that it is what the CPU learns, and that others may go on without one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from learners import KINDS, SIZE, learn, learner_of, transitions
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from trainings import trainings, whole_state

from recsys_cli.algos.q_learning.learner import QLearner
from recsys_cli.algos.rllib_training import RLlibTraining

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    pytest.mark.xdist_group("ray"),
    pytest.mark.usefixtures("local_ray"),  # learners ask Ray for their GPU
]

GPU = "resources.gpus_per_learner=1"
ALGOS = ("slateq", "full_slate_q", "dqn", "sac", "ppo", "appo", "impala", "reinforce_topk")
# What every algorithm's settings allow to be made small.
SMALL = {
    "slateq": ("algo.replay=prioritized",),
    "full_slate_q": (),
    "dqn": (),
    "sac": (),
}


def tensors_of(nested: Any) -> Iterator[torch.Tensor]:
    if isinstance(nested, torch.Tensor):
        yield nested
    elif isinstance(nested, dict):
        for value in nested.values():
            yield from tensors_of(value)
    elif isinstance(nested, list | tuple):
        for value in nested:
            yield from tensors_of(value)


@pytest.mark.parametrize("kind", KINDS)
def test_module_target_optimiser_and_batch_lie_on_the_gpu(kind: str) -> None:
    learner = learner_of(GPU, *KINDS[kind])
    columns = {name: column.numpy() for name, column in transitions(learner, SIZE).items()}
    batch = learner._convert_batch_type(MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, SIZE))
    outputs, losses, _ = learner._update(batch.policy_batches)
    module = learner.module[DEFAULT_MODULE_ID].unwrapped()
    states = [optimizer.state_dict()["state"] for optimizer in learner._named_optimizers.values()]
    held = [*module.parameters(), *module.buffers(), *module.target_values.parameters()]
    held += [tensor for tensor in tensors_of(states) if tensor.ndim]  # a count of steps may lie on the CPU
    held += [*tensors_of(dict(batch[DEFAULT_MODULE_ID])), *tensors_of(outputs), *tensors_of(losses)]
    assert len(held) > 20 and all(tensor.is_cuda for tensor in held)


@pytest.mark.parametrize("kind", KINDS)
def test_its_steps_are_the_cpu_s(kind: str) -> None:
    one, other = learner_of(*KINDS[kind]), learner_of(GPU, *KINDS[kind])
    batch = transitions(one, SIZE)
    assert_same_step(one, other, batch)
    # Of one gradient they make one step. Each of its own would not: Adam makes steps even of what was rounded to 0.
    gradients = [gradient.clone() for gradient in one.step(batch)[2]]
    for learner in (one, other):
        own = [gradient.to(learner.device) for gradient in gradients]
        learner.apply_gradients(dict(zip(learner._params, own, strict=True)))
        learner.update_target()
    for mine, yours in zip(one.trained, other.trained, strict=True):
        torch.testing.assert_close(mine, yours.cpu())
    for mine, yours in zip(one.target_pairs[0], other.target_pairs[0], strict=True):
        torch.testing.assert_close(mine, yours.cpu())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_steps_are_the_cpu_s(kind: str) -> None:
    """Compiled and recorded, for minibatches of two sizes; of each new minibatch, and of new numbers in its network."""
    one, recorded = learner_of(*KINDS[kind]), learner_of(GPU, *KINDS[kind], "framework=torch_compile")
    batch = transitions(one, 3 * SIZE)
    for rows in (slice(SIZE), slice(SIZE, 2 * SIZE), slice(SIZE // 2)):
        assert_same_step(one, recorded, {name: column[rows] for name, column in batch.items()})
    learn(one, batch)
    recorded.set_state(one.get_state())
    assert_same_step(one, recorded, {name: column[:SIZE] for name, column in batch.items()})
    assert math.isfinite(learn(recorded, batch))


def assert_same_step(one: QLearner, other: QLearner, batch: dict[str, torch.Tensor]) -> None:
    (outputs, loss, gradients) = one.step(batch)
    there = other.step({name: column.to(other.device) for name, column in batch.items()})
    assert all(tensor.is_cuda for tensor in tensors_of(there))
    torch.testing.assert_close({name: output.cpu() for name, output in there[0].items()}, outputs, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(there[1].cpu(), loss, rtol=1e-3, atol=1e-5)
    for mine, yours in zip(gradients, there[2], strict=True):
        torch.testing.assert_close(yours.cpu(), mine, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("algo", ALGOS)
def test_a_training_goes_on_where_there_is_no_gpu(
    algo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_same: Callable[[Any, Any], None]
) -> None:
    replay = ("algo.learning_starts=100", "algo.batch_size=64") if algo in SMALL else ()
    words = (f"algo={algo}", "env.num_candidates=5", "report_every=300", "resources.users_per_runner=32")
    with trainings(*words, *replay, *SMALL.get(algo, ())) as make:
        training = make(GPU)
        learn_something(training)
        parameters = training.algorithm.learner_group._learner.module[DEFAULT_MODULE_ID].parameters()
        assert all(parameter.is_cuda for parameter in parameters)
        training.save(tmp_path)
        before = training.evaluate(10, seed=5)
        # As on a machine without: nothing that was saved may want a GPU.
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        later = make()
        later.restore(tmp_path)
        assert_same(whole_state(training), whole_state(later))
        assert later.evaluate(10, seed=5) == pytest.approx(before, rel=1e-3)
        assert "learner/loss" in learn_something(later)


def learn_something(training: RLlibTraining) -> dict[str, float]:
    for _ in range(10):
        metrics = training.step()
        if "learner/loss" in metrics:
            return metrics
    raise AssertionError("it learned nothing")
