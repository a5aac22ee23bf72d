"""The random policy."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_cli.config.errors import ConfigError
from recsys_cli.policies import UniformPolicy


def test_it_answers_any_observation_and_has_no_parameters():
    policy = UniformPolicy(3)
    for doc in (np.zeros((5, 8), np.uint8), np.zeros((5, 8, 2), np.float32)):
        law = policy.served({"user": np.zeros((5, 0)), "doc": doc})
        slates = law.sample(np.random.default_rng(0))
        assert slates.shape == (5, 3) and np.allclose(law.log_prob(slates), -np.log(8 * 7 * 6))
    assert policy.tensors() == {}
    policy.load_tensors({})
    with pytest.raises(ConfigError, match="has no parameters"):
        policy.load_tensors({"w": np.zeros(1)})
