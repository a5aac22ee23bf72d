"""What is compared with recsim: problems, parameters and policies; and each episode's statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recsys_cli.config.structured import load
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.interest_evolution import quality_means
from recsys_cli.slates.uniform import uniform_slates

REFERENCE = Path(__file__).parent / "reference"
HORIZON = 60  # steps of an interest exploration episode


@dataclass(frozen=True)
class Case:
    """One problem with some parameters, under one policy."""

    problem: str
    policy: str = "random"
    overrides: dict[str, Any] = field(default_factory=dict)

    def config(self, **more: Any) -> EnvConfig:
        return load("env", self.problem, **{**self.overrides, **more})


EVOLUTION = {
    "num_topics": 10, "slate_size": 3, "no_click_mass": 0.0, "alpha_x_intercept": 0.8, "alpha_y_intercept": 0.5,
    "video_length": 3.0, "min_utility": -1.0, "max_utility": 2.0, "user_quality_factor": 0.3, "time_budget": 60.0,
    "document_quality_factor": 0.7, "step_penalty": 0.7, "user_update_alpha": 0.2, "quality_stddev": 0.3,
}  # fmt: skip
EXPLORATION = {
    "num_candidates": 37, "slate_size": 5, "resample_documents": False, "no_click_mass": 3.0, "horizon": HORIZON,
    "user_type_distribution": [0.2, 0.5, 0.3], "topic_distribution": [0.1, 0.3, 0.4, 0.2],
    "user_document_mean_affinity_matrix": [[0.1, 0.7, 0.2, 0.0], [0.7, 0.1, 0.0, 0.3], [-0.5, 0.4, 0.9, 0.1]],
    "user_document_stddev_affinity_matrix": [[0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.2, 0.3], [0.2, 0.2, 0.1, 0.5]],
    "topic_quality_mean": [0.8, 0.2, -0.4, 0.5], "topic_quality_stddev": [0.3, 0.1, 0.5, 0.2],
}  # fmt: skip
SATISFACTION = {
    "num_candidates": 37, "slate_size": 5, "resample_documents": False, "memory_discount": 0.5, "sensitivity": 0.3,
    "innovation_stddev": 0.2, "choc_mean": 3.0, "choc_stddev": 0.5, "kale_mean": 2.0, "kale_stddev": 0.3,
    "time_budget": 40,
}  # fmt: skip
KEPT = {"num_candidates": 37, "slate_size": 5, "resample_documents": False}

CASES = {
    "evolution_random": Case("interest_evolution"),
    "evolution_affinity": Case("interest_evolution", "affinity"),
    "evolution_kept": Case("interest_evolution", "random", KEPT),
    "evolution_parameters": Case("interest_evolution", "random", EVOLUTION),
    "evolution_logit": Case(
        "interest_evolution", "random", {"slate_size": 3, "choice_model": "multinomial_logit", "no_click_mass": 0.3}
    ),
    "evolution_exponential_cascade": Case(
        "interest_evolution",
        "affinity",
        {"slate_size": 5, "choice_model": "exponential_cascade", "attention_prob": 0.8, "score_scaling": 0.3},
    ),
    "evolution_proportional_cascade": Case(
        "interest_evolution",
        "affinity",
        {"slate_size": 3, "choice_model": "proportional_cascade", "attention_prob": 0.7, "score_scaling": 0.4},
    ),
    "exploration_random": Case("interest_exploration", "random", {"horizon": HORIZON}),
    "exploration_quality": Case("interest_exploration", "quality", {"horizon": HORIZON}),
    "exploration_parameters": Case("interest_exploration", "random", EXPLORATION),
    "exploration_proportional": Case(
        "interest_exploration",
        "random",
        {"slate_size": 3, "choice_model": "multinomial_proportional", "min_normalizer": 0.5, "horizon": HORIZON},
    ),
    "exploration_exponential_cascade": Case(
        "interest_exploration",
        "quality",
        {"slate_size": 5, "choice_model": "exponential_cascade", "score_scaling": 0.002, "horizon": HORIZON},
    ),
    "satisfaction_random": Case("long_term_satisfaction"),
    "satisfaction_clickbait": Case("long_term_satisfaction", "clickbait"),
    "satisfaction_parameters": Case("long_term_satisfaction", "random", SATISFACTION),
}


def act(policy: str, user: np.ndarray, doc: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return slates `[N, k]` for observations `user` `[N, U]` and `doc` `[N, C, F]`."""
    if policy == "random":
        return uniform_slates(rng, len(doc), doc.shape[1], k)
    score = {
        "affinity": lambda: np.einsum("nu,ncu->nc", user, doc),
        "quality": lambda: doc[..., -1],
        "clickbait": lambda: doc[..., 0],
    }[policy]()
    return np.argsort(-score, axis=1, kind="stable")[:, :k]


def common(config: EnvConfig, steps: dict[str, np.ndarray], reward: np.ndarray) -> dict[str, Any]:
    """Return what every problem's episode has; `steps` holds arrays `[S, k]` of the responses, `reward` is `[S]`."""
    clicks = steps["click"]
    places = np.nonzero(clicks)[1]
    return {
        "return": reward.sum(),
        "length": len(reward),
        "click_rate": clicks.sum() / len(reward),
        "click_position": places.mean() if places.size else np.nan,
    }


def topical(num_topics: int, steps: dict[str, np.ndarray], residual: np.ndarray) -> dict[str, Any]:
    """Return what the two interest problems' episodes have; `residual` `[S, k]` is quality within its topic."""
    clicked = steps["click"] == 1
    return {
        "quality_per_click": steps["quality"][clicked].mean() if clicked.any() else np.nan,
        "residual": residual.mean(),
        "residual_squared": np.square(residual).mean(),
        "clicks_by_topic": np.bincount(steps["cluster_id"][clicked].astype(int), minlength=num_topics),
        "shown_by_topic": np.bincount(steps["cluster_id"].astype(int).ravel(), minlength=num_topics),
    }


def evolution(config: Any, steps: dict[str, np.ndarray], reward: np.ndarray, last: dict[str, Any]) -> dict[str, Any]:
    """Return an interest evolution episode's statistics; `last` holds the final hidden state and interests."""
    residual = steps["quality"] - quality_means(config)[steps["cluster_id"].astype(int)]
    return {
        **common(config, steps, reward),
        **topical(config.num_topics, steps, residual),
        "final_budget": last["budget"],
        "final_interest": last["user"].sum(),
        "final_interest_squared": np.square(last["user"]).sum(),
    }


def exploration(config: Any, steps: dict[str, np.ndarray], reward: np.ndarray, last: dict[str, Any]) -> dict[str, Any]:
    """Return an interest exploration episode's statistics."""
    topic = steps["cluster_id"].astype(int)
    residual = np.log(steps["quality"]) - np.asarray(config.topic_quality_mean)[topic]
    affinity, user_type = np.asarray(last["affinity"], np.float64), int(last["user_type"])
    spread = np.log(affinity) - config.user_document_mean_affinity_matrix[user_type]
    return {
        **common(config, steps, reward),
        **topical(config.num_topics, steps, residual),
        "affinity_sum": affinity.sum(),
        "affinity_first": affinity[0],
        "affinity_last": affinity[-1],
        "affinity_spread": np.square(spread).mean(),
        "user_type": np.bincount([user_type], minlength=len(config.user_type_distribution)),
    }


def satisfaction(config: Any, steps: dict[str, np.ndarray], reward: np.ndarray, last: dict[str, Any]) -> dict[str, Any]:
    """Return a long-term satisfaction episode's statistics."""
    log_reward = np.log(reward)
    return {
        **common(config, steps, reward),
        "log_engagement": log_reward.mean(),
        "log_engagement_squared": np.square(log_reward).mean(),
        "observed_engagement": steps["engagement"].sum(),
        "first_exposure": last["first_exposure"],
        "final_exposure": last["net_positive_exposure"],
        "final_exposure_squared": np.square(last["net_positive_exposure"]),
        "final_satisfaction": last["satisfaction"],
    }


STATISTICS: dict[str, Callable[..., dict[str, Any]]] = {
    "interest_evolution": evolution,
    "interest_exploration": exploration,
    "long_term_satisfaction": satisfaction,
}


def collect(episodes: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Stack the episodes' statistics: numbers as float32 `[E]`, counts as their mean and variance `[2, T]`."""
    stacked = {key: np.array([episode[key] for episode in episodes], np.float64) for key in episodes[0]}
    return {
        key: values.astype(np.float32) if values.ndim == 1 else np.stack([values.mean(axis=0), values.var(axis=0)])
        for key, values in stacked.items()
    }


def play(case: Case, config: EnvConfig, num_envs: int, seed: int) -> dict[str, np.ndarray]:
    """Play every user's first episode through our own interface and return the statistics."""
    env = config.make_vec(num_envs)
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    first_exposure = env.hidden_state().get("net_positive_exposure", np.zeros(num_envs))
    running = np.ones(num_envs, bool)
    record: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
    length, last = np.zeros(num_envs, int), [{}] * num_envs
    while running.any():
        slates = act(case.policy, observation["user"], observation["doc"], config.slate_size, rng)
        observation, reward, terminated, truncated, _ = env.step(slates)
        record.append((observation["response"], reward))
        length += running
        over = running & (terminated | truncated)
        if over.any():
            hidden = {**env.hidden_state(), "user": observation["user"], "first_exposure": first_exposure}
            for row in np.flatnonzero(over):
                last[row] = {key: values[row] for key, values in hidden.items()}
        running &= ~over
    responses = {key: np.stack([step[key] for step, _ in record]) for key in record[0][0]}
    rewards = np.stack([reward for _, reward in record])
    return collect(
        [
            STATISTICS[case.problem](
                config,
                {key: values[: length[row], row] for key, values in responses.items()},
                rewards[: length[row], row],
                last[row],
            )
            for row in range(num_envs)
        ]
    )
