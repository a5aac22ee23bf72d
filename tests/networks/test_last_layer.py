"""The last layer's posterior: in a linear model, that of Bayesian regression; what was never seen is uncertain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from recsys_cli.envs.spec import Documents, Features
from recsys_cli.networks.item_values import Concat, TwoTower
from recsys_cli.networks.last_layer import LastLayerPosterior


def test_draws_of_a_linear_model_have_the_moments_of_bayesian_regression() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(3, 1)), torch.randn(4000, 3) * torch.tensor([1.0, 0.3, 2.0])
    error = 0.5 * torch.randn(4000)
    posterior = LastLayerPosterior(model)
    posterior.learn(model, lambda: model(x)[:, 0], error, seen=400)
    new = torch.randn(6, 3)
    rng = np.random.default_rng(0)
    draws = posterior.draw(model, rng)(new.repeat(4000, 1)).detach().reshape(4000, 6)
    known = torch.cat([x, torch.ones(4000, 1)], 1)
    covariance = 0.25 / 400 * torch.linalg.inv(known.T @ known / 4000)
    at = torch.cat([new, torch.ones(6, 1)], 1)
    expected = (at @ covariance * at).sum(1).sqrt()
    np.testing.assert_allclose(draws.std(0), expected, rtol=0.06)
    np.testing.assert_allclose(draws.mean(0), model(new)[:, 0].detach(), atol=float(4 * expected.max() / 4000**0.5))


@pytest.mark.parametrize("kind", ["two_tower", "concat"])
def test_documents_never_clicked_are_uncertain_and_rows_are_drawn_alone(kind: str) -> None:
    torch.manual_seed(0)
    documents = Documents(Features((0.0,) * 4, (1.0,) * 4), topics=4)
    built = (2, documents, [16], 30.0) if kind == "concat" else (2, documents, [16], 0, 30.0)
    values = (Concat if kind == "concat" else TwoTower)(*built)
    state, clicked, nothing = torch.randn(500, 2), torch.randint(0, 3, (500,)), torch.zeros(500, dtype=torch.bool)
    posterior = LastLayerPosterior(values)
    posterior.learn(values, lambda: values.one(state, clicked, nothing), torch.randn(500), seen=500)
    same = state[:1].expand(2000, 2), torch.arange(4).expand(2000, 4)
    with torch.no_grad():
        q, _ = posterior.draw(values, np.random.default_rng(0))(*same)
        mean, _ = values(*same)
    deviation = (q - mean).std(0)
    assert (deviation > 0).all() and len(q.unique(dim=0)) == 2000
    assert kind == "concat" or deviation[3] > 3 * deviation[:3].max()
    np.testing.assert_allclose((q - mean).mean(0), 0, atol=float(5 * deviation.max() / 2000**0.5))
