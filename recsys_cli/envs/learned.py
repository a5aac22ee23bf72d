"""A problem whose users were learned from a log (`recsys fit-simulator`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from recsys_cli.config.ranges import EpisodeSteps, Text
from recsys_cli.envs.base import EnvConfig
from recsys_cli.envs.checks import require
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.envs.learned_env import LearnedVectorEnv
    from recsys_cli.envs.learned_files import Model


@dataclass
class LearnedProblem(EnvConfig):
    """Users learned from a log.

    Attributes:
        horizon: steps until an episode is truncated; None: it lasts until the users end it.
        tensors: file of what was learned, in the `env` folder of a folder in use.
        digest: of that file, so that a checkpoint is never played in users who were fitted again.
    """

    horizon: EpisodeSteps | None
    tensors: Text
    digest: Text

    def __post_init__(self) -> None:
        """Check the file: a missing one is reported before anything starts."""
        super().__post_init__()
        logged = self.model.spec
        require(
            self.candidates[1] == logged.num_candidates or len(self.model.offers.pool) >= self.candidates[1],
            f"env.num_candidates={self.candidates[1]} is more than the {len(self.model.offers.pool)} documents of "
            f"env={self.name}",
        )

    @cached_property
    def model(self) -> Model:
        """What was learned.

        Raises:
            ConfigError: the file is missing, damaged or another one.
        """
        from recsys_cli.envs.learned_files import locate, read

        return read(locate(self.tensors, self.name), self.digest)

    def describe(self) -> ProblemSpec:
        """The log's spec, with the number of candidates and shown documents asked for."""
        logged, length = self.model.spec, self.model.ending.length
        shared = self.problem_spec(user=logged.user, documents=logged.documents, response=logged.response)
        horizon = min((each for each in (self.horizon, length) if each is not None), default=None)
        return replace(shared, choice=logged.choice, reward=logged.reward, truncation=self.horizon, horizon=horizon)

    def native_env(self, num_envs: int, doc_format: str) -> LearnedVectorEnv:
        """Build the vectorised users."""
        from recsys_cli.envs.learned_env import LearnedVectorEnv

        return LearnedVectorEnv(self, num_envs, doc_format)
