"""Our choice models against recsim's own classes, score by score."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import assert_calibrated

from recsys_cli.envs.choice_models import (
    ChoiceModel,
    check_scores,
    choice_probabilities,
    choose,
    single_item_score,
    valid_scores,
)
from recsys_cli.envs.recsim_compat import choice_model_class
from recsys_cli.envs.spec import ChoiceSpec

KINDS = get_args(ChoiceModel)


def spec(kind: str, **fields: float) -> ChoiceSpec:
    parameters = {"no_click_mass": 0.7, "min_normalizer": -1.2, "attention_prob": 0.65, "score_scaling": 0.2, **fields}
    return ChoiceSpec(kind=kind, observable=True, attended=None, **parameters)


def recsim_model(of: ChoiceSpec, scores: np.ndarray):
    """Return recsim's choice model after it has scored documents that are their own scores."""
    model = choice_model_class(of.kind)(
        {
            "no_click_mass": of.no_click_mass,
            "min_normalizer": of.min_normalizer,
            "attention_prob": of.attention_prob,
            "score_scaling": of.score_scaling,
        }
    )
    model.score_documents(SimpleNamespace(score_document=lambda document: document), scores.tolist())
    return model


scores_in = st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=12).map(np.array)


@settings(max_examples=60, deadline=None)
@given(scores=scores_in, attention=st.floats(0, 1), mass=st.floats(-1, 3), kind=st.sampled_from(KINDS))
def test_probabilities_are_recsims(scores: np.ndarray, attention: float, mass: float, kind: str) -> None:
    ours = spec(kind, attention_prob=attention, no_click_mass=mass)
    model = recsim_model(ours, scores)
    weights = np.append(model.scores, model.score_no_click)
    probabilities = choice_probabilities(ours, scores[None])[0]
    assert probabilities.sum() == pytest.approx(1)
    assert (probabilities >= 0).all()
    assert probabilities == pytest.approx(weights / weights.sum(), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_score_of_an_item_alone_is_recsims(kind: str) -> None:
    scores = np.linspace(-1, 1, 9)
    expected = [recsim_model(spec(kind), np.array([score])).scores[0] for score in scores]
    assert single_item_score(spec(kind), scores) == pytest.approx(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_choices_have_their_probabilities(kind: str) -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(-1, 1, (50_000, 4)).astype(np.float32)
    choice = choose(spec(kind), scores, rng.random(50_000, dtype=np.float32))
    probabilities = choice_probabilities(spec(kind), scores)
    for position in range(5):
        assert_calibrated(choice == position, probabilities[:, position], f"position {position}")


def test_impossible_items_are_never_chosen() -> None:
    ours = spec("multinomial_proportional", min_normalizer=0.0, no_click_mass=0.0)
    edges = np.array([0.0, 0.5, np.nextafter(np.float32(1), np.float32(0))], np.float32)
    assert choose(ours, np.tile(np.float32([0, 2, 0]), (3, 1)), edges).tolist() == [1, 1, 1]
    never = spec("multinomial_logit", no_click_mass=-np.inf)
    assert choose(never, np.float32([[5.0]] * 3), edges).tolist() == [0, 0, 0]


def test_large_logits_do_not_overflow() -> None:
    probabilities = choice_probabilities(spec("multinomial_logit"), np.array([[2000.0, 1999.0], [-2000.0, -3000.0]]))
    assert probabilities[0, 0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert probabilities[1, 2] == pytest.approx(1)


@pytest.mark.parametrize("kind", ["multinomial_proportional", "exponential_cascade", "proportional_cascade"])
def test_undefined_scores_are_refused_where_recsim_refuses(kind: str) -> None:
    low, high = valid_scores(spec(kind))
    for edge, outside in ((low, low - 1e-6), (high, high + 1e-6)):
        if np.isfinite(edge):
            with pytest.raises(ValueError, match="is defined for scores from"):
                check_scores(spec(kind), np.array([[0.0, outside]]))
            with pytest.raises(AssertionError):
                recsim_model(spec(kind), np.array([0.0, outside]))
    check_scores(spec(kind), np.array([[low + 1e-9 if np.isfinite(low) else -9.0, min(high, 9.0) - 1e-9]]))
