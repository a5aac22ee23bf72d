"""A gradient step does what PyTorch's plain optimisers do with the gradients that `backward` leaves."""

from __future__ import annotations

import copy

import pytest
import torch
from learners import KINDS, SIZE, learn, learner_of, transitions
from ray.rllib.core import DEFAULT_MODULE_ID


@pytest.mark.parametrize("kind", KINDS)
def test_fused_kernels_take_the_gradient_of_each_weight(kind: str) -> None:
    """Of a weight that is used transposed too, whose gradient may lie transposed in memory."""
    learner = learner_of(*KINDS[kind])
    batch = transitions(learner, SIZE)
    outputs = learner._forward(batch)
    settings, config = learner.config.settings, learner.config
    learner.compute_loss_for_module(module_id=DEFAULT_MODULE_ID, config=config, batch=batch, fwd_out=outputs).backward()
    plain = []
    for parameter in learner.trained:
        plain.append(copy.deepcopy(parameter))
        plain[-1].grad, parameter.grad = parameter.grad.contiguous(), None
    if settings.optimizer == "adam":
        torch.optim.Adam(plain, lr=settings.lr, foreach=False).step()
    else:
        torch.optim.RMSprop(plain, lr=settings.lr, alpha=0.95, eps=1e-5, foreach=False).step()
    learn(learner, batch)
    torch.testing.assert_close([p.detach() for p in plain], [p.detach() for p in learner.trained], rtol=1e-3, atol=1e-5)
