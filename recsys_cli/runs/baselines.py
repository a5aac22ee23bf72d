"""The baselines of a run, played beside its training."""

from __future__ import annotations

import threading
from collections.abc import Callable

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.schema import EvaluationSettings
from recsys_cli.envs.base import EnvConfig
from recsys_cli.evaluation.compare import Score, score_baselines


class Baselines(threading.Thread):
    """Plays the baselines while Ray trains.

    Args:
        settings: the baselines and their users.
        env: the problem.
        show: gets the mean returns.
        fail: gets the error, as soon as there is one.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        env: EnvConfig,
        show: Callable[[dict[str, float]], None] = lambda returns: None,
        fail: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        """Start playing."""
        super().__init__(daemon=True)
        self.settings, self.env, self.show, self.fail = settings, env, show, fail
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
            self.fail(error)

    def result(self) -> list[Score]:
        """Wait for the scores.

        Raises:
            ConfigError: a simulator with returns that are not finite; any other error as it is.
        """
        self.join()
        if isinstance(self.error, FloatingPointError):
            raise ConfigError(f"evaluation.baselines: {self.error}")
        if self.error is not None:
            raise self.error
        return self.scores
