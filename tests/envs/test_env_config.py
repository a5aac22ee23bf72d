"""Wrong configurations of a problem are refused in one line that names the key."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from typing import Any

import pytest
import yaml

from recsys_cli.config import catalog
from recsys_cli.config.errors import ConfigError
from recsys_cli.config.structured import load

WRONG: dict[str, list[tuple[dict[str, Any], str]]] = {
    "any": [
        ({"slate_size": 30}, "env.slate_size=30 must be <= env.num_candidates=10"),
        ({"slate_size": 0}, "env.slate_size=0 must be at least 1"),
        ({"num_candidates": 0}, "env.num_candidates=0 must be at least 1"),
        ({"backend": "recsin"}, "env.backend=recsin: one of native, recsim is expected. Did you mean 'recsim'?"),
        ({"num_candidates": 10**12}, "env.num_candidates=1000000000000 must be at most 1,000,000,000"),
        ({"slate_siz": 3}, "env.slate_siz is unknown. Did you mean 'env.slate_size'?"),
    ],
    "interest_evolution": [
        ({"min_normalizer": -0.5}, "env.min_normalizer=-0.5 must be <= -1"),
        ({"no_click_mass": -1.5}, "env.no_click_mass=-1.5 must be >= env.min_normalizer=-1.0"),
        ({"choice_model": "multinomial_logits"}, "Did you mean 'multinomial_logit'?"),
        ({"choice_model": "exponential_cascade", "score_scaling": 0.5}, "env.score_scaling=0.5 must be <= 0.367879"),
        ({"choice_model": "proportional_cascade", "score_scaling": 0.6}, "env.score_scaling=0.6 must be <= 0.5"),
        ({"attention_prob": 1.5}, "env.attention_prob=1.5 must be from 0 to 1"),
        ({"score_scaling": -0.1}, "env.score_scaling=-0.1 must be at least 0"),
        ({"time_budget": 0.0}, "env.time_budget=0.0 must be above 0"),
        ({"video_length": math.inf}, "env.video_length=inf must be finite and above 0"),
        ({"video_length": math.nan}, "env.video_length=nan: a number is expected"),
        ({"quality_stddev": -1.0}, "env.quality_stddev=-1.0 must be at least 0"),
        ({"no_click_mass": math.inf}, "env.no_click_mass=inf must be below infinity"),
        ({"user_update_alpha": math.inf}, "env.user_update_alpha=inf must be finite"),
        ({"num_topics": 1}, "env.num_topics=1 must be from 2 to 32,768"),
    ],
    "interest_exploration": [
        ({"horizon": 0}, "env.horizon=0 must be at least 1"),
        ({"user_type_distribution": [0.5, 0.6]}, "env.user_type_distribution=[0.5, 0.6] must be probabilities"),
        ({"user_type_distribution": [1.5, -0.5]}, "env.user_type_distribution[0]=1.5 must be from 0 to 1"),
        ({"topic_quality_mean": [0.1, math.inf]}, "env.topic_quality_mean[1]=inf must be finite"),
        (
            {"topic_distribution": [0.2, 0.3, 0.5]},
            "has 2 entries and must have 3, the length of env.topic_distribution",
        ),
        ({"topic_quality_mean": [1.0]}, "env.topic_quality_mean has 1 entries and must have 2"),
        ({"topic_quality_stddev": [-1.0, 0.1]}, "env.topic_quality_stddev[0]=-1.0 must be at least 0"),
        ({"user_document_mean_affinity_matrix": [[0.1, 0.7]]}, "has 1 rows and must have 2"),
        (
            {"user_document_stddev_affinity_matrix": [[0.1, 0.1], [0.1, -0.1]]},
            "affinity_matrix[1][1]=-0.1 must be at least 0",
        ),
        ({"choice_model": "exponential_cascade", "score_scaling": 1.0}, "env.score_scaling=1.0 is too high"),
    ],
    "embedding_feed": [
        ({"backend": "recsim"}, "env.backend=recsim is not available for env=embedding_feed; allowed: native"),
        ({"num_features": 0}, "env.num_features=0 must be at least 1"),
        ({"click_time": 0.0}, "env.click_time=0.0 must be above 0"),
        ({"items_in_db": 9}, "env.items_in_db=9 must be >= env.num_candidates=10, or null"),
        ({"users_in_db": 0}, "env.users_in_db=0 must be at least 1"),
        ({"db_seed": 2**32}, "env.db_seed=4294967296 must be from 0 to 4,294,967,295"),
    ],
    "long_term_satisfaction": [
        ({"memory_discount": 1.0}, "env.memory_discount=1.0 must be at least 0 and below 1"),
        ({"time_budget": 0}, "env.time_budget=0 must be at least 1"),
        ({"choc_stddev": -1.0}, "env.choc_stddev=-1.0 must be at least 0"),
        ({"sensitivity": math.inf}, "env.sensitivity=inf must be finite"),
    ],
}


def test_wrong_values_name_their_key(problem: str) -> None:
    for overrides, message in WRONG["any"] + WRONG.get(problem, []):
        with pytest.raises(ConfigError) as failure:
            load("env", problem, **overrides)
        assert message in str(failure.value)
        assert "\n" not in str(failure.value)


def test_yaml_lists_every_key_and_the_dataclass_no_default(problem: str) -> None:
    text = catalog.option_path("env", problem).read_text()
    config = load("env", problem)
    assert text.startswith("# ")
    assert set(yaml.safe_load(text)) - {"_target_"} == {field.name for field in fields(config)}
    assert all(field.default is MISSING and field.default_factory is MISSING for field in fields(config))
    assert all(field.name in type(config).__doc__ + type(config).__mro__[1].__doc__ for field in fields(config))


def test_scores_only_a_step_can_judge_are_refused_there() -> None:
    config = load("env", "interest_exploration", choice_model="exponential_cascade", score_scaling=0.2)
    for backend, message in (("native", "env.choice_model=exponential_cascade"), ("recsim", "refuses the user's")):
        env = load(
            "env", "interest_exploration", choice_model="exponential_cascade", score_scaling=0.2, backend=backend
        ).make_vec(20)
        env.reset(seed=0)
        with pytest.raises(ValueError, match=message):
            env.step([[0, 1]] * 20)
    assert config.spec.choice.kind == "exponential_cascade"


@pytest.mark.parametrize(
    ("problem", "facts"),
    [
        ("interest_evolution", (20, 20, True, None, True, None)),
        ("interest_exploration", (0, 3, False, 100, False, None)),
        ("long_term_satisfaction", (0, 1, False, 60, False, 1)),
    ],
)
def test_facts_an_algorithm_reads(problem: str, facts: tuple) -> None:
    config = load("env", problem)
    choice = config.spec.choice
    assert facts == (
        len(config.spec.user),
        len(config.spec.documents),
        config.spec.documents.one_hot,
        config.spec.horizon,
        choice.observable,
        choice.attended,
    )
