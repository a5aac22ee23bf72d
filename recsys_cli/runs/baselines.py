"""The baselines of a run, played beside its training."""

from __future__ import annotations

import threading
from collections.abc import Callable

from recsys_cli.config.schema import EvaluationSettings
from recsys_cli.envs.base import EnvConfig
from recsys_cli.evaluation.compare import Score, score_baselines


class Baselines(threading.Thread):
    """Plays the baselines while Ray trains.

    Args:
        settings: the baselines and their users.
        env: the problem.
        show: gets the mean returns.
    """

    def __init__(self, settings: EvaluationSettings, env: EnvConfig, show: Callable[[dict[str, float]], None]) -> None:
        """Start playing."""
        super().__init__(daemon=True)
        self.settings, self.env, self.show = settings, env, show
        self.scores: list[Score] = []
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Play, and keep any error for the thread that waits for the scores."""
        try:
            self.scores = score_baselines(self.settings.baselines, self.env, self.settings.users, self.settings.seed)
            self.show({score.policy: score.returns.mean for score in self.scores})
        except Exception as error:
            self.error = error

    def result(self) -> list[Score]:
        """Wait for the scores."""
        self.join()
        if self.error is not None:
            raise self.error
        return self.scores
