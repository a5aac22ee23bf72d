"""Choice scores against the users' own choice models."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from recsys_cli.config.structured import load
from recsys_cli.envs.choice_models import choice_probabilities
from recsys_cli.envs.spec import Documents, Features
from recsys_cli.networks.choice import FirstPositionChoice, KnownChoice, LearnedChoice, choice_model
from recsys_cli.networks.features import Observed

SPEC = load("env", "interest_evolution").spec.choice


def probabilities(v, v_null):
    weights = torch.cat([v, v_null[:, None]], dim=-1)
    return (weights / weights.sum(-1, keepdim=True)).numpy()


def scores(spec, k):
    generator = torch.Generator().manual_seed(2)
    user, topic = torch.rand(200, 20, generator=generator) * 2 - 1, torch.randint(0, 20, (200, k), generator=generator)
    v, v_null = KnownChoice(spec)(Observed(user, topic))
    return probabilities(v, v_null), choice_probabilities(spec, user.gather(1, topic).double().numpy())


@pytest.mark.parametrize("kind", ["multinomial_proportional", "multinomial_logit"])
@pytest.mark.parametrize("no_click_mass", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_multinomial_probabilities_are_the_users_own(kind, no_click_mass, k):
    ours, theirs = scores(dataclasses.replace(SPEC, kind=kind, no_click_mass=no_click_mass), k)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_logit_user_who_always_clicks():
    ours, theirs = scores(dataclasses.replace(SPEC, kind="multinomial_logit", no_click_mass=-np.inf), 3)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert not ours[:, -1].any()


@pytest.mark.parametrize("kind", ["exponential_cascade", "proportional_cascade"])
@pytest.mark.parametrize("scaling", [0.05, 0.35])
def test_cascades_are_exact_for_one_item_and_near_for_few(kind, scaling):
    spec = dataclasses.replace(SPEC, kind=kind, score_scaling=scaling)
    ours, theirs = scores(spec, 1)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    ours, theirs = scores(spec, 3)
    # A cascade favours the first positions, which no conditional choice can say: compare the chance of any click.
    np.testing.assert_allclose(ours[:, -1], theirs[:, -1], atol=0.02 if scaling == 0.05 else 0.2)


def test_first_position_is_always_clicked():
    v, v_null = FirstPositionChoice()(Observed(torch.zeros(3, 0), torch.rand(3, 5, 1)))
    assert (v == 1).all() and (v_null == 0).all() and v.shape == (3, 5)


def test_learned_choice_recovers_a_logit():
    torch.manual_seed(0)
    net = LearnedChoice(0, Documents(Features.of(2)))
    doc = torch.rand(3000, 3, 2)
    logits = torch.cat([2 * doc[..., 0] - 3 * doc[..., 1], torch.zeros(3000, 1)], dim=-1)
    clicked = torch.distributions.Categorical(logits=logits).sample()
    optimizer, observed = torch.optim.Adam(net.parameters(), 1e-2), Observed(torch.zeros(3000, 0), doc)
    for _ in range(100):
        optimizer.zero_grad()
        net.loss(observed, clicked).backward()
        optimizer.step()
    with torch.no_grad():
        np.testing.assert_allclose(probabilities(*net(observed)), logits.softmax(-1).numpy(), atol=0.12)


def test_modes():
    sizes = (20, load("env", "interest_evolution").spec.documents)
    hidden, first = (load("env", name).spec.choice for name in ("interest_exploration", "long_term_satisfaction"))
    assert isinstance(choice_model("auto", SPEC, *sizes), KnownChoice)
    assert isinstance(choice_model("learned", SPEC, *sizes), LearnedChoice)
    assert isinstance(choice_model("auto", hidden, *sizes), LearnedChoice)
    assert isinstance(choice_model("learned", first, *sizes), FirstPositionChoice)
