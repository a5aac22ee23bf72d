"""AWR as an RLlib algorithm."""

from __future__ import annotations

from recsys_cli.algos.itemwise.learner import AdvantageLearner, AdvantageModule
from recsys_cli.algos.offline_algorithm import OfflineAlgorithm


class AWR(OfflineAlgorithm):
    """AWR."""

    module_class = AdvantageModule
    learner_class = AdvantageLearner
