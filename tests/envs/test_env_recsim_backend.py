"""The recsim back end is recsim: the same episodes as recsim's own factories give, and no traces left behind."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from recsys_cli.config.structured import load
from recsys_cli.envs.recsim_compat import recsim_module

RECSIM = ("interest_evolution", "interest_exploration")


def episode(env: Any, steps: int) -> list[Any]:
    """Return the observations and rewards of recsim's own gym environment under fixed slates."""
    np.random.seed(3)
    rng, seen = np.random.default_rng(0), [env.reset()]
    for _ in range(steps):
        observation, reward, done, _ = env.step(rng.permutation(6)[:3])
        seen.append((observation, float(reward), done))
    return [repr(item) for item in seen]


@pytest.mark.parametrize("problem", [*RECSIM, "long_term_satisfaction"])
def test_defaults_are_recsims(problem: str) -> None:
    sizes = {"num_candidates": 6, "slate_size": 3, "resample_documents": True}
    seed = 5 if problem in RECSIM else 0  # recsim's factory ignores the seed of long_term_satisfaction
    module = recsim_module(f"environments.{problem}")
    original = module.create_environment({**sizes, "seed": seed})
    ours = load("env", problem, backend="recsim", **sizes).recsim_problem().make(seed, seed)
    assert episode(ours, 40) == episode(original, 40)


def test_parameters_reach_recsims_objects() -> None:
    values = {
        "time_budget": 33.0, "step_penalty": 0.25, "user_quality_factor": 0.4, "document_quality_factor": 0.6,
        "user_update_alpha": 0.1, "no_click_mass": 0.9, "min_normalizer": -1.5, "attention_prob": 0.5,
        "score_scaling": 0.06, "alpha_x_intercept": 0.9, "alpha_y_intercept": 0.2, "min_utility": -2.0,
        "max_utility": 1.0, "video_length": 5.0, "num_topics": 13,
    }  # fmt: skip
    env = load("env", "interest_evolution", backend="recsim", **values).recsim_problem().make(1, 2)
    env.reset()
    model = env.environment.user_model
    user = model._user_state
    found = {
        **vars(user), **user.choice_features, "alpha_x_intercept": model._alpha_x_intercept,
        "alpha_y_intercept": model._alpha_y_intercept, "num_topics": user.user_interests.size,
    }  # fmt: skip
    sampler = env.environment._document_sampler
    found |= {"video_length": sampler._video_length, "min_utility": sampler.cluster_means[0]}
    found |= {"max_utility": sampler.cluster_means[-1]}
    assert {key: found[key] for key in values} == values
    assert model.choice_model._no_click_mass == 0.9
    assert model.choice_model._min_normalizer == -1.5
    assert len(sampler.cluster_means) == 13  # recsim itself would come out one short


def test_quality_deviation_is_rescaled() -> None:
    problem = load("env", "interest_evolution", backend="recsim", quality_stddev=0.5).recsim_problem()
    sampler = problem.document_sampler(1)
    videos = [sampler.sample_document() for _ in range(2000)]
    residual = [video.quality - sampler.cluster_means[video.cluster_id] for video in videos]
    assert np.std(residual) == pytest.approx(0.5, rel=0.07)


def test_importing_recsim_leaves_no_stand_ins() -> None:
    code = (
        "import sys\n"
        "from recsys_cli.envs.recsim_compat import recsim_module\n"
        "recsim_module('environments.interest_evolution')\n"
        "print([name for name in ('gin.tf', 'recsim.simulator.runner_lib', 'tensorflow') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
