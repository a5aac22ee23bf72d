"""Full-slate Q-learning as an RLlib algorithm."""

from __future__ import annotations

from recsys_cli.algos.full_slate_q.learner import FullSlateQLearner
from recsys_cli.algos.full_slate_q.module import FullSlateQModule
from recsys_cli.algos.q_learning.algorithm import QLearning


class FullSlateQ(QLearning):
    """Q-learning of whole slates."""

    module_class = FullSlateQModule
    learner_class = FullSlateQLearner
