"""What tests of Q-learning's gradient steps share: learners of every kind, and transitions for them."""

from __future__ import annotations

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from torch import Tensor

from recsys_cli.algos.q_learning.learner import QLearner
from recsys_cli.config.compose import compose
from recsys_cli.policies import UniformPolicy
from recsys_cli.rollouts.collector import Collector
from recsys_cli.rollouts.replay import ReplayBuffer

SIZE = 16
SMALL = (f"algo.batch_size={SIZE}", "env.num_candidates=6", "algo.network.hidden=[8,4]", "algo.lr=1e-2")
# Every kind of network, choice model, optimiser, target and loss once.
KINDS = {
    "default": (),
    "paper": ("algo.network.kind=concat", "algo.null_value=zero", "algo.optimizer=rmsprop", "env.slate_size=3"),
    "double": ("env=long_term_satisfaction", "algo.double_q=true", "algo.loss=huber", "algo.network.doc_hidden=4"),
    "learned": ("algo.choice_model=learned", "algo.target=greedy", "algo.memory=raw"),
    "sarsa": ("env=interest_exploration", "algo.target=sarsa", "algo.target_update=periodic", "algo.target_period=2"),
    "belief": ("env=interest_exploration", "algo.memory=belief", "algo.n_step=1"),
    "blind": ("algo.network.kind=documents",),
    "many": ("env.num_candidates=30", "algo.network.kind=concat", "algo.target=top_k"),
    "full_slate": ("algo=full_slate_q", "algo.double_q=true"),
}


def learner_of(*words: str) -> QLearner:
    run = compose("train", [*SMALL, *words])
    config = run.algo.algorithm().config_of(run.algo, run, seed=0)
    vec = run.env.make_vec(1)
    torch.manual_seed(0)
    return config.build_learner(spaces={DEFAULT_MODULE_ID: (vec.single_observation_space, vec.single_action_space)})


def transitions(learner: QLearner, rows: int) -> dict[str, Tensor]:
    config = learner.config
    policy = UniformPolicy(config.problem.slate_size)
    collector = Collector(config.problem, 16, seed=0)
    collector.remember(config.learning_memory(config.new_policy(), 16))
    replay = ReplayBuffer(2000, 1, seed=0, discount=0.9)
    replay.add(collector.collect(20, policy.distribution, np.random.default_rng(0)))
    return {name: torch.as_tensor(column) for name, column in replay.sample(rows).items()}


def learn(learner: QLearner, batch: dict[str, Tensor]) -> float:
    batch = {name: column.to(learner.device) for name, column in batch.items()}
    _, loss, _ = learner._update({DEFAULT_MODULE_ID: batch})
    return float(loss[DEFAULT_MODULE_ID])


def assert_learned_the_same(one: QLearner, other: QLearner, first: list[Tensor]) -> None:
    for mine, yours in zip(one.trained, other.trained, strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-3, atol=1e-4)  # steps of 1e-2: float32's noise
    assert any(not torch.equal(mine, before) for mine, before in zip(one.trained, first, strict=True))
