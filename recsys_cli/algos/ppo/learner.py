"""RLlib's PPO learner on shuffled minibatches of rollouts."""

from __future__ import annotations

from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner

from recsys_cli.algos.policy_gradient.learner import SlateLearner


class SlatePPOLearner(SlateLearner, PPOTorchLearner):
    """The loss is RLlib's."""
