"""MARWIL as an RLlib algorithm."""

from __future__ import annotations

from recsys_cli.algos.itemwise.learner import AdvantageLearner, AdvantageModule
from recsys_cli.algos.offline_algorithm import OfflineAlgorithm


class MARWIL(OfflineAlgorithm):
    """MARWIL."""

    module_class = AdvantageModule
    learner_class = AdvantageLearner
