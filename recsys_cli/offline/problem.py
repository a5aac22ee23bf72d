"""The problem of a log: its spec is the log's, and it can be played only if a simulator is named beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.ranges import Text
from recsys_cli.envs.base import NATIVE, EnvConfig
from recsys_cli.envs.profile import Profile, rows_of
from recsys_cli.envs.spec import ProblemSpec
from recsys_cli.envs.vector import SlateVectorEnv
from recsys_cli.offline.dataset import Dataset, find

FEWEST_EPISODES = 10
PROFILE_ROWS = 100_000  # that are read for what features look like


@dataclass
class LoggedProblem(EnvConfig):
    """What `recsys train data=...` makes of `env`: what algorithms may know comes from the log alone.

    Attributes:
        data: folder of the data set.
        played: the problem with the simulator that only evaluations play; None: there is none.
    """

    name: str = field(init=False)
    num_candidates: int | list[int] = field(init=False)
    slate_size: int = field(init=False)
    resample_documents: bool = field(init=False)
    backend: Literal["native", "recsim"] = field(init=False)
    data: Text
    played: Any = None

    def __post_init__(self) -> None:
        """Take what the log says, and compare it with the simulator.

        Raises:
            ConfigError: there is no such data set, it is too small, or the simulator is of another problem.
        """
        if self.dataset.episodes < FEWEST_EPISODES:
            raise ConfigError(
                f"data={self.data} has {self.dataset.episodes} episodes; at least {FEWEST_EPISODES} are needed, for a "
                "fifth of them judges what is learned from the others"
            )
        spec = self.dataset.spec
        self.name, self.slate_size, self.resample_documents = spec.name, spec.slate_size, spec.resample_documents
        fewest = spec.min_candidates or spec.width
        self.num_candidates = spec.width if fewest == spec.width else [fewest, spec.width]
        self.backend = NATIVE
        if self.played is not None:
            for what, size in sizes(spec).items():
                other = sizes(self.played.spec)[what]
                if other != size:
                    raise ConfigError(
                        f"env={self.played.name} has {what} {other}, and the log data={self.data} has {size}: "
                        "evaluate on the problem that was logged"
                    )

    @cached_property
    def dataset(self) -> Dataset:
        """The data set."""
        return Dataset.open(find(self.data))

    @cached_property
    def profile(self) -> Profile:
        """What features look like at the first steps of the log's first episodes."""
        rng, rows, looked = np.random.default_rng(0), [], 0
        for steps in self.dataset.batches():
            first = None if steps.mask is None else steps.mask[steps.starts]
            rows.append(rows_of(self.spec, steps.user[steps.starts], steps.doc[steps.starts], first, rng))
            looked += len(steps)
            if looked >= PROFILE_ROWS:
                break
        return Profile.of(np.concatenate(rows))

    def describe(self) -> ProblemSpec:
        """Return the log's."""
        return self.dataset.spec

    @property
    def simulator(self) -> EnvConfig | None:
        """The problem that can be played, if there is one."""
        return self.played

    def native_env(self, num_envs: int, doc_format: str) -> SlateVectorEnv:
        """Refuse: a log cannot be played.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(f"the log data={self.data} cannot be played: name its simulator with env=<problem>")


def sizes(spec: ProblemSpec) -> dict[str, Any]:
    """Return what a policy's inputs and outputs depend on, by the keys that set it."""
    return {
        "env.num_candidates": [spec.min_candidates or spec.num_candidates, spec.num_candidates],
        "env.slate_size": spec.slate_size,
        "features of users and documents": [len(spec.user), len(spec.documents)],
    }


def logged_values(data: str, data_dir: str, env: dict[str, Any] | None) -> dict[str, Any]:
    """Return the values of a config's `env` when it is to learn from a data set.

    Args:
        data: path or name of the data set.
        data_dir: where names are looked up.
        env: the values of the simulator, if one was named.

    Raises:
        ConfigError: there is no such data set.
    """
    target = f"{LoggedProblem.__module__}.{LoggedProblem.__qualname__}"
    return {"_target_": target, "data": str(Path(find(data, data_dir)).resolve()), "played": env}
