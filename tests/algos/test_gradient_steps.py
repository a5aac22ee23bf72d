"""A gradient step does what PyTorch's plain optimisers do with the gradients that `backward` leaves."""

from __future__ import annotations

import copy

import pytest
import torch
from learners import KINDS, SIZE, learn, learner_of, transitions
from ray.rllib.core import DEFAULT_MODULE_ID

from recsys_cli.networks.optimizers import fused_adam


@pytest.mark.parametrize("kind", KINDS)
def test_fused_kernels_take_the_gradient_of_each_weight(kind: str) -> None:
    """Of a weight that is used transposed too, whose gradient may lie transposed in memory."""
    learner = learner_of(*KINDS[kind])
    batch = transitions(learner, SIZE)
    seen = learner._recalled(batch) if kind == "belief" else batch
    outputs = learner._forward(seen)
    settings, config = learner.config.settings, learner.config
    learner.compute_loss_for_module(module_id=DEFAULT_MODULE_ID, config=config, batch=seen, fwd_out=outputs).backward()
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


def test_adam_is_torch_s_bit_for_bit() -> None:
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in ((3, 20), (3,))] for _ in range(2))
    one, other = fused_adam(ours, lr=1e-2), torch.optim.Adam(theirs, lr=1e-2, fused=True)
    generator = torch.Generator().manual_seed(0)
    for rate in (1e-2, 1e-2, 1e-3, 1e-3):
        for mine, yours in zip(ours, theirs, strict=True):
            mine.grad = yours.grad = torch.randn(mine.shape, generator=generator)
        one.param_groups[0]["lr"] = other.param_groups[0]["lr"] = rate
        one.step(), other.step()
        torch.testing.assert_close(list(ours), list(theirs), rtol=0, atol=0)
    torch.testing.assert_close(one.state_dict()["state"], other.state_dict()["state"], rtol=0, atol=0)
