"""The learned choice model finds the true multinomial logit again from clicks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recsys_cli.envs.spec import Documents, Features
from recsys_cli.networks.choice import LearnedChoice
from recsys_cli.networks.features import Observed

ROWS, SHOWN, USER, DOC = 8192, 3, 2, 4


@pytest.fixture(scope="module")
def clicks() -> dict[str, Tensor]:
    """Slates of users with a bilinear utility, no click worth 0.3, and what was clicked."""
    rng = torch.Generator().manual_seed(0)
    user, doc = torch.randn(ROWS, USER, generator=rng), torch.randn(ROWS, SHOWN, DOC, generator=rng)
    taste = torch.randn(USER, DOC, generator=rng)
    logits = torch.cat([torch.einsum("bu,uf,bkf->bk", user, taste, doc), torch.full((ROWS, 1), 0.3)], dim=-1)
    probability = logits.softmax(-1)
    clicked = torch.multinomial(probability, 1, generator=rng).squeeze(-1)
    return {"user": user, "slate_doc": doc, "clicked": clicked, "probability": probability}


def predicted(model: LearnedChoice, clicks: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        v, v_null = model(Observed(clicks["user"], clicks["slate_doc"]))
    scores = torch.cat([v, v_null[:, None]], dim=-1)
    return scores / scores.sum(-1, keepdim=True)


@pytest.mark.parametrize("proportional", [False, True])
def test_likelihood_and_frequencies_become_the_true_ones(clicks: dict[str, Tensor], proportional: bool) -> None:
    torch.manual_seed(0)
    model = LearnedChoice(USER, Documents(Features.of(DOC)), proportional=proportional)

    def loss(rows: slice = slice(None)) -> Tensor:
        shown = Observed(clicks["user"][rows], clicks["slate_doc"][rows])
        return model.loss(shown, clicks["clicked"][rows])

    first = loss().item()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(400):
        optimizer.zero_grad()
        loss(slice(512 * step % ROWS, 512 * step % ROWS + 512)).backward()
        optimizer.step()
    truth = clicks["probability"]
    best_possible = -truth.gather(-1, clicks["clicked"][:, None]).log().mean().item()
    assert best_possible - 0.05 < loss().item() < best_possible + 0.03 < first
    assert (predicted(model, clicks) - truth).abs().mean() < 0.03
    frequencies = np.bincount(clicks["clicked"], minlength=SHOWN + 1) / ROWS
    np.testing.assert_allclose(predicted(model, clicks).mean(0), frequencies, atol=0.02)


@pytest.mark.parametrize("proportional", [False, True])
def test_loss_is_the_negative_log_likelihood(clicks: dict[str, Tensor], proportional: bool) -> None:
    torch.manual_seed(1)
    model = LearnedChoice(USER, Documents(Features.of(DOC)), proportional=proportional)
    chosen = predicted(model, clicks).gather(-1, clicks["clicked"][:, None])
    loss = model.loss(Observed(clicks["user"], clicks["slate_doc"]), clicks["clicked"])
    assert loss.item() == pytest.approx(-chosen.log().mean().item(), rel=1e-5)
