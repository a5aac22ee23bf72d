"""SlateQ as an RLlib algorithm."""

from __future__ import annotations

from recsys_cli.algos.q_learning.algorithm import QLearning
from recsys_cli.algos.slateq.learner import SlateQLearner
from recsys_cli.algos.slateq.module import SlateQModule


class SlateQ(QLearning):
    """Q-learning of items."""

    module_class = SlateQModule
    learner_class = SlateQLearner
