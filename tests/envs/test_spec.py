"""What is known of a problem without its simulator survives being written down."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.paths import conf_dir
from recsys_cli.config.structured import load
from recsys_cli.envs.spec import Documents, Features, ProblemSpec

PROBLEMS = sorted(path.stem for path in (conf_dir() / "env").glob("*.yaml"))


@pytest.mark.parametrize("candidates", [12, [2, 12]])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_spec_comes_back_from_its_plain_values(problem: str, candidates: int | list[int]) -> None:
    spec = load("env", problem, num_candidates=candidates).spec
    again = ProblemSpec.from_dict(yaml.safe_load(yaml.safe_dump(spec.to_dict())))
    assert again == spec and again.varying == isinstance(candidates, list)
    assert again.observation_space() == spec.observation_space()


def test_bounds_that_are_all_the_same_stand_once() -> None:
    assert Features.of(3).to_dict() == {"size": 3, "low": -1.0, "high": 1.0}
    mixed = Features((0.0, -1.0), (1.0, np.inf), ("age", "trend"))
    assert mixed.to_dict() == {"size": 2, "low": [0.0, -1.0], "high": [1.0, np.inf], "names": ["age", "trend"]}
    assert Features.from_dict(mixed.to_dict()) == mixed


def test_numbers_are_topics_or_items() -> None:
    numbers = np.array([[2, 0], [1, 1]], np.uint8)
    topics = Documents(Features.of(3), topics=3)
    np.testing.assert_array_equal(topics.dense(numbers), np.eye(3)[numbers])
    np.testing.assert_array_equal(topics.topics_of(topics.dense(numbers)), topics.topics_of(numbers))
    table = np.array([[1, 0, 5], [0, 1, 7], [1, 0, 9]], np.float32)  # two topics and a quality
    items = Documents(Features.of(3), topics=2, quality=2, items=table)
    assert items.formats == ("dense", "index") and items.numbers == 3
    np.testing.assert_array_equal(items.dense(numbers), table[numbers])
    assert items.topics_of(numbers).tolist() == [[0, 0], [1, 1]]
    assert Documents(Features.of(3)).formats == ("dense",)


def test_a_spec_without_a_limit_says_how_to_give_one() -> None:
    spec = load("env", "interest_evolution").spec
    with pytest.raises(ConfigError, match=r"set env\.num_candidates"):
        _ = ProblemSpec(spec.name, spec.user, spec.documents, spec.response, 2, None).width
    with pytest.raises(ConfigError, match=r"env\.num_candidates=1 must be at least env\.slate_size=2"):
        spec.with_candidates(1)
    with pytest.raises(ConfigError, match="spec is damaged"):
        ProblemSpec.from_dict({"name": "x"})
