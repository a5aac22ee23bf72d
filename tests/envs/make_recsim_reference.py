"""Record recsim itself: `python tests/envs/make_recsim_reference.py` writes `tests/envs/reference/*.npz` (minutes).

Plays recsim's own gym environments, with separately seeded samplers, by recsim's own interface.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from parity_cases import CASES, REFERENCE, STATISTICS, Case, act, collect

from recsys_cli.envs.base import EnvConfig

EPISODES = 1500
TRANSITIONS = {
    "evolution_random": 10_000,
    "evolution_parameters": 2_500,
    "exploration_random": 3_000,
    "exploration_parameters": 1_500,
    "satisfaction_random": 3_000,
    "satisfaction_parameters": 1_500,
}


def observe(config: EnvConfig, observation: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return user `[1, U]` and documents `[1, C, F]` of recsim's observation."""
    problem = config.recsim_problem()
    documents = [problem.features(document) for document in observation["doc"].values()]
    return np.array(observation["user"])[None], np.array(documents)[None]


def snapshot(env: Any, config: EnvConfig, slate: np.ndarray) -> dict[str, np.ndarray]:
    """Return recsim's hidden state and the documents on the slate."""
    inner = env.environment
    state, shown = inner.user_model._user_state, [inner.candidate_set.get_all_documents()[item] for item in slate]
    if config.name == "interest_evolution":
        topic = np.array([video.cluster_id for video in shown])
        return {
            "topic": topic,
            "affinity": state.user_interests[topic],
            "quality": np.array([video.quality for video in shown]),
            "budget": np.array(state.time_budget),
        }
    if config.name == "interest_exploration":
        topic = np.array([document.cluster_id for document in shown])
        return {
            "topic": topic,
            "affinity": state.topic_affinity[topic],
            "quality": np.array([document.quality for document in shown]),
        }
    return {
        "clickbait": np.array(shown[0].clickbait_score),
        "exposure": np.array(state.net_positive_exposure),
        "satisfaction": np.array(state.satisfaction),
    }


def transition(env: Any, config: EnvConfig, slate: np.ndarray) -> tuple[tuple, dict[str, np.ndarray]]:
    """Step recsim's environment; return what it returned and the transition as a row of arrays."""
    inner, before = env.environment, snapshot(env, config, slate)
    shown_from = inner.candidate_set
    stepped = env.step(slate)
    drawn, inner._candidate_set = inner._candidate_set, shown_from
    after = snapshot(env, config, slate)
    inner._candidate_set = drawn
    row = {f"{key}_before": values for key, values in before.items()}
    row |= {f"{key}_after": values for key, values in after.items()}
    return stepped, {**row, "click": np.array([item["click"] for item in stepped[0]["response"]]), "reward": stepped[1]}


def play_episode(case: Case, env: Any, rng: np.random.Generator, record: list, limit: int) -> dict[str, Any]:
    """Play one episode and return its statistics; append transitions to `record` up to the limit."""
    config = case.config()
    problem = config.recsim_problem()
    observation, done, responses, rewards = env.reset(), False, [], []
    model = env.environment.user_model
    first_exposure = getattr(model._user_state, "net_positive_exposure", None)
    while not done:
        slate = act(case.policy, *observe(config, observation), config.slate_size, rng)[0]
        if len(record) < limit:
            (observation, reward, done, _), row = transition(env, config, slate)
            record.append(row)
        else:
            observation, reward, done, _ = env.step(slate)
        responses.append(observation["response"])
        rewards.append(reward)
        done = done or len(rewards) == config.spec.truncation
    steps = {key: np.array([[item[key] for item in step] for step in responses]) for key in responses[0][0]}
    last = problem.hidden(model._user_state, env.environment.candidate_set.get_all_documents())
    last |= {"user": np.asarray(observation["user"]), "first_exposure": first_exposure}
    return STATISTICS[case.problem](config, steps, np.array(rewards), last)


def play_recsim(case: Case, episodes: int, limit: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the episodes' statistics and the first `limit` transitions."""
    problem, rng = case.config().recsim_problem(), np.random.default_rng(0)
    np.random.seed(1)
    seeds = np.random.SeedSequence(2).generate_state(2 * episodes).tolist()
    env, results, record = problem.make(seeds[0], seeds[1]), [], []
    for episode in range(episodes):
        if not problem.config.resample_documents:  # recsim keeps its documents for the life of the object
            env = problem.make(seeds[2 * episode], seeds[2 * episode + 1])
        results.append(play_episode(case, env, rng, record, limit))
    return results, record


def compact(transitions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Keep what a replay needs, as float32: state after as its change, so that no digits are lost."""
    kept = {}
    for key, values in transitions.items():
        if key.startswith(("topic", "quality")) and key.endswith("_after"):
            continue
        small = values.dtype.kind == "i"
        kept[key] = values.astype(np.uint8 if small else np.float32)
    for key in ("budget", "exposure"):
        if f"{key}_after" in transitions:
            kept[f"{key}_change"] = (transitions[f"{key}_after"] - transitions[f"{key}_before"]).astype(np.float32)
            del kept[f"{key}_after"]
    return kept


def main() -> None:
    """Write one file of episodes a case, and one of transitions."""
    REFERENCE.mkdir(exist_ok=True)
    for name in sys.argv[1:] or CASES:
        results, record = play_recsim(CASES[name], EPISODES, TRANSITIONS.get(name, 0))
        statistics = collect(results)
        np.savez_compressed(REFERENCE / f"{name}.npz", **statistics)
        print(name, {key: float(np.nanmean(statistics[key])) for key in ("return", "length", "click_rate")})
        if record:
            transitions = {key: np.array([row[key] for row in record]) for key in record[0]}
            np.savez_compressed(REFERENCE / f"{name}_transitions.npz", **compact(transitions))


if __name__ == "__main__":
    main()
