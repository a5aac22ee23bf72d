"""A problem: its configuration, what algorithms may know of it, and how to simulate its users."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from recsys_cli.config.errors import ConfigError, about_length, closest
from recsys_cli.config.ranges import Count
from recsys_cli.envs.checks import require, require_choice
from recsys_cli.envs.profile import Profile
from recsys_cli.envs.spec import DENSE, ProblemSpec
from recsys_cli.envs.vector import SlateVectorEnv

if TYPE_CHECKING:
    from recsys_cli.envs.recsim_backend import RecsimProblem

__all__ = ["EnvConfig", "SlateVectorEnv"]

NATIVE: Final = "native"
RECSIM: Final = "recsim"


@dataclass
class EnvConfig(ABC):
    """Keys of every problem; each problem's dataclass adds its own. Defaults are in `conf/env`.

    Attributes:
        name: the problem's name, that of its yaml.
        num_candidates: documents offered to the user's slate at every step (C), or `[fewest, most]` if it varies.
        slate_size: documents shown at every step (k).
        resample_documents: whether candidates are drawn at every step, or once per user.
        backend: `native` (vectorised) or `recsim` (the original package, one copy per user).
    """

    name: str
    num_candidates: Count | list[Count]
    slate_size: Count
    resample_documents: bool
    backend: Literal["native", "recsim"]

    def __post_init__(self) -> None:
        """Check the keys that all problems share."""
        if self.backend == RECSIM and type(self).recsim_problem is EnvConfig.recsim_problem:
            self.recsim_problem()
        self._check_candidates()
        require(
            self.slate_size <= self.candidates[1],
            f"env.slate_size={self.slate_size} must be <= env.num_candidates={self.candidates[1]}",
        )

    def _check_candidates(self) -> None:
        given = self.num_candidates
        if isinstance(given, int):
            return
        require(
            len(given) == 2 and given[0] <= given[1],
            f"env.num_candidates={given} must be a number, or [fewest,most] such as [5,20]",
        )
        require(
            self.backend == NATIVE,
            f"env.num_candidates={given} varies, which env.backend={self.backend} does not allow",
        )

    @property
    def candidates(self) -> tuple[int, int]:
        """The fewest and the most candidates of a step."""
        given = self.num_candidates
        return (given, given) if isinstance(given, int) else (given[0], given[1])

    @cached_property
    def spec(self) -> ProblemSpec:
        """What an algorithm may know of the problem, without hidden states."""
        return self.describe()

    @property
    def simulator(self) -> EnvConfig | None:
        """The problem that can be played: itself, unless it is known from a log only."""
        return self

    @property
    def shares(self) -> Mapping[str, float]:
        """The share of each group in all users, by name; empty: there are no groups."""
        return {}

    @property
    def profile(self) -> Profile | None:
        """What features look like in the log that it is known from; None: in its simulator they can be seen."""
        return None

    @abstractmethod
    def describe(self) -> ProblemSpec:
        """Return the spec: `self.problem_spec(...)` with this problem's users and documents."""

    def problem_spec(self, **own: Any) -> ProblemSpec:
        """Return a spec with the keys that all problems share; `own` are the other fields of `ProblemSpec`.

        Raises:
            ConfigError: a field that specs do not have.
        """
        fewest, most = self.candidates
        allowed = [field.name for field in fields(ProblemSpec)]
        for name in own:
            near = about_length(f"env.{name}") or closest(name, allowed)
            require(name in allowed, f"env={self.name}: a spec has no field {name}; it has {', '.join(allowed)}.{near}")
        return ProblemSpec(
            name=self.name,
            num_candidates=most,
            min_candidates=None if fewest == most else fewest,
            slate_size=self.slate_size,
            resample_documents=self.resample_documents,
            **own,
        )

    @abstractmethod
    def native_env(self, num_envs: int, doc_format: str) -> SlateVectorEnv:
        """Build the vectorised implementation."""

    def recsim_problem(self) -> RecsimProblem[Any]:
        """Return how to build and read RecSim's own environment.

        Raises:
            ConfigError: the problem is not one of RecSim's.
        """
        raise ConfigError(f"env.backend=recsim is not available for env={self.name}; allowed: native")

    def make_vec(self, num_envs: int, *, doc_format: str = DENSE) -> SlateVectorEnv:
        """Build `num_envs` independent users that step together.

        Args:
            num_envs: number of users (N).
            doc_format: `dense` for float32 features `[N, C, F]`; `index` for numbers `[N, C]` of topics or items.

        Raises:
            ConfigError: `doc_format="index"`, but documents have no numbers.
        """
        require_choice("doc_format", doc_format, self.spec.documents.formats)
        if self.backend == NATIVE:
            return self.native_env(num_envs, doc_format)
        from recsys_cli.envs.recsim_backend import RecsimVectorEnv

        return RecsimVectorEnv(self, num_envs, doc_format)

    def try_out(self) -> None:
        """Play a step with two users: a simulator that breaks its own spec is found before anything starts.

        Raises:
            ConfigError: names the method, what it returned and what the spec declares.
        """
        for doc_format in self.spec.documents.formats:
            vec = self.make_vec(2, doc_format=doc_format)
            observation, _ = vec.reset(seed=0)
            vec.action_space.seed(0)
            vec.step(vec.action_space.sample(observation.get("mask")))
            vec.close()
