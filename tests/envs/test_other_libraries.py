"""Agents of other libraries learn on the flat envs: stable-baselines3's PPO, and PPO as CleanRL writes it."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical

from recsys_cli.envs.registration import env_ids

pytestmark = pytest.mark.slow

# Clickbait pays: the best policy shows the document of most of it first, the first number of an action.
PROBLEM = {"num_candidates": 4, "slate_size": 2, "time_budget": 20, "choc_stddev": 0.1, "kale_stddev": 0.1}
LTS = "recsys/LongTermSatisfaction-v0"
LEARNED = 210.0  # random slates return 192.5, the best 217.9, each ± 0.2


@pytest.mark.parametrize("keys", [{"flat": True}, {"sequential": True}])
def test_stable_baselines_accepts_every_problem(problem: str, keys: dict) -> None:
    from stable_baselines3.common.env_checker import check_env

    check_env(gymnasium.make(dict(env_ids())[problem], num_candidates=[1, 6], slate_size=2, **keys))


@pytest.mark.parametrize("keys", [{"flat": True}, {"sequential": True}])
def test_stable_baselines_learns(keys: dict) -> None:
    from stable_baselines3 import PPO  # here: collecting the tests should not take its import

    env = gymnasium.make(LTS, **PROBLEM, **keys)
    agent = PPO("MlpPolicy", env, n_steps=1000, batch_size=250, learning_rate=2e-3, gamma=0.5, seed=0)
    agent.learn(6_000 if "flat" in keys else 12_000)
    returns = []
    for seed in range(50):
        observation, ended, total = env.reset(seed=1000 + seed)[0], False, 0.0
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(agent.predict(observation, deterministic=True)[0])
            total, ended = total + reward, terminated or truncated
        returns.append(total)
    assert np.mean(returns) > LEARNED


class Agent(nn.Module):
    """One number's logits for each position, and a value."""

    def __init__(self, observed: int, numbers: np.ndarray) -> None:
        super().__init__()
        self.numbers = numbers.tolist()
        self.policy = nn.Sequential(nn.Linear(observed, 64), nn.Tanh(), nn.Linear(64, sum(self.numbers)))
        self.value = nn.Sequential(nn.Linear(observed, 64), nn.Tanh(), nn.Linear(64, 1))

    def choices(self, observation: torch.Tensor) -> list[Categorical]:
        return [Categorical(logits=part) for part in self.policy(observation).split(self.numbers, dim=-1)]


def test_a_loop_in_the_manner_of_cleanrl_learns() -> None:
    torch.manual_seed(0)
    users, length, discount = 64, 20, 0.5
    vec = gymnasium.make_vec(LTS, num_envs=users, flat=True, **PROBLEM)
    agent = Agent(vec.single_observation_space.shape[0], vec.single_action_space.nvec)
    optimiser = torch.optim.Adam(agent.parameters(), 1e-2)
    observation, ended, earned = torch.as_tensor(vec.reset(seed=0)[0]), np.zeros(users, bool), []
    for _ in range(60):
        rows = []
        for _ in range(length):
            with torch.no_grad():
                choices = agent.choices(observation)
                actions = torch.stack([choice.sample() for choice in choices], dim=1)
            following, reward, terminated, truncated, _ = vec.step(actions.numpy())
            rows.append((observation, actions, torch.as_tensor(reward), torch.as_tensor(~ended)))
            observation, ended = torch.as_tensor(following), terminated | truncated
        earned.append(float(torch.stack([row[2] for row in rows]).sum(0).mean()) * 21 / 20)
        observed, actions, rewards, valid = (torch.stack(column) for column in zip(*rows, strict=True))
        with torch.no_grad():
            values = agent.value(observed)[..., 0]
            returns, after = torch.zeros_like(values), agent.value(observation)[..., 0]
            for t in reversed(range(length)):
                after = returns[t] = rewards[t] + discount * after
            before = log_probs(agent, observed, actions)
            gain = returns - values
            gain = (gain - gain[valid].mean()) / gain[valid].std()
        for _ in range(4):
            ratio = (log_probs(agent, observed, actions) - before).exp()
            clipped = torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain)
            error = (agent.value(observed)[..., 0] - returns) ** 2
            loss = (0.01 * error - clipped)[valid].mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert np.mean(earned[-5:]) > LEARNED > np.mean(earned[:5])


def log_probs(agent: Agent, observation: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    parts = zip(agent.choices(observation), actions.unbind(-1), strict=True)
    return sum(choice.log_prob(number) for choice, number in parts)
