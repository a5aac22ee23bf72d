"""The interface of every algorithm's config."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from recsys_cli.config.errors import ConfigError
from recsys_cli.config.resources import FrameworkConfig, ResourcesConfig
from recsys_cli.envs.spec import ProblemSpec

if TYPE_CHECKING:
    from recsys_cli.algos.training import Trainer, Training
    from recsys_cli.config.schema import TrainConfig
    from recsys_cli.envs.base import EnvConfig
    from recsys_cli.policies import SlatePolicy


@dataclass
class AlgoConfig(ABC):
    """An algorithm's settings; each algorithm's dataclass adds its own. Defaults are in `conf/algo`.

    Attributes:
        name: the algorithm's name, that of its yaml.
    """

    name: str

    metrics: ClassVar[tuple[str, ...]] = (
        *(
            f"eval/{name}"
            for name in ("return", "episode_length", "clicks_per_step", "watch_time", "quality_per_click")
        ),
        "ope/return",
        *(f"train/{name}" for name in ("return", "episode_length", "clicks_per_step")),
    )
    """Reported metrics by which trainings can be compared, if the problem has them."""

    changeable: ClassVar[tuple[str, ...]] = ()
    """Keys that may change during training, as in population-based training."""

    learns_from: ClassVar[tuple[str, ...]] = ("env",)
    """What it learns from: `env` (by playing), `data` (a data set), or both."""

    by_source: ClassVar[tuple[str, ...]] = ()
    """Keys that `learning_from` sets for one source: a training from another one does not take them over."""

    starts_from: ClassVar[str] = "the parameters of {}"
    """What a training takes of a checkpoint that it starts from, in words."""

    several_learners: ClassVar[bool] = True
    """Whether learner processes can share its updates."""

    uses_gpus: ClassVar[bool] = True
    """Whether it can learn on a GPU."""

    def learning_from(self, data: str | None, env: EnvConfig) -> Self:
        """Return the settings with what depends on what it learns from resolved.

        Args:
            data: the data set; None: the env.
            env: the problem.

        Raises:
            ConfigError: a setting does not go with it.
        """
        return self

    def for_policies(self, policies: str) -> AlgoConfig:
        """Return what learns one policy for all users (`shared`), or one for each group of them (`own`)."""
        from recsys_cli.algos.own_policies import OwnPolicies

        return self if policies == "shared" else OwnPolicies(self.name, self)

    def check(self, spec: ProblemSpec) -> None:  # noqa: B027 (most algorithms fit every problem)
        """Refuse a problem this algorithm cannot handle.

        Raises:
            ConfigError: says which, and why.
        """

    def check_steps(self, steps: int) -> None:  # noqa: B027 (most algorithms learn from the first steps on)
        """Refuse a training that would learn nothing in so many steps.

        Raises:
            ConfigError: says why.
        """

    def memory_bytes(self, spec: ProblemSpec) -> dict[str, int]:
        """Return what a training's own process must hold at least, in bytes, by the setting that asks for it."""
        return {}

    @property
    def compiles(self) -> bool:
        """Whether it has gradient steps that `framework=torch_compile` compiles."""
        return False

    def check_resources(self, resources: ResourcesConfig, framework: FrameworkConfig) -> None:
        """Refuse resources or a framework that this algorithm cannot use.

        Raises:
            ConfigError: says which, and what is allowed.
        """
        if framework.compiled and not self.compiles:
            raise ConfigError(
                f"framework=torch_compile compiles nothing of algo={self.name}, only Q-learning's gradient steps; "
                "allowed: framework=torch"
            )
        if resources.learners > 1 and not self.several_learners:
            raise ConfigError(
                f"resources.learners={resources.learners}: algo={self.name} learns in one process at most"
            )
        if resources.gpus_per_learner and not self.uses_gpus:
            gpus = f"resources.gpus_per_learner={resources.gpus_per_learner:g}"
            raise ConfigError(f"{gpus}: algo={self.name} learns on the CPU; allowed: 0")

    @abstractmethod
    def make_policy(self, spec: ProblemSpec, seed: int = 0) -> SlatePolicy:
        """Build the untrained policy; `load_tensors` restores what was learned."""

    @abstractmethod
    def algorithm(self) -> type[Trainer]:
        """Return the algorithm that trains the policy; imports RLlib unless it is a baseline."""

    def offline_algorithm(self) -> type[Trainer]:
        """Return what trains the policy from a data set.

        Raises:
            ConfigError: it does not learn from data.
        """
        raise ConfigError(f"algo={self.name} does not learn from data")

    def make_training(self, run: TrainConfig, seed: int) -> Training:
        """Build a training of the policy; needs a running Ray unless the algorithm is a baseline."""
        trainer = self.algorithm() if run.data is None else self.offline_algorithm()
        return trainer.of_run(self, run, seed)

    def trains_on(self, spec: ProblemSpec) -> bool:
        """Whether env steps teach the policy anything on this problem."""
        return True
